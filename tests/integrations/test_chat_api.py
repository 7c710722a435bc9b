"""The agent as an OpenAI-compatible server: a real uvicorn, OpenAI's own client, chat pages' requests."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("openai", reason="needs the extra `openai`")

import openai

from tests.docs.test_examples import serving
from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, WRONG, MakeAgent
from tests.integrations.test_subgraph import png
from vitarmm_agent.integrations.chat_api.app import create_chat_app
from vitarmm_agent.integrations.chat_api.requests import MAX_BODY
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.traces import list_runs
from vitarmm_agent.verifiers.human import Human

KEY = "a-key-that-is-long-enough"
ASKED: list[dict[str, Any]] = [{"role": "user", "content": PROBLEM}]
BODY = {"model": "vitarmm", "messages": ASKED}


def client_of(url: str, key: str = KEY) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def fault(
    url: str, body: Any = None, path: str = "chat/completions", **more: Any
) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {KEY}"} | more.pop("headers", {})
    if body is not None:
        more["json"] = body
    answer = httpx.post(f"{url}/v1/{path}", headers=headers, timeout=60, **more)
    assert answer.headers["content-type"] == "application/json", answer.text
    return answer.status_code, answer.json()["error"]


def test_the_openai_client_asks_and_is_answered(make_agent: MakeAgent) -> None:
    agent = make_agent(WRONG, RIGHT, writes=[NOTHING, LESSON])
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        client = client_of(url)
        assert [model.id for model in client.models.list()] == ["vitarmm"]
        assert client.models.retrieve("vitarmm").object == "model"
        reply = client.chat.completions.create(**BODY, temperature=0.7, max_tokens=100)
    (choice,) = reply.choices
    assert (choice.message.content, choice.finish_reason) == (RIGHT, "stop")
    assert WRONG in choice.message.reasoning_content  # the attempt that was taken back
    assert "fail by is_25" in choice.message.reasoning_content
    run = agent.result(reply.id.removeprefix("chatcmpl-"))
    told = reply.usage.prompt_tokens, reply.usage.completion_tokens
    assert told == (run.usage.input_tokens, run.usage.output_tokens) and sum(told) > 0
    assert reply.vitarmm["answer"] == "25" and reply.vitarmm["status"] == "passed"


def test_a_stream_is_the_same_reply_in_pieces(make_agent: MakeAgent) -> None:
    agent = make_agent(WRONG, RIGHT, writes=[NOTHING, NOTHING])
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client_of(url).chat.completions.create(**BODY, **options))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == RIGHT
    thought = "".join(getattr(delta, "reasoning_content", "") for delta in deltas)
    assert WRONG in thought and len([d for d in deltas if d.content]) > 1
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_where_one_attempt_is_allowed_its_text_comes_at_once(make_agent: MakeAgent) -> None:
    said = f"<think>Four sides.</think>{RIGHT}"
    agent = make_agent(said, said, writes=[NOTHING, NOTHING], max_iterations=1)
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        client = client_of(url)
        deltas = [c.choices[0].delta for c in client.chat.completions.create(**BODY, stream=True)]
        whole = client.chat.completions.create(**BODY).choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == RIGHT == whole.content
    thought = "".join(getattr(delta, "reasoning_content", "") for delta in deltas)
    assert thought == "Four sides." == whole.reasoning_content


def test_an_image_comes_as_a_data_url_and_nothing_is_fetched(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING])

    def asked(address: str) -> dict[str, Any]:
        image = {"type": "image_url", "image_url": {"url": address, "detail": "high"}}
        content = [{"type": "text", "text": PROBLEM}, image]
        return {"model": "vitarmm", "messages": [{"role": "user", "content": content}]}

    with serving(create_chat_app(agent, api_key=KEY)) as url:
        good = asked(f"data:image/png;base64,{png()}")
        reply = client_of(url).chat.completions.create(**good)
        for address in ("http://127.0.0.1:9/x.png", "https://e.example/x", "file:///etc/passwd",
                        "/etc/passwd", "images/x.png"):  # fmt: skip
            status, error = fault(url, asked(address))
            assert (status, "fetches nothing" in error["message"]) == (400, True)
        assert fault(url, asked("data:image/png;base64,AAAA"))[0] == 400
    (stored,) = agent.result(reply.id.removeprefix("chatcmpl-")).problem.images
    assert (stored.width, stored.height) == (3, 2)


OPEN_WEBUI = {
    "stream": True,
    "model": "vitarmm",
    "messages": [
        {"role": "system", "content": "User Context:\n"},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": PROBLEM},
    ],
    "stream_options": {"include_usage": True},
    "temperature": 0.8,
    "tools": [],
}
LIBRECHAT = {
    "model": "vitarmm",
    "user": "66f0a1b2c3d4e5f601234567",
    "stream": True,
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "stop": None,
    "messages": [{"role": "user", "content": [{"type": "text", "text": PROBLEM}]}],
}


def test_chat_pages_are_answered_each_user_with_a_memory(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    template = memory.with_namespace(("team", "{user_id}"))
    agent = make_agent(RIGHT, RIGHT, writes=[LESSON, LESSON], memory=template)
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        for body, header in ((OPEN_WEBUI, "u-1"), (LIBRECHAT, "")):
            headers = {"authorization": f"Bearer {KEY}", "x-openwebui-user-id": header}
            shown = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60)
            lines = [line for line in shown.text.split("\n\n") if line]
            assert lines[-1] == "data: [DONE]"
            read = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
            deltas = [chunk["choices"][0]["delta"] for chunk in read if chunk["choices"]]
            assert "".join(delta.get("content") or "" for delta in deltas) == RIGHT
        status, error = fault(url, BODY)
        assert (status, error["param"]) == (400, "user")
    for user in ("u-1", str(LIBRECHAT["user"])):
        assert len(memory.with_namespace(("team", user)).list()) == 1


@pytest.mark.parametrize("user", ["ada/../bob", '","bob', "{user_id}", "team", "ada%2Fbob", " "])
def test_a_user_stays_a_label(make_agent: MakeAgent, memory: ReasoningMemory, user: str) -> None:
    template = memory.with_namespace(("team", "{user_id}"))
    agent = make_agent(RIGHT, writes=[LESSON], memory=template)
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        client_of(url).chat.completions.create(**BODY, user=user)
    assert memory.namespaces() == {("team", user): 1}


def test_no_user_chooses_what_the_operator_set(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    template = memory.with_namespace(("{org}", "{user_id}"))
    agent = make_agent(RIGHT, writes=[LESSON], memory=template)
    own = {"org": "acme", "user_id": "all"}
    with serving(create_chat_app(agent, api_key=KEY, configurable=own)) as url:
        client_of(url).chat.completions.create(**BODY, user="eve")
    assert memory.namespaces() == {("acme", "all"): 1}


def test_what_a_client_may_not_send(make_agent: MakeAgent) -> None:
    def given(**more: Any) -> dict[str, Any]:
        return {**BODY, **more}

    def says(content: Any) -> dict[str, Any]:
        return given(messages=[{"role": "user", "content": content}])

    with serving(create_chat_app(make_agent(), api_key=KEY)) as url:
        for body, status, param in (
            ([], 400, None),
            (given(model="gpt-4"), 404, "model"),
            (given(model=None), 400, "model"),
            (given(messages=[]), 400, "messages"),
            (given(messages="hello"), 400, "messages"),
            (given(messages=[{"role": "system", "content": "x"}]), 400, "messages"),
            (says(""), 400, None),
            (says(None), 400, None),
            (says([{"type": "input_audio", "input_audio": {"data": "AA"}}]), 400, None),
            (says("x" * 100_001), 400, None),
            (given(n=2), 400, "n"),
            (given(tools=[{"type": "function"}]), 400, "tools"),
            (given(stop=["\n"]), 400, "stop"),
            (given(logprobs=True), 400, "logprobs"),
            (given(response_format={"type": "json_object"}), 400, "response_format"),
            (given(modalities=["audio"]), 400, "modalities"),
            (given(stream="yes"), 400, "stream"),
            (given(stream_options=[]), 400, "stream_options"),
            (given(user={"id": 1}), 400, "user"),
            (given(user="a\u0000b"), 400, "user"),
            (given(user="x" * 201), 400, "user"),
        ):
            got, error = fault(url, body)
            assert (got, error["param"]) == (status, param), error
            assert error["type"] == "invalid_request_error" and error["message"]
        own = {"content-type": "application/json"}
        for content in (b"", b"{", b"\xff", b"[" * 200_000, b'{"a":' * 50_000, b"1" * 5_000):
            assert fault(url, content=content, headers=own)[0] == 400
        assert fault(url, content=b" " * (MAX_BODY + 1), headers=own)[0] == 413
        assert fault(url, path="nothing")[0] == 404
        wrong = httpx.get(f"{url}/v1/chat/completions", headers={"authorization": f"Bearer {KEY}"})
        assert (wrong.status_code, "error" in wrong.json()) == (405, True)
        with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'"):
            client_of(url).chat.completions.create(**given(model="gpt-4"))


def test_who_is_let_in(make_agent: MakeAgent) -> None:
    agent = make_agent()
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        for key in ("x", "wrong-key-of-some-length", KEY[:-1], KEY + "x"):
            status, error = fault(url, BODY, headers={"authorization": f"Bearer {key}"})
            assert (status, error["code"]) == (401, "invalid_api_key")
        with pytest.raises(openai.AuthenticationError):
            client_of(url, "wrong").models.list()
        for headers, status in (
            ({"host": "evil.example"}, 421),
            ({"origin": "http://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
        ):
            assert fault(url, BODY, headers=headers)[0] == status
    assert list_runs(agent.graph.checkpointer) == []  # type: ignore[arg-type]


def test_pages_of_a_named_origin_and_a_proxy_are_let_in(make_agent: MakeAgent) -> None:
    page = {"origin": "https://chat.example", "access-control-request-method": "POST"}
    options = {"server_origins": ("https://chat.example",), "server_hosts": ("llm.example",)}
    with serving(create_chat_app(make_agent(**options), api_key=KEY)) as url:
        asked = httpx.options(f"{url}/v1/chat/completions", headers=page)
        assert asked.headers["access-control-allow-origin"] == "https://chat.example"
        named = {"host": "llm.example", "authorization": f"Bearer {KEY}"}
        assert httpx.get(f"{url}/v1/models", headers=named).status_code == 200


def test_an_attempt_without_an_answer_is_a_refusal(make_agent: MakeAgent) -> None:
    agent = make_agent("I cannot help with that.", "", max_iterations=1)
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        refused = client_of(url).chat.completions.create(**BODY).choices[0].message
        deltas = [
            c.choices[0].delta for c in client_of(url).chat.completions.create(**BODY, stream=True)
        ]
    assert refused.content is None and "the model refused" in refused.refusal
    assert "the reply is empty" in [delta.refusal for delta in deltas]


def test_what_the_operator_must_mend_is_told_without_details(make_agent: MakeAgent) -> None:
    down = {"error": "die", "content": "secret-of-the-operator"}
    agent = make_agent(down, down)
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        status, error = fault(url, BODY)
        assert (status, error["type"]) == (502, "server_error")
        assert "secret-of-the-operator" not in str(error)
        with pytest.raises(openai.APIError) as told:
            list(client_of(url).chat.completions.create(**BODY, stream=True))
        assert "secret-of-the-operator" not in str(told.value)


async def test_many_at_once(make_agent: MakeAgent) -> None:
    agent = make_agent(*[{"content": RIGHT, "delay": 0.3}] * 8, writes=[NOTHING] * 8)
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
        asked = (client.chat.completions.create(**BODY) for _ in range(8))
        replies = await asyncio.gather(*asked)
        await client.close()
    assert {reply.choices[0].message.content for reply in replies} == {RIGHT}
    assert len({reply.id for reply in replies}) == 8


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_stops_the_run(make_agent: MakeAgent, stream: bool) -> None:
    agent = make_agent({"content": RIGHT, "delay": 2}, writes=[NOTHING])
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=0.7)
        with pytest.raises((openai.APITimeoutError, httpx.ReadTimeout)):
            reply = await client.chat.completions.create(**BODY, stream=stream)
            async for _ in reply:
                pass
        await client.close()
        await asyncio.sleep(2.5)
        (run,) = list_runs(agent.graph.checkpointer)  # type: ignore[arg-type]
    assert (run.status, run.died, run.attempts) == ("died", "it was cancelled", 0)


def test_a_thumb_comes_the_day_after(make_agent: MakeAgent, memory: ReasoningMemory) -> None:
    template = memory.with_namespace(("team", "{user_id}"))
    agent = make_agent(RIGHT, writes=[LESSON], memory=template, feedback="arithmetic")
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        reply = client_of(url).chat.completions.create(**BODY, user="ada")
        said = {"id": reply.id, "verdict": "pass", "user": "ada"}
        headers = {"authorization": f"Bearer {KEY}"}
        judged = httpx.post(f"{url}/v1/judge", json=said, headers=headers).json()
        assert (judged["status"], judged["judged"]["by"]) == ("passed", "ada")
        assert len(memory.with_namespace(("team", "ada")).list()) == 1
        assert httpx.post(f"{url}/v1/judge", json=said, headers=headers).json() == judged
        for body, status in (
            ({**said, "user": "eve"}, 404),
            ({**said, "id": "chatcmpl-x"}, 404),
            ({**said, "id": None}, 404),
            ({**said, "verdict": "perhaps"}, 400),
            ({**said, "veridct": "x"}, 400),
            ({"id": reply.id, "verdict": "pass"}, 400),
        ):
            assert fault(url, body, path="judge")[0] == status, body


def test_a_run_that_waits_for_a_person_is_told_and_judged(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING], feedback=[Human()])
    with serving(create_chat_app(agent, api_key=KEY)) as url:
        reply = client_of(url).chat.completions.create(**BODY)
        assert reply.vitarmm["status"] == "interrupted"
        assert reply.choices[0].message.content == RIGHT
        said = {"id": reply.id, "verdict": "yes"}
        headers = {"authorization": f"Bearer {KEY}"}
        judged = httpx.post(f"{url}/v1/judge", json=said, headers=headers).json()
    assert judged["status"] == "passed"


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("VITARMM_API_KEY", raising=False)
    yield


def test_the_command_refuses_what_is_open_to_all(
    no_key: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vitarmm_agent.cli.app import run_app

    monkeypatch.setenv("SHORT", "short")
    for options, words in (
        (["--host", "0.0.0.0", "--no-key"], "can be reached by others"),
        (["--api-key-env", "NOT_SET"], "'NOT_SET', which is not set"),
        (["--api-key-env", "SHORT"], "16 or more plain characters"),
        (["--set", "user"], "NAME=VALUE"),
    ):
        command = ["serve", "--port", "0", "--memory", "off", *options]
        assert run_app([*command, "--reasoner", "scripted:missing.json"]) == 2
        assert words in capsys.readouterr().err


def test_the_command_prints_where_it_is_and_the_key(tmp_path: Path, own_data_dir: Path) -> None:
    (tmp_path / "script.json").write_text(json.dumps([RIGHT]))
    options = ["--reasoner", f"scripted:{tmp_path / 'script.json'}", "--memory", "off"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "VITARMM_API_KEY": ""}
    command = [sys.executable, "-m", "vitarmm_agent.cli", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        shown = ""
        while "API key" not in shown:
            line = process.stderr.readline()
            assert line, shown
            shown += line
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/v1", shown)
        (key,) = re.findall(r"API key (\S{16,})", shown)
        assert httpx.get(f"{address}/models").status_code == 401
        client = openai.OpenAI(base_url=address, api_key=key, max_retries=2)
        assert client.chat.completions.create(**BODY).choices[0].message.content == RIGHT
    finally:
        process.terminate()
        process.communicate(timeout=30)


async def test_a_client_has_so_many_runs_at_once(make_agent: MakeAgent) -> None:
    agent = make_agent(*[{"content": RIGHT, "delay": 0.5}] * 7, writes=[NOTHING] * 7)
    with serving(create_chat_app(agent, api_key=KEY, runs_per_client=2)) as url:
        client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
        ask = client.chat.completions.create
        under_way = [asyncio.create_task(ask(**BODY, user="ada")) for _ in range(2)]
        await asyncio.sleep(0.2)
        for more in ({"stream": True}, {}):
            with pytest.raises(openai.RateLimitError, match="2 runs under way") as refused:
                await ask(**BODY, user="ada", **more)
        assert int(refused.value.response.headers["retry-after"]) > 0
        assert refused.value.code == "rate_limit_exceeded"
        await asyncio.gather(*under_way, ask(**BODY, user="bob"), ask(**BODY))
        for _ in range(3):  # who is answered makes room, and who leaves
            with pytest.raises(openai.APITimeoutError):
                await ask(**BODY, user="ada", timeout=0.2)
            await asyncio.sleep(0.2)
        await client.close()

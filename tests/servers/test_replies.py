"""Replies of servers that speak the protocol in their own way, from a real server to the run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from tests.servers.canned import canned
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.effects import arun, run
from vitarmm_agent.errors import ModelServerError
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.calls import ask
from vitarmm_agent.servers.bodies import as_expected
from vitarmm_agent.settings import Settings

TALK = [HumanMessage("What is 12 - 5?")]
SAID = "1. 12 - 5 = 7\nAnswer: 7"
EVENTS = "text/event-stream"
DONE = "data: [DONE]\n\n"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def model(url: str, name: str = "m", **options: Any) -> Any:
    settings = Settings(base_url=url)
    return load_chat_model(f"openai:{name}", settings=settings, max_retries=0, **options)


def whole(message: dict[str, Any], end: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": end, "message": message}], **more}  # fmt: skip


def event(delta: dict[str, Any] | None, end: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "finish_reason": end, **({} if delta is None else {"delta": delta})}
    data = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps(data | {'choices': [choice | more]})}\n\n"


async def both(url: str, *, streaming: bool) -> list[Any]:
    asked = model(url, streaming=streaming)
    return [run(ask(asked, TALK)), await arun(ask(asked, TALK))]


THOUGHTS: list[tuple[dict[str, Any], str]] = [
    ({"reasoning_content": "Hm, 12 - 5."}, "Hm, 12 - 5."),
    ({"reasoning": "Hm, 12 - 5."}, "Hm, 12 - 5."),
    ({"thinking": "Hm, 12 - 5."}, "Hm, 12 - 5."),
    ({"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, "Hm."),
    (
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "Hm"},
                {"type": "reasoning.encrypted", "data": "gAAA"},
                {"type": "reasoning.text", "text": ", 7."},
            ]
        },
        "Hm, 7.",
    ),
    ({"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, "Hm."),
    ({"reasoning_content": None, "reasoning": "Hm."}, "Hm."),
    ({"reasoning_content": ["odd", {"text": 7}], "reasoning_details": 5}, "odd"),
    ({"reasoning_content": None, "reasoning_details": None}, ""),
]


@pytest.mark.parametrize(("fields", "thought"), THOUGHTS)
async def test_what_was_thought_in_a_field_is_kept_apart(
    fields: dict[str, Any], thought: str
) -> None:
    with canned(whole({"role": "assistant", "content": SAID, **fields})) as server:
        for reply in await both(server.url, streaming=False):
            assert (reply.said, reply.thought) == (SAID, thought)
            assert reply.message.additional_kwargs.get("reasoning_content", "") == thought
        again = [*TALK, reply.message, HumanMessage("Why?")]
        run(ask(model(server.url), again))
    assert "Hm" not in server.seen[-1], "thinking is not sent back"


@pytest.mark.parametrize(("fields", "thought"), THOUGHTS)
async def test_a_stream_keeps_it_apart_piece_by_piece(fields: dict[str, Any], thought: str) -> None:
    pieces = [event({"role": "assistant", "content": ""}), event({"content": None, **fields})]
    pieces += [event(fields), event({"content": SAID[:9]}), event({"content": SAID[9:]}, "stop")]
    with canned("".join([*pieces, DONE]).encode(), EVENTS) as server:
        for reply in await both(server.url, streaming=True):
            assert (reply.said, reply.thought) == (SAID, thought * 2)
            assert reply.message.response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("streaming", [False, True])
def test_thinking_alone_is_no_answer(streaming: bool) -> None:
    fields = {"role": "assistant", "content": "", "reasoning_content": "Answer: 7"}
    streamed = event(fields) + event({}, "stop") + DONE
    body, kind = (streamed.encode(), EVENTS) if streaming else (whole(fields), "application/json")
    with canned(body, kind) as server:
        agent = ReasoningAgent.open(
            reasoner=model(server.url, streaming=streaming), memory="off", max_iterations=1
        )
        result = agent.solve("What is 12 - 5?")
    assert result.answer is None and not result.passed
    assert "the model thought, and said nothing" in result.stopped_because
    assert result.attempts[0].thought == "Answer: 7"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        b"\xef\xbb\xbf" + json.dumps(whole({"role": "assistant", "content": SAID})).encode(),
        whole({"content": SAID}),
        whole({"role": None, "content": SAID}),
        whole({"role": "model", "content": SAID}),
        whole({"role": "user", "content": SAID}),
        {"choices": [{"text": SAID, "finish_reason": "stop", "index": 0}]},
        {"choices": [{"text": SAID, "message": None}]},
    ],
)
async def test_a_whole_answer_is_read_in_any_of_its_forms(
    answer: bytes | dict[str, Any], streaming: bool
) -> None:
    """Also where a stream was asked for: not every server has streams."""
    with canned(answer) as server:
        for reply in await both(server.url, streaming=streaming):
            assert reply.said == SAID and reply.message.type == "ai"


@pytest.mark.parametrize("kind", ["application/json", EVENTS, "text/plain", "x/y; charset=utf-8"])
async def test_a_whole_answer_to_a_stream_loses_nothing(kind: str) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    message = {"role": "assistant", "content": SAID, "reasoning": "Hm."}
    with canned(json.dumps(whole(message, "length", usage=usage)).encode(), kind) as server:
        for reply in await both(server.url, streaming=True):
            assert (reply.said, reply.thought) == (SAID, "Hm.")
            assert reply.message.response_metadata["finish_reason"] == "length"
            assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 9)


@pytest.mark.parametrize("kind", ["application/json", EVENTS])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "slow down", "code": 429}}', "answered 429 .*slow down"),
        (b"<html>Sign in</html>", "answered 502 .*no JSON.*Sign in"),
        (b'\xef\xbb\xbf {"detail": "Not here"}', "answered 502 .*no 'choices'.*Not here"),
        (b'{"choices": [', "answered 502 .*no JSON"),
        (b"upstream timeout", "answered 502 .*upstream timeout"),
        (b"", "answered 502 .*an empty body"),
    ],
)
async def test_what_is_no_answer_to_a_stream_is_named_as_without_one(
    body: bytes, words: str, kind: str
) -> None:
    with canned(body, kind) as server:
        asked = model(server.url, streaming=True)
        with pytest.raises(ModelServerError, match=words):
            run(ask(asked, TALK))
        with pytest.raises(ModelServerError, match=words):
            await arun(ask(asked, TALK))


@pytest.mark.parametrize("kind", [EVENTS, "application/json"])
async def test_events_are_read_in_any_of_their_forms(kind: str) -> None:
    pieces = ["\ufeff: keep-alive\n\n", event(None, text="1. 12"), event({"content": " - 5 = 7"})]
    pieces += [event({"role": "model", "content": "\nAnswer: "}), event(None, "stop", text="7")]
    with canned("".join(pieces).encode(), kind) as server:
        for reply in await both(server.url, streaming=True):
            assert reply.said == SAID and reply.message.type == "ai"


@pytest.mark.parametrize(
    "pieces",
    [
        [event({"content": "1. 60 * 12 = 720\nAnswer: 7"})],
        [event({"content": 'data: [DONE] "finish_reason": "stop"'})],
        [": ping\n\n", "event: message\n", event({"reasoning_content": "Hm."})],
    ],
)
async def test_a_stream_that_breaks_off_is_no_reply(pieces: list[str]) -> None:
    """Its "Answer: 7" may be the beginning of 720."""
    with canned("".join(pieces).encode(), EVENTS) as server:
        asked = model(server.url, streaming=True)
        with pytest.raises(ModelServerError, match="ended before the reply.*can be resumed"):
            run(ask(asked, TALK))
        with pytest.raises(ModelServerError, match="ended before the reply"):
            await arun(ask(asked, TALK))


@pytest.mark.parametrize("end", [event({}, "stop"), DONE, "data:[DONE]\n\n"])
async def test_either_sign_ends_a_stream(end: str) -> None:
    with canned((event({"content": SAID}) + end).encode(), EVENTS) as server:
        for reply in await both(server.url, streaming=True):
            assert reply.said == SAID


@pytest.mark.parametrize("name", ["codex-mini-latest", "gpt-5-pro", "gpt-5.2-pro"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_server_of_ones_own_is_asked_for_chat_completions(name: str, streaming: bool) -> None:
    """OpenAI itself has some models behind another call only; other servers seldom have that one."""
    with canned(whole({"role": "assistant", "content": SAID})) as server:
        assert run(ask(model(server.url, name, streaming=streaming), TALK)).said == SAID
    assert server.seen[0].startswith("POST /v1/chat/completions")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "body", [whole({"role": "assistant", "content": SAID}), {"output": None}, {"detail": "no"}, []]
)
def test_an_answer_of_another_call_is_named(body: Any, streaming: bool) -> None:
    with canned(body) as server:
        asked = model(server.url, use_responses_api=True, streaming=streaming)
        with pytest.raises(ModelServerError, match="answered 502 .*'output'"):
            run(ask(asked, TALK))


@pytest.mark.parametrize(
    "body",
    [
        whole({"content": SAID}),
        whole({"role": 7, "content": SAID}),
        whole({"role": "assistant", "content": 7}),
        whole({"role": "assistant", "content": SAID}, usage={"prompt_tokens": "many"}),
    ],
)
def test_a_model_that_someone_else_made_blames_the_server_too(body: Any) -> None:
    """LangChain raises ValidationError or TypeError for these."""
    with canned(body) as server:
        other = ChatOpenAI(model="m", base_url=server.url, api_key="x", max_retries=0)
        with pytest.raises(ModelServerError, match="answered 502"):
            run(ask(other, TALK))


def test_a_good_answer_stays_as_it_is() -> None:
    answer = whole({"role": "assistant", "content": SAID, "reasoning": "Hm."}, usage={"a": 1})
    assert as_expected("/v1/chat/completions", json.dumps(answer).encode()) == answer
    vectors = {"data": [{"embedding": [0.5]}]}
    assert as_expected("/v1/embeddings", json.dumps(vectors).encode()) == vectors

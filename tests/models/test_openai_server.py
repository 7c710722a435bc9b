"""Servers of one's own, on the loopback interface: the words each of them knows."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from vitarmm_agent.effects import arun, run
from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.calls import ask, ask_structured
from vitarmm_agent.settings import Settings

# What llama-cpp-python 0.3.36 answers, with status 500, when it is asked for a json_schema.
DENIAL = (
    "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), "
    "'msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}]"
)
TALK = [HumanMessage("How many sides has a square?")]


class Sides(BaseModel):
    sides: int


class Server:
    """Answers chat completions, as far as it knows the form of the reply that is asked for."""

    def __init__(self, *forms: str, status: int = 500, told: str = DENIAL, end: str = "stop"):
        self.requests: list[dict[str, Any]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(request)
                form = request.get("response_format", {"type": "text"})["type"]
                if form not in ("text", *forms):
                    self._send(status, {"error": {"message": told, "type": "x", "code": None}})
                    return
                text = "four" if form == "text" else '{"sides": 4}'
                choice = {"index": 0, "message": {"role": "assistant", "content": text},
                          "finish_reason": end}  # fmt: skip
                usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
                self._send(200, {"id": "1", "object": "chat.completion", "created": 0,
                                 "model": "m", "choices": [choice], "usage": usage})  # fmt: skip

            def _send(self, code: int, data: dict[str, Any]) -> None:
                body = json.dumps(data).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def model(self, **options: Any) -> Any:
        settings = Settings(base_url=self.url, max_tokens=7)
        return load_chat_model("openai:m", settings=settings, max_retries=0, **options)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.http.shutdown()
        server.http.server_close()


def test_the_limit_of_new_tokens_is_named_as_every_server_knows_it(servers: list[Server]) -> None:
    server = Server()
    servers.append(server)
    model = server.model()
    assert run(ask(model, TALK)).message.text == "four"
    run(ask(model.bind(max_tokens=3), TALK))
    assert [request["max_tokens"] for request in server.requests] == [7, 3]
    assert not any("max_completion_tokens" in request for request in server.requests)


@pytest.mark.parametrize("schema", [Sides, Sides.model_json_schema()])
async def test_a_server_that_refuses_json_schema_is_asked_in_the_older_form_from_then_on(
    servers: list[Server], schema: Any
) -> None:
    server = Server("json_object")
    servers.append(server)
    model = server.model()
    first = run(ask_structured(model, schema, TALK))
    second = await arun(ask_structured(model, schema, TALK))
    for reply in (first, second):
        assert reply.error is None
        assert reply.parsed in (Sides(sides=4), {"sides": 4})
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (9, 5)
    forms = [request["response_format"] for request in server.requests]
    assert [form["type"] for form in forms] == ["json_schema", "json_object", "json_object"]
    assert forms[1]["schema"] == forms[0]["json_schema"]["schema"] == Sides.model_json_schema()


def test_a_server_that_knows_json_schema_gets_nothing_else(servers: list[Server]) -> None:
    server = Server("json_schema")
    servers.append(server)
    model = server.model()
    for _ in range(2):
        assert run(ask_structured(model, Sides, TALK)).parsed == Sides(sides=4)
    assert [r["response_format"]["type"] for r in server.requests] == ["json_schema"] * 2
    assert server.requests[0]["response_format"]["json_schema"]["name"] == "Sides"


def test_further_fields_of_a_request_come_from_the_environment(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama-cpp-python penalises repetition unless each request says otherwise."""
    monkeypatch.setenv("VITARMM_EXTRA_BODY", '{"repeat_penalty": 1.0}')
    server = Server("json_schema")
    servers.append(server)
    settings = Settings.load(base_url=server.url)
    model: Any = load_chat_model("openai:m", settings=settings)
    run(ask(model, TALK))
    run(ask_structured(model, Sides, TALK))
    assert [request["repeat_penalty"] for request in server.requests] == [1.0, 1.0]
    assert "response_format" in server.requests[1]
    monkeypatch.setenv("VITARMM_EXTRA_BODY", "[]")
    with pytest.raises(InputError, match="extra_body"):
        Settings.load()


@pytest.mark.parametrize(("status", "told"), [(500, "out of memory"), (401, DENIAL), (503, DENIAL)])
def test_other_failures_are_no_question_of_the_form(
    servers: list[Server], status: int, told: str
) -> None:
    server = Server(status=status, told=told)
    servers.append(server)
    with pytest.raises(ModelServerError, match=str(status)):
        run(ask_structured(server.model(), Sides, TALK))
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["ours", "openai"])
@pytest.mark.parametrize(
    ("end", "words", "cost"),
    [
        ("length", "cut off at max_tokens", (9, 5)),
        ("content_filter", "a content filter stopped the reply", None),
    ],
)
def test_structured_output_that_was_cut_off_is_unusable_output(
    servers: list[Server], kind: str, end: str, words: str, cost: tuple[int, int] | None
) -> None:
    """OpenAI's client raises for it, which must end no run."""
    server = Server("json_schema", end=end)
    servers.append(server)
    model: Any = server.model()
    if kind == "openai":
        model = ChatOpenAI(model="m", base_url=server.url, api_key="none", max_retries=0)
    reply = run(ask_structured(model, Sides.model_json_schema(), TALK))
    assert reply.parsed is None and words in str(reply.error)
    assert reply.usage.calls == 1
    if cost or kind == "ours":  # the client tells nothing of a filtered reply's cost
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (cost or (9, 5))


class InWords(ChatOpenAI):
    """A model that has no structured output of its own."""

    def with_structured_output(self, schema: Any, **options: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", ["ours", "openai", "in words"])
async def test_options_that_are_bound_reach_the_server_with_a_schema(
    servers: list[Server], kind: str
) -> None:
    server = Server("json_schema")
    servers.append(server)
    hosted: dict[str, Any] = {"base_url": server.url, "api_key": "none", "max_retries": 0}
    made = {"openai": ChatOpenAI, "in words": InWords}
    model: Any = made[kind](model="m", **hosted) if kind in made else server.model()
    bound = model.bind(temperature=0.5, stop=["END"]).with_retry().bind(temperature=0.25)
    run(ask_structured(bound.with_config(tags=["a"]), Sides, TALK))
    await arun(ask_structured(model.bind(temperature=0.25, stop=["END"]), Sides, TALK))
    sent = [(request["temperature"], request["stop"]) for request in server.requests]
    assert sent == [(0.25, ["END"])] * 2


class CallsTools(ChatOpenAI):
    """Gives structured output as the arguments of a tool, which were stopped on the way."""

    def _generate(self, *args: Any, **options: Any) -> ChatResult:
        call = {"name": "Sides", "args": {"sides": 4}, "id": "1"}
        ended = {"finish_reason": "content_filter"}
        message = AIMessage("", tool_calls=[call], response_metadata=ended)
        return ChatResult(generations=[ChatGeneration(message=message)])


def test_a_filter_counts_for_structured_output_in_tools_too() -> None:
    class Asked(CallsTools):
        def with_structured_output(self, schema: Any, **options: Any) -> Any:
            return super().with_structured_output(schema, method="function_calling", **options)

    reply = run(ask_structured(Asked(model="m", api_key="none"), Sides, TALK))
    assert reply.parsed is None and "content filter" in str(reply.error)

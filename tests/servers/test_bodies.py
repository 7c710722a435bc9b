"""Answers with status 200 that are none, from a real server to the clients that are used."""

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
from vitarmm_agent.memory_store.embedding import load_embeddings
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.calls import ask
from vitarmm_agent.servers.bodies import fault, status_of
from vitarmm_agent.settings import Settings

ASIDE = {"finish_reason": "stop", "index": 0}
SPOKEN = {**ASIDE, "message": {"role": "assistant", "content": "25"}}
BUSY = {"message": "Provider returned error", "code": 429}
BODIES: list[tuple[str, Any, int]] = [
    ("a router's error object", {"error": BUSY}, 429),
    ("the number as text", {"error": {"message": "slow down", "code": "429"}}, 429),
    ("words for a number", {"error": {"message": "m", "type": "rate_limit_exceeded"}}, 429),
    ("an error that is text", {"error": "model is overloaded"}, 503),
    ("Anthropic's", {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, 503),
    ("Google's", [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], 429),
    ("an error within", {"error": {"error": {"code": 503, "message": "m"}}}, 503),
    ("an error beside choices", {"choices": None, "error": {"code": 500, "message": "m"}}, 500),
    ("an error in the choice", {"choices": [{**SPOKEN, "error": {"code": 524}}]}, 524),
    ("a choice that ended in error", {"choices": [{**SPOKEN, "finish_reason": "error"}]}, 502),
    ("null choices", {"choices": None}, 502),
    ("no choice", {"choices": []}, 502),
    ("choices missing", {"detail": "Not here"}, 502),
    ("choices of another kind", {"choices": "25"}, 502),
    ("a null choice", {"choices": [None]}, 502),
    ("a null message", {"choices": [{**ASIDE, "message": None}]}, 502),
    ("no message", {"choices": [ASIDE]}, 502),
    ("null", None, 502),
    ("a list", [], 502),
    ("nothing", b"", 502),
    ("blanks", b" \n", 502),
    ("half", b'{"choices": [', 502),
    ("a login page as JSON", b"<html>Log in</html>", 502),
    ("a key that is refused", {"error": {"code": "invalid_api_key", "message": "m"}}, 401),
    ("a model that is not there", {"error": {"code": "model_not_found", "message": "m"}}, 404),
]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def model(url: str, **options: Any) -> Any:
    return load_chat_model("openai:m", settings=Settings(base_url=url), max_retries=0, **options)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("what", "body", "status"), BODIES, ids=[row[0] for row in BODIES])
async def test_a_chat_model_is_told_what_the_status_should_have_been(
    what: str, body: Any, status: int, streaming: bool
) -> None:
    with canned(body) as server:
        asked = model(server.url, streaming=streaming)
        with pytest.raises(ModelServerError, match=f"answered {status} .*HTTP 200") as raised:
            run(ask(asked, [HumanMessage("5 squared?")]))
        with pytest.raises(ModelServerError, match=f"answered {status} .*HTTP 200"):
            await arun(ask(asked, [HumanMessage("5 squared?")]))
    assert raised.value.status_code == status
    assert len(server.seen) == 2


@pytest.mark.parametrize("streaming", [False, True])
def test_a_web_page_is_no_answer(streaming: bool) -> None:
    with (
        canned(b"<html>Sign in</html>", "text/html; charset=utf-8") as server,
        pytest.raises(ModelServerError, match="answered 502 .*Sign in"),
    ):
        run(ask(model(server.url, streaming=streaming), [HumanMessage("Hi")]))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'data: {"error": {"message": "slow down", "code": 429}}\n\n', 429),
        (b'data: {"error": {"message": "out of order"}}\n\n', 502),
        (b"data: [DONE]\n\n", 502),
        (b"", 502),
        (b'data: {"choices": [\n\n', 502),
        (b'event: error\ndata: {"error": {"type": "overloaded_error", "message": "m"}}\n\n', 503),
    ],
)
async def test_a_stream_may_fail_in_the_same_ways(body: bytes, status: int) -> None:
    with canned(body, "text/event-stream") as server:
        asked = model(server.url, streaming=True)
        with pytest.raises(ModelServerError, match=f"answered {status}"):
            run(ask(asked, [HumanMessage("Hi")]))
        with pytest.raises(ModelServerError, match=f"answered {status}"):
            await arun(ask(asked, [HumanMessage("Hi")]))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((body, status) for what, body, status in BODIES if "choice" not in what),
        ({"data": None}, 502),
        ({"data": []}, 502),
        ({"choices": [SPOKEN]}, 502),
    ],
)
async def test_an_embedder_is_told_so_too(body: Any, status: int) -> None:
    with canned(body) as server:
        embedder = load_embeddings("openai:m", Settings(embedder_base_url=server.url))
        embedder.inner.client._client.max_retries = 0  # type: ignore[attr-defined]
        embedder.inner.async_client._client.max_retries = 0  # type: ignore[attr-defined]
        with pytest.raises(ModelServerError, match=f"answered {status}"):
            embedder.embed_query("a text")
        with pytest.raises(ModelServerError, match=f"answered {status}"):
            await embedder.aembed_documents(["a text"])


@pytest.mark.parametrize("body", [BODIES[0][1], {"choices": None}, {"choices": []}, b"", b"<p>"])
def test_a_model_that_someone_else_made_is_understood_as_well(body: Any) -> None:
    """LangChain raises ValueError, TypeError, IndexError or JSONDecodeError for these."""
    with canned(body) as server:
        other = ChatOpenAI(model="m", base_url=server.url, api_key="x", max_retries=0)
        with pytest.raises(ModelServerError, match="answered (429|502)"):
            run(ask(other, [HumanMessage("Hi")]))


def test_a_run_can_be_gone_on_with() -> None:
    with canned({"error": BUSY}) as server:
        agent = ReasoningAgent.open(reasoner=model(server.url), memory="off")
        with pytest.raises(ModelServerError, match="can be resumed"):
            agent.solve("What is 5 squared?", thread_id="t")
        server.body = b'{"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": '
        server.body += b'"assistant", "content": "5 * 5 = 25\\nAnswer: 25"}}]}'
        assert agent.resume("t").answer == "25"


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"code": 200, "message": "odd"}, 502),
        ({"code": "9" * 5000}, 502),
        ({"status": "UNAUTHENTICATED", "code": "x"}, 401),
        ({"type": "permission_error"}, 403),
        ({"code": "insufficient_quota"}, 429),
        ({"type": "server_error"}, 502),
        ({"code": "context_length_exceeded"}, 400),
        ("gateway timeout", 504),
        (["?"], 502),
    ],
)
def test_what_an_error_object_means(told: Any, status: int) -> None:
    assert status_of(told) == status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"choices": [SPOKEN]}),
        ("/v1/chat/completions", {"choices": [SPOKEN], "error": None}),
        ("/v1/chat/completions", {"choices": [{**ASIDE, "message": {"content": None}}]}),
        ("/v1/completions", {"choices": [{"text": ""}]}),
        ("/v1/embeddings", {"data": [{"embedding": [0.0]}]}),
        ("/v1/responses", {"output": []}),
    ],
)
def test_good_answers_are_left_alone(path: str, body: Any) -> None:
    assert fault(path, json.dumps(body).encode()) is None

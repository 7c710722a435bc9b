"""The examples of verdicts that come later, and of the clients through which they come."""

from __future__ import annotations

import json
import runpy
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.docs.conftest import ATTEMPT
from tests.docs.test_examples import EXAMPLES, run_example, serving
from vitarmm_agent import ReasoningAgent

pytestmark = pytest.mark.weights
QUESTION = "A square has a perimeter of 20 cm. What is its area?"


def langsmith_feedback(score: float | None, **more: Any) -> Any:
    """A thumb as LangSmith's client gives it."""
    from langsmith.schemas import Feedback

    now = datetime.now(UTC)
    ids = {name: uuid.uuid4() for name in ("id", "run_id", "trace_id")}
    return Feedback(**ids, created_at=now, modified_at=now,
                    key="user_score", score=score, **more)  # fmt: skip


def langsmith_run(thread: str) -> Any:
    from langsmith.schemas import Run

    extra = {"metadata": {"thread_id": thread, "ls_method": "invoke"}}
    return Run(id=uuid.uuid4(), name="reasoning", start_time=datetime.now(UTC), run_type="chain",
               inputs={}, extra=extra, trace_id=uuid.uuid4())  # fmt: skip


def test_langsmiths_feedback_is_a_verdict(rehearsal: Path) -> None:
    read = runpy.run_path(str(EXAMPLES / "later_verdicts.py"))["from_langsmith"]
    agent = ReasoningAgent.open()
    thread = agent.solve(QUESTION).thread_id
    run = langsmith_run(thread)
    down = langsmith_feedback(0, comment="Use the side.", correction={"solution": ATTEMPT})
    judged = agent.judge(**read(down, run))
    assert (judged.status, judged.judged[0]["by"]) == ("failed", "LangSmith")
    assert judged.judged[0]["solution"] == ATTEMPT
    assert agent.judge(**read(down, run)) == judged
    assert agent.judge(**read(langsmith_feedback(1.0), run)).status == "passed"
    assert agent.judge(**read(langsmith_feedback(None), run)).status == "abstained"


def langfuse(thread: str) -> Any:
    """Langfuse's API, as far as the example asks it."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    scores = [
        {"id": "s-1", "traceId": "t-1", "name": "user_score", "value": 1, "stringValue": "True",
         "dataType": "BOOLEAN", "source": "API", "comment": None},
        {"id": "s-2", "traceId": "t-2", "name": "user_score", "value": 0, "stringValue": "False",
         "dataType": "BOOLEAN", "source": "API", "comment": "Of another agent."},
    ]  # fmt: skip
    threads = {"t-1": thread, "t-2": "elsewhere"}

    async def listed(request: Request) -> JSONResponse:
        assert request.headers["authorization"].startswith("Basic ")
        page = int(request.query_params["page"])
        meta = {"page": page, "limit": 1, "totalItems": 2, "totalPages": 2}
        return JSONResponse({"data": scores[page - 1 : page], "meta": meta})

    async def trace(request: Request) -> JSONResponse:
        name = request.path_params["name"]
        return JSONResponse({"id": name, "metadata": {"thread_id": threads[name]}})

    return Starlette(routes=[Route("/api/public/v2/scores", listed),
                             Route("/api/public/traces/{name}", trace)])  # fmt: skip


def test_langfuses_scores_are_verdicts(
    rehearsal: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = ReasoningAgent.open().solve(QUESTION).thread_id
    with serving(langfuse(thread)) as url:
        for name, value in (("HOST", url), ("PUBLIC_KEY", "pk-lf-1"), ("SECRET_KEY", "sk-lf-1")):
            monkeypatch.setenv(f"LANGFUSE_{name}", value)
        monkeypatch.setattr(sys, "argv", ["later_verdicts.py", "langfuse"])
        run_example("later_verdicts.py")
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{thread}: passed by Langfuse"
    assert second.startswith("elsewhere: no run 'elsewhere'")


def test_the_openai_client(
    rehearsal: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openai")
    from vitarmm_agent.integrations.chat_api.app import create_chat_app

    agent = ReasoningAgent.open(namespace=("team", "{user}"))
    with serving(create_chat_app(agent, api_key="a-key-that-is-long-enough")) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "a-key-that-is-long-enough")
        run_example("openai_client.py")
    assert capsys.readouterr().out == f"{ATTEMPT}\npassed\n"


def test_a_person_is_asked_through_mcp(
    rehearsal: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mcp")
    monkeypatch.setattr(sys, "argv", ["mcp_person.py", QUESTION])
    monkeypatch.setattr("builtins.input", lambda prompt: "pass")
    run_example("mcp_person.py")
    shown = capfd.readouterr().out
    assert "Is this attempt right?" in shown and "'status': 'passed'" in shown
    assert json.dumps("25") in shown.replace("'", '"')

"""Thumbs that come the day after, from LangSmith or Langfuse, as verdicts on runs.

Both record the thread of a run in its metadata, which LangGraph puts there. The same thumb again changes
nothing, so that all of the last days can be read each night.

Run: LANGSMITH_API_KEY=… python later_verdicts.py langsmith
     LANGFUSE_HOST=… LANGFUSE_PUBLIC_KEY=… LANGFUSE_SECRET_KEY=… python later_verdicts.py langfuse
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import httpx

from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import InputError

NAME = "user_score"
"""How the thumb is called there: LangSmith's feedback key, Langfuse's score name."""


def verdict_of(score: Any) -> str:
    """1 and true are thumbs up, 0, -1 and false down; a thumb that was taken back says nothing."""
    return "abstain" if score is None else "pass" if float(score) > 0.5 else "fail"


def from_langsmith(feedback: Any, run: Any) -> dict[str, Any]:
    """A ``langsmith.schemas.Feedback`` and its ``Run`` as the arguments of ``agent.judge``."""
    correction = feedback.correction if isinstance(feedback.correction, dict) else {}
    return {
        "thread_id": run.metadata["thread_id"],
        "verdict": verdict_of(feedback.score),
        "comment": feedback.comment or "",
        "solution": str(correction.get("solution", "")),
        "by": "LangSmith",
    }


def from_langfuse(score: dict[str, Any], trace: dict[str, Any]) -> dict[str, Any]:
    """A score and its trace, as Langfuse's API gives them."""
    return {
        "thread_id": trace["metadata"]["thread_id"],
        "verdict": verdict_of(score["value"]),
        "comment": score.get("comment") or "",
        "by": "Langfuse",
    }


def of_langsmith() -> Iterator[dict[str, Any]]:
    """All thumbs of a project."""
    from langsmith import Client

    client = Client()
    for feedback in client.list_feedback(feedback_key=[NAME]):
        if feedback.run_id is not None:
            yield from_langsmith(feedback, client.read_run(feedback.run_id))


def of_langfuse() -> Iterator[dict[str, Any]]:
    """All thumbs of a project, a hundred a page."""
    keys = os.environ["LANGFUSE_PUBLIC_KEY"], os.environ["LANGFUSE_SECRET_KEY"]
    with httpx.Client(base_url=f"{os.environ['LANGFUSE_HOST']}/api/public", auth=keys) as client:
        page, pages = 1, 1
        while page <= pages:
            found = client.get("/v2/scores", params={"name": NAME, "page": page, "limit": 100})
            for score in found.raise_for_status().json()["data"]:
                trace = client.get(f"/traces/{score['traceId']}").raise_for_status().json()
                yield from_langfuse(score, trace)
            page, pages = page + 1, found.json()["meta"]["totalPages"]


if __name__ == "__main__":
    agent = ReasoningAgent.open()
    for said in of_langfuse() if sys.argv[1:] == ["langfuse"] else of_langsmith():
        try:
            result = agent.judge(**said)
        except InputError as error:  # of another agent, or not over yet
            print(f"{said['thread_id']}: {error}")
        else:
            print(f"{said['thread_id']}: {result.status} by {said['by']}")

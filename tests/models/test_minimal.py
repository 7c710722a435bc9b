"""A chat model of someone else's that implements what LangChain demands and no more, in every role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, operations
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.problem import Problem
from vitarmm_agent.verifiers import Function, Judge

JUDGED = json.dumps(
    {
        "steps": [{"step": n, "check": "so it is", "verdict": "right"} for n in (1, 2)],
        "verdict": "right",
    }
)


class Minimal(BaseChatModel):
    """No streaming, no structured output, no tools, no usage: ``_generate`` and a name."""

    replies: tuple[str, ...]
    _asked: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        self._asked.append(messages)
        text = self.replies[min(len(self._asked), len(self.replies)) - 1]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    @property
    def _llm_type(self) -> str:
        return "minimal"


def minimal(*replies: str) -> Minimal:
    return Minimal(replies=replies)


def is_25(problem: Problem, answer: str) -> bool:
    return answer == "25"


def agent(**roles: Any) -> ReasoningAgent:
    return ReasoningAgent.open(**({"memory": "off"} | roles))


async def test_it_reasons_under_the_defaults() -> None:
    solved = agent(reasoner=minimal(WRONG, RIGHT)).solve(QUESTION)
    assert (solved.answer, len(solved.attempts)) == ("25", 2)
    solved = await agent(reasoner=minimal(WRONG, RIGHT)).asolve(QUESTION)
    assert (solved.answer, len(solved.attempts)) == ("25", 2)


async def test_its_run_can_be_streamed() -> None:
    events = [
        event["event"]
        for event in agent(reasoner=minimal(WRONG, RIGHT)).stream(QUESTION, stream_mode="custom")
    ]
    assert events.count("verdict") == 2 and events[-1] == "stopped_because"
    later = agent(reasoner=minimal(RIGHT)).astream(QUESTION, stream_mode="custom")
    assert [event["event"] async for event in later][-1] == "stopped_because"


@pytest.mark.weights
async def test_it_writes_and_teaches(tmp_path: Path, weights: Any) -> None:
    weights("all-minilm-l6-v2")
    writer, teacher = minimal(operations(LESSON)), minimal(RIGHT)
    roles: dict[str, Any] = {
        "reasoner": minimal(WRONG),
        "feedback": [Function(is_25, name="is_25")],
    }
    taught = agent(**roles, rmm=writer, teacher=teacher, memory=tmp_path / "a", max_iterations=1)
    result = taught.solve(QUESTION)
    kept = [done["kind"] for record in result.written for done in record["operations"]]
    assert kept and len(writer._asked) == 1 and len(teacher._asked) == 1
    roles["reasoner"] = minimal(WRONG)
    other = agent(**roles, rmm=writer, teacher=teacher, memory=tmp_path / "b", max_iterations=1)
    result = await other.asolve(QUESTION)
    assert [done for record in result.written for done in record["operations"]]
    assert len(writer._asked) == 2 and len(teacher._asked) == 2


@pytest.mark.parametrize("told", [JUDGED, f"Let me see.\n```json\n{JUDGED}\n```"])
async def test_it_judges(told: str) -> None:
    judge = minimal(told)
    for solved in (
        agent(reasoner=minimal(RIGHT), feedback=[Judge(judge)]).solve(QUESTION),
        await agent(reasoner=minimal(RIGHT), feedback=[Judge(judge)]).asolve(QUESTION),
    ):
        assert solved.answer == "25"
        parts = solved.feedback[-1].parts or (solved.feedback[-1],)
        assert parts[-1].verdict == "pass" and parts[-1].failure is None
    assert "JSON" in str(judge._asked[0])  # what a server would be told by its own field


async def test_one_model_has_every_role() -> None:
    """As where only a reasoner is given: it judges too."""
    solved = agent(reasoner=minimal(RIGHT, JUDGED), feedback="arithmetic,judge").solve(QUESTION)
    assert solved.answer == "25" and solved.status in ("passed", "abstained")

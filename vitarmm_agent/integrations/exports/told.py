"""What an export tells of a run: what was said, and what became of it. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from vitarmm_agent.answers import parse_steps
from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.exports.messages import said_in
from vitarmm_agent.problem import MAX_TEXT, Attempt, Feedback, Problem, Step
from vitarmm_agent.verifiers.person_reply import verdict_word
from vitarmm_agent.verifiers.precision import MIN_PRECISION
from vitarmm_agent.verifiers.solution import solution_of

Kind = Literal["messages", "opentelemetry", "langsmith", "langfuse"]
MAX_RESULT = 500
"""Characters of a tool's result within an attempt."""
_IN_DIGITS = {"1": 1, "0": 0, "-1": -1}


@dataclass(frozen=True)
class Score:
    """What someone said of a run.

    Attributes:
        name: of the score; empty where there is only one.
        value: pass, fail, a number, a truth value, or a word.
        comment: grounds.
        solution: a right one.
        by_model: no person is known to have given it.
    """

    name: str
    value: Any
    comment: str = ""
    solution: str = ""
    by_model: bool = False


@dataclass(frozen=True)
class Judging:
    """How scores become verdicts.

    Attributes:
        score: name of the one that counts; empty: all, which must agree.
        pass_from: number from which a score passes; None: 1 passes, 0 and -1 fail, others say nothing.
        precision: measured share of right verdicts where no person gave them; None: they are advice.
    """

    score: str = ""
    pass_from: float | None = None
    precision: float | None = None


@dataclass(frozen=True)
class Told:
    """One run of an export.

    Attributes:
        kind: whose export it is.
        trace: its name there.
        number: its line, or its place in a list.
        messages: all that was said, in order.
        scores: what was said of it.
    """

    kind: Kind
    trace: str
    number: int
    messages: tuple[BaseMessage, ...]
    scores: tuple[Score, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in memory: short enough for a run's name."""
        whole = f"{self.kind}:{self.trace}"
        usable = len(whole) <= 200 and whole.isprintable()
        return whole if usable else f"{self.kind}:{_hash(self.trace)}"


def problem_of(told: Told) -> Problem:
    """All that the user said, which is the problem.

    Raises:
        InputError: they said nothing, an image, or too much.
    """
    texts = [said_in(m) for m in told.messages if isinstance(m, HumanMessage)]
    text = "\n\n".join(text for text in texts if text.strip())
    if not text:
        raise InputError("has no message of a user")
    return Problem.parse(text)


def attempt_of(told: Told, problem: Problem, number: int) -> Attempt:
    """All that came after the user's last message: one attempt, with the calls of tools.

    Raises:
        InputError: nothing came, or too much.
    """
    last = max(i for i, m in enumerate(told.messages) if isinstance(m, HumanMessage))
    parts = [part for m in told.messages[last + 1 :] for part in _parts(m) if part[0].strip()]
    if not parts:
        raise InputError("has no reply after the user's last message")
    text = "\n".join(part for part, _ in parts)
    if len(text) > MAX_TEXT:
        raise InputError(f"has a reply of {len(text):,} characters; the limit is {MAX_TEXT:,}")
    attempt = solution_of(problem, text, number)
    if not any(acts for _, acts in parts):
        return attempt
    steps = [
        step for part, acts in parts
        for step in ([part] if acts else [said.text for said in parse_steps(part)])
    ]  # fmt: skip
    numbered = tuple(Step(number=n, text=step) for n, step in enumerate(steps, start=1))
    return attempt.model_copy(update={"steps": numbered})


def feedback_of(told: Told, judging: Judging) -> Feedback:
    """The verdict of those who judged it; one that abstains says why in ``failure``."""
    scores = [s for s in told.scores if not judging.score or s.name == judging.score]
    solution = next((score.solution for score in scores if score.solution), "")
    verdicts = [(score, _verdict(score.value, judging.pass_from)) for score in scores]
    clear = [(score, verdict) for score, verdict in verdicts if verdict]
    clear = [one for one in clear if not one[0].by_model] or clear
    failure = _unclear(told, judging, [verdict for _, verdict in clear])
    if failure:
        return Feedback(verdict="abstain", source="import", solution=solution, failure=failure)
    deciding = clear[0][0]
    believed = judging.precision is not None and judging.precision >= MIN_PRECISION
    if deciding.by_model and not believed:
        failure = "was judged by no person, and no measured precision is given: that is advice"
        return Feedback(verdict="abstain", source="import", solution=solution, failure=failure)
    return Feedback(
        verdict=clear[0][1],
        source=f"import {deciding.name}".strip() if deciding.by_model else "human",
        message=next((s.comment for s, _ in clear if s.comment), ""),
        precision=judging.precision if deciding.by_model else None,
        solution=solution,
    )


def mark_of(feedback: Feedback) -> str:
    """A mark of what is said of a run; another verdict has another."""
    return _hash(json.dumps([feedback.verdict, feedback.message, feedback.solution]))[:12]


def trace_of(row: Any) -> str:
    """A name for a row that has none: the same row has the same."""
    return _hash(json.dumps(row, sort_keys=True, ensure_ascii=True, default=str))[:32]


def _unclear(told: Told, judging: Judging, verdicts: Sequence[str]) -> str:
    if not told.scores:
        return "has no verdict"
    if len(set(verdicts)) > 1:
        names = ", ".join(repr(score.name) for score in told.scores[:5])
        return f"has scores that disagree; name the one that counts, of {names}"
    if verdicts:
        return ""
    values = ", ".join(f"{score.name!r}: {score.value!r:.30}" for score in told.scores[:5])
    missing = f"has no score {judging.score!r}" if judging.score else "has no clear verdict"
    return f"{missing}, got {values}; give the name of one, or the number from which it passes"


def _verdict(value: Any, pass_from: float | None) -> Literal["pass", "fail"] | None:
    if isinstance(value, str) and (word := verdict_word(value)):
        return None if word == "abstain" else word
    if isinstance(value, str):
        value = _IN_DIGITS.get(value.strip())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and pass_from is not None:
        return "pass" if value >= pass_from else "fail"
    if value == 1:
        return "pass"
    return "fail" if value in (0, -1) else None


def _parts(message: BaseMessage) -> list[tuple[str, bool]]:
    """What a message says, and what it does: the calls of tools, and their results."""
    text = said_in(message)
    if isinstance(message, ToolMessage):
        return [(f"(the tool answered: {' '.join(text.split())[:MAX_RESULT]})", True)]
    if not isinstance(message, AIMessage):
        return []
    calls = [
        f"(called {call['name']} with {json.dumps(call['args'], ensure_ascii=False)[:MAX_RESULT]})"
        for call in message.tool_calls
    ]
    return [(text, False), *((call, True) for call in calls)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""What a memory writer was asked to decide on, taken from finished runs. Plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from vitarmm_agent.data import Data
from vitarmm_agent.effects import Flow
from vitarmm_agent.evals.writers.trials import Probe
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.problem import Attempt, Feedback, Problem, Verdict
from vitarmm_agent.result import Result
from vitarmm_agent.rmm.schema import Situation
from vitarmm_agent.rmm.writer import (
    MemoryWriter,
    WriterDecision,
    decision_messages,
    situation_of,
)

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


class Case(Data):
    """One thing to decide on.

    Attributes:
        problem: with its reference, which is used to grade and reaches no prompt.
        attempts: the attempts so far, without their prompts.
        feedback: one per attempt; the last is a pass or a fail.
        related: entries that the writer was shown by number.
        recalled: entries that the attempts were shown.
        decided: what the run's own writer asked for; None when its answer could not be used.
        thought: what that writer wrote before it decided, if it was asked to.
        verdict_after: feedback on the next attempt of the run, or None.
        solution: a right one of what failed, where someone gave it after the run.
        siblings: problems of its kind that no one here has seen, to try entries on.
    """

    problem: Problem
    attempts: tuple[Attempt, ...]
    feedback: tuple[Feedback, ...]
    related: tuple[MemoryEntry, ...] = ()
    recalled: tuple[MemoryEntry, ...] = ()
    decided: tuple[Operation, ...] | None = None
    thought: str = ""
    verdict_after: Verdict | None = None
    thread_id: str = ""
    solution: Attempt | None = None
    siblings: tuple[Probe, ...] = ()

    @model_validator(mode="after")
    def _can_be_decided_on(self) -> Self:
        if not self.attempts:
            raise ValueError("there is nothing to decide on without an attempt")
        situation_of(self.feedback)
        return self

    @property
    def situation(self) -> Situation:
        """Success, failure or contrast."""
        return situation_of(self.feedback)

    @property
    def benchmark(self) -> str:
        """Where the problem comes from."""
        return str(self.problem.metadata.get("benchmark", ""))

    @property
    def key(self) -> str:
        """``BENCHMARK/PROBLEM/ATTEMPT``."""
        return f"{self.benchmark}/{self.problem.id}/{self.attempts[-1].number}"

    @property
    def shown(self) -> tuple[MemoryEntry, ...]:
        """Every entry that a writer may not hand back as new."""
        return (*self.related, *self.recalled)

    @property
    def oracle(self) -> bool:
        """Whether the feedback saw the gold answer."""
        return any(item.oracle for item in self.feedback)

    def provenance(self, writer: str) -> Provenance:
        """Where an entry that ``writer`` makes of this comes from."""
        return Provenance(
            run=self.thread_id,
            problem_id=self.problem.id,
            attempt=self.attempts[-1].number,
            verifier=self.feedback[-1].source,
            writer=writer,
        )

    def messages(self, *, think: bool = False) -> list[BaseMessage]:
        """The prompt, as the writer sends it."""
        problem = self.problem.without_reference()
        return decision_messages(
            problem,
            self.attempts,
            self.feedback,
            self.related,
            solution=self.solution,
            think=think,
        )

    def decision_of(self, writer: MemoryWriter, name: str) -> Flow[WriterDecision]:
        """What a writer makes of it, signed by ``name``."""
        return writer.decide(
            self.problem.without_reference(),
            self.attempts,
            self.feedback,
            self.related,
            self.provenance(name),
            recalled=self.recalled,
            solution=self.solution,
        )


def cases_of(result: Result, problem: Problem) -> list[Case]:
    """Each decision that a finished run asked its writer for.

    Args:
        result: the run.
        problem: what it solved, with its reference.
    """
    cases = []
    for record in result.written:
        if not record.situation:  # memory was off, or there was no verdict
            continue
        number = record.number
        cases.append(
            Case(
                problem=problem,
                attempts=tuple(_slim(attempt) for attempt in result.attempts[:number]),
                feedback=result.feedback[:number],
                related=record.related,
                recalled=_shown(result, number),
                decided=None if record.failure else record.decided,
                thought=record.thought,
                verdict_after=result.feedback[number].verdict
                if len(result.feedback) > number
                else None,
                thread_id=result.thread_id,
            )
        )
    return cases


def _slim(attempt: Attempt) -> Attempt:
    return attempt.model_copy(update={"prompt": (), "metadata": {}})


def _shown(result: Result, number: int) -> tuple[MemoryEntry, ...]:
    return tuple(
        recalled.entry
        for record in result.recalled
        if record.number <= number
        for recalled in record.entries
    )

"""From a finished run to a :class:`Sample`: graded after the run, with the gold answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vitarmm_agent.answers import grade_attempt
from vitarmm_agent.answers.equations import equations
from vitarmm_agent.answers.grading import GradingPolicy
from vitarmm_agent.evals.run.arms import Arm
from vitarmm_agent.evals.run.folder import Prices
from vitarmm_agent.evals.run.samples import (
    Sample,
    SampleAttempt,
    SampleError,
    ShownEntry,
    WrittenEntry,
)
from vitarmm_agent.memory_store.operations import Recalled
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.problem import Attempt, Feedback, Problem, Usage
from vitarmm_agent.redaction import redact
from vitarmm_agent.result import RecallRecord, Result, WriteRecord
from vitarmm_agent.rmm.audit import leak_of
from vitarmm_agent.verifiers.self_consistency import group_answers

MILLION = 1_000_000


@dataclass(frozen=True)
class Task:
    """One problem for one arm in one order.

    Attributes:
        problem: with its reference.
        benchmark: its name.
        position: place of the problem in the order, from 0.
        policy: how its answers are graded.
        kin: ids of the problems of its group.
    """

    arm: Arm
    problem: Problem
    benchmark: str
    order: int = 0
    position: int = 0
    policy: GradingPolicy = "strict"
    kin: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """As :attr:`Sample.key`."""
        return f"{self.arm.name}/{self.order}/{self.problem.id}"

    @property
    def thread_id(self) -> str:
        """Name of its run; the same whenever the evaluation is run."""
        return f"{self.arm.name}-{self.order}-{self.problem.id}"


def sample_of_run(task: Task, result: Result, prices: Prices | None = None) -> Sample:
    """The sample of a run of the loop, or of a single pass."""
    attempts = [
        _attempt(task, result, number, attempt) for number, attempt in enumerate(result.attempts)
    ]
    standing = next((a for a in reversed(attempts) if a.answer == result.answer), None)
    return _sample(
        task,
        thread_id=result.thread_id,
        answer=result.answer,
        correct=standing is not None and standing.correct,
        status=result.status,
        stopped_because=result.stopped_because,
        attempts=tuple(attempts),
        written=tuple(_written(task.problem, result.written)),
        write_failures=sum(record.failure is not None for record in result.written),
        teacher=result.taught.solution.usage if result.taught and result.taught.solution else None,
        usage=result.usage,
        seconds=result.seconds,
        cost=cost_of(result.usage, prices),
    )


def sample_of_votes(
    task: Task, results: Sequence[Result], prices: Prices | None = None, **metadata: Any
) -> Sample:
    """The sample of several independent passes: the answer that most of them give stands."""
    attempts = [
        _attempt(task, result, 0, result.attempts[0]).model_copy(update={"number": number})
        for number, result in enumerate(results, 1)
    ]
    groups = group_answers(task.problem, [attempt.answer for attempt in attempts])
    most = max(groups, key=len, default=[0])
    usage = sum((result.usage for result in results), Usage())
    return _sample(
        task,
        thread_id=results[most[0]].thread_id,
        answer=attempts[most[0]].answer,
        correct=attempts[most[0]].correct,
        status="abstained",
        stopped_because=f"{len(most)} of {len(attempts)} passes give this answer"
        if groups
        else "no pass gives an answer",
        attempts=tuple(attempts),
        usage=usage,
        seconds=round(sum(result.seconds for result in results), 4),
        cost=cost_of(usage, prices),
        metadata=metadata,
    )


def sample_of_crash(task: Task, error: Exception) -> Sample:
    """The sample of a run that did not end."""
    return _sample(
        task,
        thread_id=task.thread_id,
        crash=redact(f"{type(error).__name__}: {error}")[:2000],
    )


def cost_of(usage: Usage, prices: Prices | None) -> float | None:
    """Dollars, where prices are known."""
    if prices is None:
        return None
    dollars = usage.input_tokens * prices.input + usage.output_tokens * prices.output
    return dollars / MILLION


def _sample(task: Task, **fields: Any) -> Sample:
    return Sample(
        benchmark=task.benchmark,
        problem_id=task.problem.id,
        arm=task.arm.name,
        order=task.order,
        position=task.position,
        category=str(task.problem.metadata.get("category") or ""),
        question=task.problem.text,
        reference=task.problem.reference,
        answer_type=task.problem.answer_type,
        oracle=task.arm.oracle,
        group=str(task.problem.metadata.get("group") or ""),
        **fields,
    )


def _attempt(task: Task, result: Result, index: int, attempt: Attempt) -> SampleAttempt:
    feedback = result.feedback[index] if index < len(result.feedback) else None
    recalled = result.recalled[index] if index < len(result.recalled) else RecallRecord()
    verdict = feedback or Feedback(verdict="abstain", source="none")
    marks = [
        all(equation.holds for equation in found)
        for step in attempt.steps
        if (found := equations(step.text))
    ]
    correct = grade_attempt(task.problem, attempt, policy=task.policy).correct
    return SampleAttempt(
        number=attempt.number,
        answer=attempt.answer,
        correct=correct,
        copied=not correct and _copies(task, attempt, recalled),
        verdict=verdict.verdict,
        source=verdict.source,
        advice={part.source: part.verdict for part in verdict.parts if part.advice},
        steps=len(attempt.steps),
        wrong_steps=marks.count(False),
        checked_steps=len(marks),
        errors=tuple(
            SampleError(kind=e.kind, signature=e.signature, step=e.step) for e in verdict.errors
        ),
        shown=tuple(_shown(recalled, task.kin)),
        cut=attempt.cut,
        usage=attempt.usage + verdict.usage,
        seconds=round(attempt.seconds + verdict.seconds, 4),
    )


def _copies(task: Task, attempt: Attempt, recalled: RecallRecord) -> bool:
    """Whether an attempt gives the answer of an example that it was shown."""
    for found in recalled.entries:
        example = found.entry.example
        if example is None or not found.as_example:
            continue
        its = task.problem.model_copy(update={"reference": example.answer})
        if grade_attempt(its, attempt, policy=task.policy).correct:
            return True
    return False


def _shown(recalled: RecallRecord, kin: frozenset[str]) -> Iterator[ShownEntry]:
    kept = map(Recalled.model_validate, (recalled.model_extra or {}).get("withheld", ()))
    for chosen, withheld in ((recalled.entries, False), (tuple(kept), True)):
        for found in chosen:
            entry = found.entry
            yield ShownEntry(
                id=entry.id,
                entry_type=entry.entry_type,
                origin=entry.provenance.problem_id,
                confidence=entry.confidence,
                similarity=_rounded(found.similarity),
                withheld=withheld,
                as_example=found.as_example,
                kin=entry.provenance.problem_id in kin,
            )


def _rounded(similarity: float) -> float:
    """To 4 places: an entry that is not yet in the index is compared in another precision."""
    return round(similarity, 4)


def _written(problem: Problem, records: Sequence[WriteRecord]) -> Iterator[WrittenEntry]:
    for record in records:
        for done in record.operations:
            entry = done.entry
            yield WrittenEntry(
                entry_id=done.entry_id,
                action=done.kind,
                entry_type=entry.entry_type if entry else None,
                attempt=record.number,
                leak=leak_of(_text(entry), problem) if entry else None,
            )


def _text(entry: MemoryEntry) -> str:
    return "\n".join((entry.title, entry.applies_when, entry.content))

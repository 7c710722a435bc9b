"""Learning from runs made elsewhere: what the remember node would have written, with its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.effects import Flow, arun, calls, in_thread, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.exports.files import Export, read_export
from vitarmm_agent.integrations.exports.told import (
    Judging,
    Told,
    attempt_of,
    feedback_of,
    mark_of,
    problem_of,
)
from vitarmm_agent.memory_store.curation import person_run
from vitarmm_agent.memory_store.operations import Operation, Written
from vitarmm_agent.memory_store.schema import Provenance
from vitarmm_agent.memory_store.transfer import BadLine
from vitarmm_agent.nodes.teach import checked_entry
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.rmm.rule import RuleWriter
from vitarmm_agent.rmm.worked import TRUSTED, believed, solved_in_the_end
from vitarmm_agent.rmm.writer import MemoryWriter
from vitarmm_agent.verifiers.solution import solution_of

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory

MAX_TIMES = 100
"""How often a run may be taken back and learned from again."""

REMEMBERED = 9
"""Earlier runs on the same problem that are looked at."""


class Learned(BaseModel):
    """What came of a file.

    Attributes:
        run: the run that ``undo`` takes to take all of it back; empty when nothing was written.
        sha256: of the file.
        runs: how many it holds.
        parts: rows that are parts of runs.
        written: what was written, by run of the file.
        known: runs that were learned from before.
        unjudged: runs without a verdict that counts, and why.
        nothing: judged runs that had nothing to teach.
        failed: solutions and lessons that could not be kept, and why.
        bad: rows that cannot be read, and why.
    """

    model_config = ConfigDict(frozen=True)

    run: str = ""
    sha256: str
    runs: int
    parts: int = 0
    written: tuple[Written, ...] = ()
    known: int = 0
    unjudged: tuple[BadLine, ...] = ()
    nothing: int = 0
    failed: tuple[BadLine, ...] = ()
    bad: tuple[BadLine, ...] = ()


def learn_runs(
    memory: ReasoningMemory,
    file: Path | str,
    *,
    writer: MemoryWriter | None = None,
    judging: Judging | None = None,
    trusted: float = TRUSTED,
) -> Learned:
    """Learn from the runs of an export, each once.

    A right solution that comes with a run becomes a worked example, as does a pass after a fail on the
    same problem; a ``writer`` is asked for a lesson on each run with a verdict. Anyone may have written
    the file: equations of solutions are checked, and what seems to instruct the model waits for review.

    Args:
        memory: what is learned goes there.
        file: messages with verdicts as JSON Lines, OTLP JSON, runs of LangSmith, traces of Langfuse.
        writer: the memory writer; None: no lessons in words.
        judging: how scores become verdicts.
        trusted: precision from which a pass of no person is believed.

    Raises:
        InputError: the file cannot be read, or holds no run at all.
        ModelServerError: the writer's server failed; what was learned stays, and the rest is learned
            when this is called again.
    """
    return run(_learn(memory, Path(file), writer, judging or Judging(), trusted))


async def alearn_runs(
    memory: ReasoningMemory,
    file: Path | str,
    *,
    writer: MemoryWriter | None = None,
    judging: Judging | None = None,
    trusted: float = TRUSTED,
) -> Learned:
    """As :func:`learn_runs`, on an event loop."""
    return await arun(_learn(memory, Path(file), writer, judging or Judging(), trusted))


@dataclass
class _Case:
    """A run of the file, with those before it on the same problem."""

    told: Told
    problem: Problem
    attempts: list[Attempt]
    verdicts: list[Feedback]

    def provenance(self, by: str) -> Provenance:
        return Provenance(
            run=self.told.name,
            problem_id=self.problem.id,
            attempt=len(self.attempts),
            verifier=self.verdicts[-1].source,
            writer=by,
        )

    def bad(self, why: object) -> BadLine:
        return BadLine(number=self.told.number, reason=f"({self.told.name}) {why}")


@dataclass
class _Learning:
    memory: ReasoningMemory
    sha256: str
    writer: MemoryWriter | None
    trusted: float
    run: str = field(default_factory=lambda: person_run("learn"))
    written: list[Written] = field(default_factory=list)
    failed: list[BadLine] = field(default_factory=list)

    def learn(self, case: _Case) -> Flow[bool | None]:
        """Write what a run teaches; False: that was done before, None: it teaches nothing."""
        new, old = False, False
        solution = self._solution(case)
        for part in ("solution", "lesson"):
            if not (solution if part == "solution" else self._may_teach(case)):
                continue
            key = yield from self._open(f"{case.told.name}:{mark_of(case.verdicts[-1])}:{part}")
            old = old or key is None
            if key is None:
                continue
            if part == "solution" and solution is not None:
                operations = yield from self._example(case, solution)
            else:
                operations = yield from self._lesson(case)
            if operations is not None:
                yield from self._write(case, operations, key)
                new = new or bool(operations)
        return True if new else False if old else None

    def _solution(self, case: _Case) -> Attempt | None:
        """A right solution: one that came with the run, or its own, when it passed after a fail.

        The rule keeps one that passed at once, too.
        """
        if case.verdicts[-1].solution:
            return solution_of(case.problem, case.verdicts[-1].solution)
        judged = [verdict for verdict in case.verdicts if verdict.verdict != "abstain"]
        if not believed(case.verdicts[-1], self.trusted):
            return None
        if not self._by_rule and not solved_in_the_end(judged, self.trusted):
            return None
        return solution_of(case.problem, case.attempts[-1].text)

    @property
    def _by_rule(self) -> bool:
        """Whether right solutions are kept and nothing beside them."""
        return isinstance(self.writer, RuleWriter)

    def _may_teach(self, case: _Case) -> bool:
        judged = case.verdicts[-1].verdict != "abstain" and not self._by_rule
        return self.writer is not None and judged and not case.attempts[-1].silent

    def _example(self, case: _Case, solution: Attempt) -> Flow[list[Operation] | None]:
        provenance = case.provenance(by=f"(from {case.told.kind})")
        try:
            entry = yield from checked_entry(case.problem, solution, provenance)
        except InputError as error:
            self.failed.append(case.bad(error))
            return None
        return [Operation(kind="add", entry=entry, reason="a right solution")]

    def _lesson(self, case: _Case) -> Flow[list[Operation] | None]:
        assert self.writer is not None
        provenance = case.provenance(by=self.writer.name)
        memory = self.memory
        related = yield from calls(memory.recall, memory.arecall, case.problem.text)
        entries = [found.entry for found in related.entries]
        decision = yield from self.writer.decide(
            case.problem, case.attempts, case.verdicts, entries, provenance
        )
        if decision.failure:
            self.failed.append(case.bad(f"the memory writer failed: {decision.failure}"))
            return None
        return list(decision.operations)

    def _write(self, case: _Case, operations: Sequence[Operation], key: str) -> Flow[None]:
        told = case.told
        source = {"kind": told.kind, "trace": told.trace[:500], "line": told.number,
                  "sha256": self.sha256}  # fmt: skip
        signed = [
            one if one.entry is None else one.model_copy(
                update={"entry": one.entry.model_copy(
                    update={"metadata": one.entry.metadata | {"source": source}}
                )}
            )
            for one in operations
        ]  # fmt: skip
        memory = self.memory
        self.written += yield from calls(
            memory.write_once,
            memory.awrite_once,
            signed,
            key=key,
            run=self.run,
            problem_id=case.problem.id,
        )

    def _open(self, name: str) -> Flow[str | None]:
        """A name to write under; None when what was written under it is still there."""
        memory = self.memory
        for time in range(MAX_TIMES):
            key = f"{name}:{time}" if time else name
            before = yield from calls(memory.written, memory.awritten, key)
            if before is None:
                return key
            ids = [done.entry_id for done in before if done.entry_id]
            there = yield from self._there(ids)
            if there or not ids:
                return None
        return None

    def _there(self, entry_ids: Sequence[str]) -> Flow[bool]:
        memory = self.memory
        for entry_id in entry_ids:
            if (yield from calls(memory.get, memory.aget, entry_id)) is not None:
                return True
        return False


def _learn(
    memory: ReasoningMemory,
    file: Path,
    writer: MemoryWriter | None,
    judging: Judging,
    trusted: float,
) -> Flow[Learned]:
    export: Export = yield from in_thread(read_export, file)
    if not export.runs and not export.parts:
        why = "; ".join(map(str, export.bad[:5])) or "it has no messages"
        raise InputError(f"{str(file)!r} holds no run that can be learned from: {why}")
    learning = _Learning(memory, export.sha256, writer, trusted)
    past: dict[str, _Case] = {}
    bad, unjudged = list(export.bad), list[BadLine]()
    known = nothing = 0
    for told in export.runs:
        try:
            problem = problem_of(told)
            before = past.setdefault(problem.id, _Case(told, problem, [], []))
            attempt = attempt_of(told, problem, len(before.attempts) + 1)
            feedback = feedback_of(told, judging)
        except InputError as error:
            bad.append(BadLine(number=told.number, reason=str(error)))
            continue
        attempts = [*before.attempts[-REMEMBERED:], attempt]
        case = _Case(told, problem, attempts, [*before.verdicts[-REMEMBERED:], feedback])
        if feedback.verdict != "abstain":
            past[problem.id] = case
        elif not feedback.solution:
            unjudged.append(case.bad(feedback.failure))
            continue
        try:
            done = yield from learning.learn(case)
        except InputError as error:  # of what this run says: a name or a text that cannot be kept
            learning.failed.append(case.bad(error))
            continue
        known, nothing = known + (done is False), nothing + (done is None)
    return Learned(
        run=learning.run if any(done.kind != "skipped" for done in learning.written) else "",
        sha256=export.sha256,
        runs=len(export.runs),
        parts=export.parts,
        written=tuple(learning.written),
        known=known,
        unjudged=tuple(unjudged),
        nothing=nothing,
        failed=tuple(learning.failed),
        bad=tuple(sorted(bad, key=lambda one: one.number)),
    )

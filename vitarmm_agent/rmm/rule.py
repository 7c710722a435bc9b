"""The rule as a memory writer: a right solution becomes a worked example, and no model is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.problem import Attempt, Feedback, Problem, Usage
from vitarmm_agent.rmm.novelty import only_news
from vitarmm_agent.rmm.schema import written_json
from vitarmm_agent.rmm.worked import TRUSTED, believed, last_failed, worked_entry
from vitarmm_agent.rmm.writer import MemoryWriter, WriterDecision, situation_of

RULE = "rule"
"""The spec that names it, in place of a chat model's."""


class RuleWriter(MemoryWriter):
    """Keeps a right solution as a worked example; nothing where none is known."""

    name = RULE

    def __init__(self, trusted: float = TRUSTED) -> None:
        """Take a pass for right from this precision on; the gold answer's and a person's always."""
        self.trusted = trusted

    def decide(
        self,
        problem: Problem,
        attempts: Sequence[Attempt],
        feedback: Sequence[Feedback],
        related: Sequence[MemoryEntry],
        provenance: Provenance,
        *,
        recalled: Sequence[MemoryEntry] = (),
        solution: Attempt | None = None,
        worked: Sequence[Operation] = (),
    ) -> Flow[WriterDecision]:
        """As :meth:`MemoryWriter.decide`, at once and without a model: ``worked``, if there is any."""
        yield from ()
        begun, situation = time.perf_counter(), situation_of(feedback)
        operations = tuple(worked)
        right = attempts[-1] if believed(feedback[-1], self.trusted) else solution
        if not operations and right is not None:
            wrong = last_failed(attempts, feedback)
            operations = _kept(problem, right, wrong, provenance, (*related, *recalled))
        raw, seconds = written_json(operations, related), time.perf_counter() - begun
        return WriterDecision(operations, None, raw, Usage(), seconds, situation)


def _kept(
    problem: Problem,
    right: Attempt,
    wrong: Attempt | None,
    provenance: Provenance,
    shown: Sequence[MemoryEntry],
) -> tuple[Operation, ...]:
    """Add its entry, unless a worked example that was shown says the same; nothing, if it has none."""
    by = provenance.verifier
    try:
        entry = worked_entry(problem, right, verified_by=by, provenance=provenance, wrong=wrong)
    except InputError:
        return ()
    return (only_news(Operation(kind="add", entry=entry), (e for e in shown if e.example)),)

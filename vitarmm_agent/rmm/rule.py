"""The rule as a memory writer: a right solution becomes a worked example, and no model is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.masking import masked
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.problem import Attempt, Feedback, Problem, Usage
from vitarmm_agent.rmm.schema import written_json
from vitarmm_agent.rmm.worked import TRUSTED, believed, worked_entry
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
            kept = _kept(problem, right, provenance, (*related, *recalled))
            operations = (kept,) if kept else ()
        raw, seconds = written_json(operations, related), time.perf_counter() - begun
        return WriterDecision(operations, None, raw, Usage(), seconds, situation)


def _kept(
    problem: Problem, right: Attempt, provenance: Provenance, shown: Sequence[MemoryEntry]
) -> Operation | None:
    """Add its entry, unless a worked example that was shown has its form; None, if it has none."""
    by = provenance.verifier
    try:
        entry = worked_entry(problem, right, verified_by=by, provenance=provenance)
    except InputError:
        return None
    old = next((one for one in shown if one.example and _form(one) == _form(entry)), None)
    if old is not None:
        return Operation(kind="none", reason=f"it repeats entry {old.id}, which was shown")
    return Operation(kind="add", entry=entry)


def _form(entry: MemoryEntry) -> tuple[str, str, tuple[str, ...]]:
    """What an example has in common with those that differ from it in numbers alone."""
    assert entry.example is not None
    problem, images = entry.example.question
    return masked(problem, "N"), masked(entry.example.solution, "N"), images

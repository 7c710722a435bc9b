"""What can be asked of a memory, and what it answers: plain data."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from vitarmm_agent.by_name import ByName
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance

OperationKind = Literal["add", "update", "supersede", "none"]
WrittenKind = Literal["added", "updated", "merged", "superseded", "skipped", "quarantined"]


class Operation(BaseModel):
    """One change that a writer asks for.

    Attributes:
        kind: add a new entry; update or supersede the entry named by ``target``; or nothing.
        entry: the new or changed entry; None for ``none``.
        target: id of the existing entry, for update and supersede.
        reason: the writer's grounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: OperationKind
    entry: MemoryEntry | None = None
    target: str | None = None
    reason: str = ""


class Written(ByName, BaseModel):
    """What became of one operation.

    Attributes:
        kind: what was done; ``skipped`` changed nothing, ``quarantined`` waits for review.
        entry_id: the entry that now holds the lesson (for a merge, the one merged into).
        reason: why, in words.
        entry: the entry as it is now; None when nothing was written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: WrittenKind
    entry_id: str
    reason: str = ""
    entry: MemoryEntry | None = None


class VerdictEffect(NamedTuple):
    """What one verdict on one attempt came to, so that it can be taken back.

    Attributes:
        origin: run, attempt and beginning under which it was credited and written.
        verdict: what was counted.
        shown: ids of the entries for which it was.
        written: ids of the entries that were written on it.
    """

    origin: Provenance
    verdict: str
    shown: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


class Recalled(ByName, BaseModel):
    """One entry chosen for a problem, and why.

    Attributes:
        score: what the order is made of; the sum of ``terms``.
        similarity: cosine of problem and entry, -1 to 1.
        terms: each part of the score by name.
        reason: the terms in words.
        linked_from: id of the entry whose link brought this one in, or None.
        as_example: its worked example is shown, as an earlier turn, and its text is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: MemoryEntry
    score: float
    similarity: float
    terms: dict[str, float] = Field(default_factory=dict)
    reason: str = ""
    linked_from: str | None = None
    as_example: bool = False


class Recall(ByName, BaseModel):
    """The entries recalled for a problem.

    Attributes:
        query: the text that was searched for.
        entries: those whose worked example is shown, then main ones, each best first; then linked
            ones.
        best_rejected: the best entry that was not good enough, or None.
        note: in words, for instance why nothing was recalled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str
    entries: tuple[Recalled, ...] = ()
    best_rejected: Recalled | None = None
    note: str = ""

"""The memory of an arm: a :class:`ReasoningMemory` that keeps the rules of a fair comparison.

*Leave one problem out.* In the arms that learn from other problems, an entry that was learned on the
current problem, or on one that nearly equals it, is never recalled, not even one that an earlier
iteration of the same run wrote: what memory does within a problem is the subject of the arm
``within`` alone, and every gain of the others comes from other problems.

*Withholding.* With a given probability, decided by the seed and the run's name, one of the recalled
entries is kept from the model. Which one is decided by the seed, the run's name and the entry's id:
each of them is as likely, and later iterations of the run leave out the same one.

*Names.* New entries are named after the run and attempt that write them, so that an evaluation done
again has the same names; and experience does not fade with the hours that an evaluation takes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from langgraph.store.base import BaseStore

from vitarmm_agent.clip import clip
from vitarmm_agent.effects import Flow
from vitarmm_agent.evals.run.arms import Keeps
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.masking import general
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.operations import Operation, Recall, Recalled, Written
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.schema import MAX_CONTENT, MAX_TITLE, MemoryEntry, Provenance

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings

NAMESPACE = ("eval", "{stream}")
"""Filled by each run: the benchmark of a stream, or the one problem of a fresh memory."""
ALMOST_ALL = 2**64


@dataclass(frozen=True)
class Rule:
    """What one arm's memory may do.

    Attributes:
        keeps: see :data:`vitarmm_agent.evals.run.arms.Keeps`.
        withhold: probability with which a run has one recalled entry withheld.
        seed: of the withholding.
        alike: by problem id, the other problems that nearly equal it.
        shown: by problem id, the entry whose example recall is made to show.
        as_text: entries that are written lose their examples: what they teach stays as text.
    """

    keeps: Keeps
    withhold: float = 0.0
    seed: int = 0
    alike: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shown: Mapping[str, MemoryEntry] = field(default_factory=dict)
    as_text: bool = False

    @property
    def writes(self) -> bool:
        """Whether what a run writes is kept."""
        return self.keeps in ("own", "stream")


class ArmRecall(Recall):
    """A recall, with what was chosen but kept from the model."""

    withheld: tuple[Recalled, ...] = ()


class ArmMemory(ReasoningMemory):
    """A memory under a :class:`Rule`.

    A run of an evaluation has a name of its own, and one that begins anew after a kill is the same run:
    when it began is put aside.
    """

    def __init__(
        self,
        store: BaseStore,
        namespace: tuple[str, ...] = NAMESPACE,
        *,
        rule: Rule,
        journal: Journal | None = None,
        config: RecallConfig | None = None,
    ) -> None:
        """Keep ``rule`` over the memory of ``store``."""
        super().__init__(store, namespace, journal=journal, config=config)
        self.rule = rule

    def _recall(
        self,
        problem_text: str,
        *,
        k: int = 3,
        exclude: Iterable[str] = frozenset(),
        exclude_problems: Iterable[str] = frozenset(),
        as_of: datetime | None = None,
        reader: Provenance | None = None,
    ) -> Flow[Recall]:
        if self.rule.keeps == "nothing":
            return Recall(query=problem_text, note="this arm's memory is kept empty")
        if self.rule.keeps == "shown":
            return self._made_to_show(problem_text, reader)
        refused = {*exclude_problems, *self._left_out(reader)}
        reader = reader and reader.model_copy(update={"begun": 0.0})
        found = yield from super()._recall(
            problem_text,
            k=k,
            exclude=exclude,
            exclude_problems=refused,
            as_of=as_of,
            reader=reader,
        )
        if reader is None or reader.writer:
            return found
        return self._withhold(found, reader.run)

    def _made_to_show(self, query: str, reader: Provenance | None) -> Recall:
        """What the rule says, in place of what fits; the memory writer is shown nothing."""
        entry = self.rule.shown.get(reader.problem_id) if reader and not reader.writer else None
        if entry is None:
            return Recall(query=query, note="there is no example to show")
        why = "shown whether it fits or not"
        found = Recalled(entry=entry, score=0.0, similarity=0.0, reason=why, as_example=True)
        return Recall(query=query, entries=(found,))

    def _left_out(self, reader: Provenance | None) -> frozenset[str]:
        """The problem under way and those that nearly equal it, where others are learned from."""
        if reader is None or not reader.problem_id or self.rule.keeps == "own":
            return frozenset()
        alike = self.rule.alike.get(reader.problem_id, frozenset())
        return alike | {reader.problem_id}

    def _withhold(self, found: Recall, run: str) -> Recall:
        if not found.entries or _share(self.rule.seed, run) >= self.rule.withhold:
            return found
        chosen = min(found.entries, key=lambda one: _share(self.rule.seed, run, one.entry.id))
        shown = tuple(one for one in found.entries if one is not chosen)
        note = found.note if shown else "the one entry that fits is withheld"
        return ArmRecall(
            query=found.query,
            entries=shown,
            best_rejected=found.best_rejected,
            note=note,
            withheld=(chosen,),
        )

    def _write(
        self,
        operations: Sequence[Operation],
        *,
        run: str,
        attempt: int,
        problem_id: str = "",
        begun: float = 0.0,
    ) -> Flow[list[Written]]:
        if self.rule.writes:
            named = in_own_names(operations, f"{run}/{attempt}")
            if self.rule.as_text:
                named = [_without_example(operation) for operation in named]
            return (
                yield from super()._write(named, run=run, attempt=attempt, problem_id=problem_id)
            )
        why = "this arm keeps nothing of what is written"
        return [Written(kind="skipped", entry_id="", reason=why) for _ in operations]

    def _credit(
        self,
        entry_ids: Sequence[str],
        verdict: Literal["pass", "fail"],
        *,
        run: str,
        attempt: int,
        previous: Literal["pass", "fail", "abstain"] | None = None,
        begun: float = 0.0,
    ) -> Flow[None]:
        if self.rule.writes:
            yield from super()._credit(
                entry_ids, verdict, run=run, attempt=attempt, previous=previous
            )
        return None


def open_arm_memory(folder: Path, rule: Rule, settings: Settings) -> ArmMemory:
    """The memory of an arm in ``folder``; one that keeps nothing needs no folder.

    Raises:
        MemoryStoreError: the folder cannot be used.
        WeightsError: the embedder's weights are missing.
    """
    if rule.keeps in ("nothing", "shown"):
        from langgraph.store.memory import InMemoryStore

        return ArmMemory(InMemoryStore(), rule=rule)
    from vitarmm_agent.memory_store.open import journal_path, open_store

    settings = settings.model_copy(update={"memory": str(folder)})
    config = RecallConfig.for_embedder(settings.embedder, half_life_days=math.inf)
    store = open_store(settings)
    return ArmMemory(store, rule=rule, journal=Journal(journal_path(settings)), config=config)


def in_own_names(operations: Sequence[Operation], origin: str) -> list[Operation]:
    """The operations with new entries named after ``origin``, and links among them kept."""
    new = [op.entry for op in operations if op.entry is not None and op.kind != "update"]
    names = {
        entry.id: f"m-{hashlib.sha256(f'{origin}/{n}'.encode()).hexdigest()[:16]}"
        for n, entry in enumerate(new)
    }
    return [
        op if op.entry is None else op.model_copy(update={"entry": _renamed(op.entry, names)})
        for op in operations
    ]


def _without_example(operation: Operation) -> Operation:
    """The operation with the solution as text, in place of a worked example."""
    if operation.entry is None or operation.entry.example is None:
        return operation
    example = operation.entry.example
    condition = general(example.problem)
    said = {
        "title": clip(f"Worked example: {condition}", MAX_TITLE),
        "applies_when": condition[:MAX_CONTENT],
        "content": clip(example.solution, MAX_CONTENT),
    }
    bare = operation.entry.model_copy(update=said | {"example": None})
    return operation.model_copy(update={"entry": bare})


def _renamed(entry: MemoryEntry, names: Mapping[str, str]) -> MemoryEntry:
    links = tuple(names.get(link, link) for link in entry.related_to)
    provenance = entry.provenance.model_copy(update={"begun": 0.0})
    return entry.model_copy(
        update={
            "id": names.get(entry.id, entry.id),
            "related_to": links,
            "provenance": provenance,
        }
    )


def _share(*parts: object) -> float:
    """A number from 0 to under 1 that these parts decide, as if drawn at random."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / ALMOST_ALL

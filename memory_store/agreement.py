"""Whether the journal and the store of a memory tell the same.

A batch is in the journal before it is in the store, so the store's last batch is one that the journal
knows, and the journal has marked none as carried out that is newer. That is looked at when a memory is
opened. Whether each entry is as the journal left it is looked at by command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vitarmm_agent.effects import run
from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.entry_store import EntryStore
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.memory import ReasoningMemory

REMEDY = "make them agree, which loses nothing, with: vitarmm memory reindex"


class Disagreement(NamedTuple):
    """Entries of one memory of which journal and store do not tell the same, by id.

    Attributes:
        missing: the journal has them, the store does not.
        unknown: the store has them as the journal never saw them.
        outdated: the store has them as they once were.
        order: what is wrong with the last batches, or empty.
    """

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    outdated: tuple[str, ...]
    order: str

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return any(self)


def check_last(memory: ReasoningMemory) -> None:
    """Compare the last batch of the store with the journal; two look-ups.

    Raises:
        MemoryStoreError: one of them lost what the other has.
    """
    if memory.journal is not None and (wrong := _order(memory.entry_store, memory.journal)):
        raise MemoryStoreError(f"memory {'/'.join(memory.namespace)}: {wrong}; {REMEDY}")


def compare(memory: ReasoningMemory, namespace: Sequence[str]) -> Disagreement:
    """Compare all entries of a memory with the journal.

    Raises:
        MemoryStoreError: one of them is damaged.
    """
    journal, place = memory.journal, EntryStore(memory.store, namespace)
    if journal is None:
        return Disagreement((), (), (), "")
    stored = {entry.id: entry for entry in run(place.scan())}
    known = {entry.id: entry for entry in journal.entries(namespace)}
    pending = {c.entry_id for batch in journal.pending(namespace) for c in batch.changes}
    strange = journal.unknown(namespace, [*stored.values()])
    return Disagreement(
        tuple(sorted(known.keys() - stored.keys() - pending)),
        tuple(sorted(strange)),
        tuple(
            sorted(
                i for i, entry in stored.items()
                if i not in strange and i not in pending and known.get(i) != entry
            )
        ),
        _order(place, journal),
    )  # fmt: skip


def _order(place: EntryStore, journal: Journal) -> str:
    # What is asked of the journal first is in the store already: others may write meanwhile.
    applied = journal.last_key(place.namespace, applied=True)
    last = run(place.last_batch())
    if last is None and run(place.has_batches()):
        return ""  # an earlier version wrote it
    newer = journal.applied_between(place.namespace, last, applied)
    if newer is None:
        if journal.joined_later and journal.last_key(place.namespace) is None:
            return ""  # it was written before the database was named
        return "the journal has lost the newest changes, which the entries hold"
    return f"the entries lack {newer} changes that the journal has" if newer else ""

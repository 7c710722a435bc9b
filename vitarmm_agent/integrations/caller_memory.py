"""What a caller may do with a memory by hand: recall, remember, forget; one body for all doors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vitarmm_agent.effects import Flow, calls
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.operations import Recall, Written
from vitarmm_agent.memory_store.schema import EntryType, MemoryEntry
from vitarmm_agent.nodes.tenancy import fill_namespace

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory


@dataclass(frozen=True)
class CallerMemory:
    """A memory for one caller.

    Attributes:
        memory: its namespace may be a template.
        configurable: fills the template.
        writer: who is named as the writer of what is remembered here.
    """

    memory: ReasoningMemory
    configurable: dict[str, Any] = field(default_factory=dict)
    writer: str = "tool"

    def recall(self, question: str) -> Flow[Recall]:
        """The few entries that fit ``question``."""
        if not question.strip():
            raise InputError(f"the question is empty, got {question!r}; say what to look for")
        own = self._own()
        return (yield from calls(own.recall, own.arecall, question))

    def remember(
        self,
        content: str,
        *,
        title: str = "",
        applies_when: str = "",
        entry_type: EntryType = "insight",
        confidence: float = 0.5,
    ) -> Flow[Written]:
        """Write one entry; a near copy of one that is there is merged into it."""
        own = self._own()
        return (
            yield from calls(
                own.add,
                own.aadd,
                content,
                title=title,
                applies_when=applies_when,
                entry_type=entry_type,
                confidence=confidence,
                writer=self.writer,
            )
        )

    def entry(self, entry_id: str) -> Flow[MemoryEntry]:
        """One entry.

        Raises:
            InputError: there is no such entry.
        """
        own = self._own()
        found = yield from calls(own.get, own.aget, entry_id)
        if found is None:
            raise InputError(f"there is no entry {entry_id!r}; recall shows the ids there are")
        return found

    def forget(self, entry_id: str) -> Flow[str]:
        """Delete one entry, and say so.

        Raises:
            InputError: there is no such entry.
        """
        own = self._own()
        yield from calls(own.forget, own.aforget, entry_id)
        return f"forgot {entry_id}"

    def _own(self) -> ReasoningMemory:
        namespace = fill_namespace(self.memory.namespace, self.configurable)
        return self.memory.with_namespace(namespace)


def recall_in_words(found: Recall) -> str:
    """A recall for a model to read: one entry a line, its id first."""
    lines = [f"{recalled.entry.id}: {recalled.entry}" for recalled in found.entries]
    return "\n".join(lines) or f"nothing fits ({found.note or 'memory has no such entry'})"


def written_in_words(written: Written) -> str:
    """What became of an entry, in one line."""
    return f"{written.kind} {written.entry_id}" + (f": {written.reason}" if written.reason else "")

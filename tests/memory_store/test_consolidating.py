"""Going over a whole memory: proposed, made as one run, and taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.memory_store.conftest import stores
from tests.memory_store.helpers import MEMORY_STORES, entry
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store import MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.schema import Example

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def made(name: str, content: str, day: int = 0, **fields: Any) -> MemoryEntry:
    return entry(content, id=name, created_at=BEGAN + timedelta(days=day), **fields)


def fill(memory: ReasoningMemory, *entries: MemoryEntry) -> list[MemoryEntry]:
    """Put entries there as an import does: none is compared with another."""
    memory.change({one.id: one for one in entries}, kind="import", reason="")
    return memory.list()


def states(memory: ReasoningMemory) -> dict[str, str]:
    return {one.id: one.state for one in memory.list()}


OLD = made("old", "Divide the perimeter by 4, then square the side.", used=3, helpful=2, harmful=1)
SAME = made("same", "Divide the perimeter by 4, then square the sides.", 1, used=2, helpful=2,
            confidence=0.9)  # fmt: skip
AGAIN = made("again", "Divide the perimeter by 4, then square the side.", 2)
OTHER = made("other", "Divide the perimeter by 4, then cube the side.", 3)
NOT = made("not", "Do not divide the perimeter by 4, then square the side.", 4)
FAR = made("far", "Divided the perimeters by four, then squared the sides.", 6)
"""The same content words, but less similar for this embedder than writing asks for."""
NUMBER = made("number", "Divide the perimeter by 3, then square the side.", 5)


@stores(*MEMORY_STORES)
def test_what_says_the_same_becomes_one(memory: ReasoningMemory) -> None:
    before = fill(memory, SAME, OLD, AGAIN, OTHER, NOT, NUMBER, FAR)
    proposed = memory.consolidate()
    assert (proposed.examined, proposed.run) == (7, "")
    assert [(p.kind, p.entry_id, p.into) for p in proposed.proposals] == [
        ("merge", "same", "old"), ("merge", "again", "old"),
    ]  # fmt: skip
    assert sorted(memory.list(), key=str) == sorted(before, key=str)
    done = memory.consolidate(apply=True)
    assert done.proposals == proposed.proposals and done.run
    kept = memory.get("old")
    assert kept is not None and kept.content == SAME.content and kept.confidence == 0.9
    assert (kept.used, kept.helpful, kept.harmful) == (5, 4, 1)
    assert states(memory) == {
        "old": "live", "same": "superseded", "again": "superseded",
        "other": "live", "not": "live", "number": "live", "far": "live",
    }  # fmt: skip
    assert memory.get("same").superseded_by == "old"  # type: ignore[union-attr]
    assert memory.consolidate(apply=True).run == ""


@stores("chroma-folder")
def test_it_is_taken_back_and_stays_so(memory: ReasoningMemory) -> None:
    fill(memory, OLD, SAME, made("useless", "Guess.", used=9, harmful=9))
    done = memory.consolidate(apply=True)
    assert {p.kind for p in done.proposals} == {"merge", "retire"}
    memory.credit(["old"], "pass", run="later", attempt=1)
    assert set(memory.undo(done.run)) == {"old", "same", "useless"}
    assert set(states(memory).values()) == {"live"}
    kept = memory.get("old")
    assert kept is not None and kept.content == OLD.content
    assert (kept.used, kept.helpful) == (4, 3)
    assert memory.consolidate(apply=True).proposals == ()
    memory.edit("same", {"content": f"{SAME.content}!"})
    assert [p.entry_id for p in memory.consolidate().proposals] == []
    memory.edit("old", {"content": f"{OLD.content} "})
    assert [p.entry_id for p in memory.consolidate().proposals] == ["same"]


@stores("in-memory", "chroma-folder")
def test_what_never_helps_is_put_aside(memory: ReasoningMemory) -> None:
    fill(
        memory,
        made("never", "Guess the first number.", used=8, harmful=8),
        made("seldom", "Guess the second number.", used=40, helpful=3, harmful=37),
        made("young", "Guess the third number.", used=7, harmful=7),
        made("sometimes", "Guess the fourth number.", used=8, helpful=1, harmful=7),
        made("good", "Count the sides.", used=40, helpful=30),
    )
    found = memory.consolidate(apply=True)
    assert {p.entry_id for p in found.proposals} == {"never", "seldom"}
    never = memory.get("never")
    assert never is not None and never.quarantined
    assert never.metadata["quarantined"].startswith(
        "helped in 0 of 8 uses, surely in less than 20%"
    )
    assert [e.kind for e in memory.journal.events(memory.namespace, run=found.run)] == [  # type: ignore[union-attr]
        "retire", "retire",
    ]  # fmt: skip
    assert {p.entry_id for p in memory.consolidate(shown=7).proposals} == {"young"}
    assert {p.entry_id for p in memory.consolidate(below=0.5).proposals} == {"sometimes"}
    memory.review("never", accept=True)  # a person says that it stays
    assert memory.consolidate().proposals == ()
    for attempt in range(1, 9):
        memory.credit(["never"], "fail", run="more", attempt=attempt)
    assert [p.entry_id for p in memory.consolidate().proposals] == ["never"]


@stores("chroma-folder")
def test_examples_are_one_only_where_problem_and_solution_are(memory: ReasoningMemory) -> None:
    def shown(name: str, problem: str, answer: str, day: int) -> MemoryEntry:
        example = Example(problem=problem, steps=("20 / 4 = 5",), answer=answer)
        return made(name, "1. 20 / 4 = 5", day, example=example)

    fill(memory, shown("a", "A square?", "5", 1), shown("b", "A square?", "5", 2),
         shown("c", "A square?", "6", 3), shown("d", "A cube?", "5", 4),
         made("e", "1. 20 / 4 = 5", 5))  # fmt: skip
    assert [(p.entry_id, p.into) for p in memory.consolidate().proposals] == [("b", "a")]


@stores("chroma-folder")
def test_entries_put_aside_are_left_alone(memory: ReasoningMemory) -> None:
    fill(memory, OLD, AGAIN.model_copy(update={"quarantined": True}),
         made("gone", "Guess.", used=9, superseded_by="old"))  # fmt: skip
    done = memory.consolidate()
    assert (done.examined, done.proposals) == (1, ())


@stores("in-memory")
def test_what_changed_meanwhile_is_not_changed(memory: ReasoningMemory) -> None:
    """Another process edits an entry between the look and the lock."""
    fill(memory, OLD, SAME, AGAIN)
    group = memory._group

    class Slow:
        def once(self, *arguments: Any) -> Any:
            memory.edit("same", {"content": "Something else."})
            return group.once(*arguments)

    from vitarmm_agent.effects import run
    from vitarmm_agent.memory_store.consolidating import Consolidating

    slow: Any = Slow()
    done = run(Consolidating(memory.entry_store, slow, memory.journal).consolidate(apply=True))
    assert [p.entry_id for p in done.proposals] == ["again"]
    assert states(memory) == {"old": "live", "same": "live", "again": "superseded"}


@stores("in-memory")
async def test_on_an_event_loop_and_without_a_history(memory: ReasoningMemory) -> None:
    memory.journal = None
    fill(memory, OLD, AGAIN, made("never", "Guess.", used=8, harmful=8))
    done = await memory.aconsolidate(apply=True)
    assert [p.kind for p in done.proposals] == ["merge", "retire"]


@stores("in-memory")
@pytest.mark.parametrize("options", [{"shown": 0}, {"below": 0.0}, {"below": 1.5}])
def test_bad_limits(memory: ReasoningMemory, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="share above 0"):
        memory.consolidate(**options)

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.memory import InMemoryStore

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.run.arm_memory import ArmMemory, ArmRecall, Rule, in_own_names
from vitarmm_agent.evals.run.arms import ARMS, choose_arms, votes_at_equal_cost
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance

QUERY = "the area of a square"
LESSONS = (
    "Divide the perimeter by four.",
    "Never forget the unit of the result.",
    "Draw the figure before computing anything.",
    "Compare the outcome with a rough guess.",
)


def memory_of(keeps: Any, **rule: Any) -> ArmMemory:
    index: Any = {
        "embed": DeterministicFakeEmbedding(size=32),
        "dims": 32,
        "fields": ["index_text"],
    }
    return ArmMemory(
        InMemoryStore(index=index),
        ("eval", "test"),
        rule=Rule(keeps, **rule),
        journal=Journal(None),
        config=RecallConfig(floor=-1.0, half_life_days=math.inf),
    )


def learn(memory: ArmMemory, problem: str, content: str, attempt: int = 1) -> str:
    entry = MemoryEntry(
        entry_type="insight",
        title=content[:20],
        applies_when=f"{QUERY}: {content}",
        content=content,
        provenance=Provenance(run=f"run-{problem}", problem_id=problem, attempt=attempt),
    )
    operations = [Operation(kind="add", entry=entry)]
    run = f"run-{problem}"
    return memory.write(operations, run=run, attempt=attempt, problem_id=problem)[0].entry_id


def reader(problem: str, attempt: int = 1, **fields: Any) -> Provenance:
    return Provenance(run=f"run-{problem}", problem_id=problem, attempt=attempt, **fields)


def shown(memory: ArmMemory, who: Provenance) -> set[str]:
    return {one.entry.id for one in memory.recall(QUERY, k=9, reader=who).entries}


def test_the_current_problem_is_left_out_and_so_are_its_like() -> None:
    memory = memory_of("stream", alike={"b": frozenset({"c"})})
    a, b, c = (learn(memory, name, text) for name, text in zip("abc", LESSONS, strict=False))
    again = learn(memory, "a", LESSONS[3], attempt=2)
    assert shown(memory, reader("new")) == {a, b, c, again}
    assert shown(memory, reader("a", 3)) == {b, c}  # not even what its own iterations wrote
    assert shown(memory, reader("b")) == {a, again}
    assert shown(memory, reader("a", 3, writer="rmm")) == {b, c}
    assert shown(memory, reader("c")) == {a, b, again}


def test_within_a_problem_the_earlier_iterations_are_recalled() -> None:
    memory = memory_of("own")
    one = learn(memory, "a", LESSONS[0])
    learn(memory, "a", LESSONS[1], attempt=2)
    assert shown(memory, reader("a", 2)) == {one}


def test_an_empty_memory_stays_empty() -> None:
    memory = memory_of("nothing")
    written = memory.write(
        [Operation(kind="add", entry=MemoryEntry(entry_type="fact", content="Kept?"))],
        run="r", attempt=1,
    )  # fmt: skip
    assert [one.kind for one in written] == ["skipped"] and memory.list() == []
    assert memory.recall(QUERY, reader=reader("a")).note == "this arm's memory is kept empty"


def test_a_frozen_memory_is_read_and_never_changed() -> None:
    learned = memory_of("stream")
    one = learn(learned, "train", LESSONS[0])
    frozen = ArmMemory(
        learned.store, learned.namespace, rule=Rule("learned"), journal=learned.journal,
        config=learned.config,
    )  # fmt: skip
    before = frozen.list()
    assert learn(frozen, "test", LESSONS[1]) == ""
    frozen.credit([one], "fail", run="r", attempt=1)
    assert frozen.list() == before and shown(frozen, reader("test")) == {one}
    learned.credit([one], "fail", run="r", attempt=1)
    assert frozen.list() != before


def test_one_entry_is_withheld_in_the_asked_share_of_runs() -> None:
    memory = memory_of("stream", withhold=0.25, seed=4)
    ids = [learn(memory, f"t{n}", text) for n, text in enumerate(LESSONS)]
    withheld: Counter[str] = Counter()
    for n in range(1000):
        found = memory.recall(QUERY, k=9, reader=reader(f"p{n}"))
        apart = found.withheld if isinstance(found, ArmRecall) else ()
        assert {one.entry.id for one in (*found.entries, *apart)} == set(ids) and len(apart) <= 1
        if n < 100:  # drawn anew, one of them would differ all but surely
            again = memory.recall(QUERY, k=9, reader=reader(f"p{n}", 2))
            assert getattr(again, "withheld", ()) == apart
        withheld.update(one.entry.id for one in apart)
    assert 200 < sum(withheld.values()) < 300  # of 1000 at 0.25: within 3.6 standard deviations
    assert all(30 < withheld[one] < 95 for one in ids)
    written = memory.recall(QUERY, k=9, reader=reader("p1", writer="rmm"))
    assert len(written.entries) == 4


def test_withholding_is_off_or_always() -> None:
    for share, left in ((0.0, 1), (1.0, 0)):
        memory = memory_of("stream", withhold=share)
        learn(memory, "t", LESSONS[0])
        found = memory.recall(QUERY, reader=reader("p"))
        assert len(found.entries) == left
        assert ("withheld" in found.model_dump()) == (share == 1.0)
    assert found.note == "the one entry that fits is withheld"


def test_names_are_the_same_whenever_it_is_run() -> None:
    def operations() -> list[Operation]:
        one = MemoryEntry(entry_type="fact", content="One.")
        two = MemoryEntry(entry_type="fact", content="Two.", related_to=(one.id, "m-old"))
        return [Operation(kind="add", entry=one), Operation(kind="add", entry=two)]

    first, again = in_own_names(operations(), "run/1"), in_own_names(operations(), "run/1")
    names = [op.entry.id for op in first if op.entry]
    assert names == [op.entry.id for op in again if op.entry]
    assert first[1].entry is not None and first[1].entry.related_to == (names[0], "m-old")
    assert names != [op.entry.id for op in in_own_names(operations(), "run/2") if op.entry]


def test_arms_are_chosen_by_name() -> None:
    assert [arm.name for arm in choose_arms(" online,single, online")] == ["online", "single"]
    assert [arm for arm in ARMS.values() if arm.oracle] == [ARMS["oracle"]]
    for names in ("", "single,golden"):
        with pytest.raises(InputError, match="use some of: single, empty"):
            choose_arms(names)


@pytest.mark.parametrize(
    ("loop", "passes", "votes"),
    [([300, 500], [100, 100], 4), ([90], [100], 1), ([10], [100], 1), ([], [5], 1), ([5], [], 1)],
)
def test_votes_cost_what_the_loop_costs(loop: list[int], passes: list[int], votes: int) -> None:
    assert votes_at_equal_cost(loop, passes) == votes

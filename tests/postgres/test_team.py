"""Two machines, one database: history, credit, runs and images are one, as on one machine."""

from __future__ import annotations

import io
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from tests.memory_store.conftest import ChromaServer
from tests.memory_store.test_fork import assert_told
from tests.memory_store.test_two_machines import by_id, learn, left, opened
from tests.postgres.conftest import Machine
from tests.scripts import QUESTION, RIGHT, WRONG, nothing, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.open_checkpoints import open_traces
from vitarmm_agent.memory_store import ChromaStore
from vitarmm_agent.memory_store.agreement import compare
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.reindex import reindex
from vitarmm_agent.open_media import open_media
from vitarmm_agent.traces import RunFilter, RunIndex, read_trace


def test_the_history_is_one(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        one, two = opened(machine("one")), opened(machine("two"))
    assert "this machine only" not in caplog.text
    learn(one, "one", "a square")
    before = datetime.now(UTC)
    two.edit("one-0", {"content": "Squares are odd."})
    as_was = one.recall("a square", as_of=before).entries[0].entry
    assert as_was.content == "On a square."
    assert one.journal is not None
    assert [e.kind for e in one.journal.events(one.namespace)] == ["edit", "add"]
    learn(one, "later", "a train")
    assert two.undo("later") == ["later-0"]  # a run of the other machine
    assert list(by_id(one)) == ["one-0"]
    with pytest.raises(InputError, match="taken back before"):
        one.undo("later")  # nor twice, by two who see the same fault
    for memory in (one, two):
        memory.close()


def credit_many(memory: ReasoningMemory, name: str, count: int, gate: threading.Barrier) -> None:
    gate.wait()
    for number in range(count):
        memory.credit(["one-0"], "pass", run=f"{name}-{number}", attempt=1)


def test_credits_are_counted_exactly(machine: Machine) -> None:
    """Three machines at once; without a common lock some counts are lost."""
    machines = [opened(machine(name)) for name in ("one", "two", "three")]
    learn(machines[0], "one", "a square")
    gate = threading.Barrier(len(machines))
    threads = [
        threading.Thread(target=credit_many, args=(memory, f"m{n}", 15, gate))
        for n, memory in enumerate(machines)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entry = machines[0].get("one-0")
    assert entry is not None and (entry.used, entry.helpful) == (45, 45)


async def test_credits_of_event_loops_are_counted_exactly(machine: Machine) -> None:
    import asyncio

    one, two = opened(machine("one")), opened(machine("two"))
    learn(one, "one", "a square")
    await asyncio.gather(
        *(
            memory.acredit(["one-0"], "pass", run=f"{n}", attempt=1)
            for n, memory in enumerate([one, two] * 15)
        )
    )
    entry = one.get("one-0")
    assert entry is not None and entry.used == 30


async def test_a_cancelled_write_gives_its_lock_back(machine: Machine) -> None:
    import asyncio

    one, two = opened(machine("one")), opened(machine("two"))
    learn(one, "one", "a square")
    for number in range(20):
        task = asyncio.create_task(one.acredit(["one-0"], "pass", run=f"{number}", attempt=1))
        await asyncio.sleep(0.0007 * number)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(two.acredit(["one-0"], "pass", run="last", attempt=1), 10)


@pytest.mark.parametrize("how", ["reindex", "rebuild"])
def test_a_memory_is_made_again_whole(machine: Machine, how: str) -> None:
    """From what all machines wrote; nothing is left aside, nothing of another tenant is touched."""
    one, two, theirs = (opened(machine(*m)) for m in (("one",), ("two",), ("two", "other")))
    learn(one, "one", "a square", "a train")
    learn(two, "two", "a city")
    learn(theirs, "theirs", "the history")
    wanted = by_id(two)
    for lost in ("one-0", "two-0"):  # as if the server had lost them
        one.store.delete(one.entry_store.entries, lost)
    if how == "reindex":
        done = reindex(machine("one"))
        assert done.entries == {one.namespace: 3, theirs.namespace: 1}
        assert left(done, one) == {}
    else:
        assert one.rebuild() == 3
    assert by_id(one) == by_id(two) == wanted
    assert two.recall("a square").entries[0].entry.id == "one-0"
    assert list(by_id(theirs)) == ["theirs-0"]


def test_what_was_there_before_the_database_is_taken_in(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two machines wrote to a server, each with a journal of its own; then a database is named."""
    for name, text in (("one", "a square"), ("two", "a train")):
        learn(opened(machine(name, database="off")), name, text)
    settings = machine("one")
    command = ["memory", "check", "--memory", str(settings.memory), "--database"]
    assert run_app([*command, "off"]) == 0  # as it must be there
    assert run_app([*command, str(settings.database)]) == 2
    assert "reindex --namespace NAME, for each of" in capsys.readouterr().err
    done = reindex(settings)
    assert done.entries == {settings.namespace: 2} and done.adopted == 2
    two = opened(machine("two"))
    assert left(done, two) == {} and not compare(two, two.namespace)
    assert two.journal is not None
    (adopted,) = {event.run for event in two.journal.events(two.namespace)}
    assert set(two.undo(adopted)) == {"one-0", "two-0"} and by_id(two) == {}


@pytest.mark.slow
def test_a_chroma_server_that_lost_all_is_filled_again(machine: Machine, tmp_path: Path) -> None:
    server = ChromaServer(tmp_path / "chroma")
    try:
        learn(opened(machine("one", memory=server.url)), "one", "a square")
        server.stop()
        server.folder = tmp_path / "empty"
        server.process = None
        server.start()
        two = opened(machine("two", memory=server.url))
        assert by_id(two) == {} and two.rebuild() == 1
        assert list(by_id(two)) == ["one-0"]
    finally:
        server.stop()


def test_memories_of_one_database_are_kept_apart(machine: Machine, tmp_path: Path) -> None:
    """A folder, another folder, and a server, in the same namespace."""
    places = [None, str(tmp_path / "a"), str(tmp_path / "b")]
    memories = [opened(machine("one", **({"memory": place} if place else {}))) for place in places]
    for n, memory in enumerate(memories):
        learn(memory, f"m{n}", "a square")
    for n, memory in enumerate(memories):
        assert memory.journal is not None
        assert [e.entry_id for e in memory.journal.events(memory.namespace)] == [f"m{n}-0"]
        assert memory.rebuild() == 1 and list(by_id(memory)) == [f"m{n}-0"]
    memories[1].close()
    again = opened(machine("two", memory=str(tmp_path / "a")))
    assert again.journal is not None and len(again.journal.events(again.namespace)) == 1
    done = reindex(machine("two", memory=str(tmp_path / "a")))
    assert done.entries == {again.namespace: 1}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_uses_no_connection_of_its_parent(
    machine: Machine, tmp_path: Path
) -> None:
    """Each could read what the other was answered."""
    settings = machine("one")
    memory, kept, media = opened(settings), open_traces(settings), open_media(settings)
    learn(memory, "one", "a square")
    names = (memory.namespace,)
    assert memory.journal is not None and (lock := memory.journal.lock(names)) is not None
    alone = ChromaStore(url=str(settings.memory))
    assert_told(
        {
            "recall": lambda: memory.recall("a square"),
            "a store": lambda: alone.get(("x",), "y"),
            "a run": lambda: kept.get_tuple({"configurable": {"thread_id": "t"}}),
            "an image": lambda: media.read("0" * 64),
            "a lock": lambda: lock.acquire(blocking=False),
        }
    )
    assert memory.recall("a square").entries and lock.acquire(blocking=False)
    lock.release()


def picture(path: Path) -> Path:
    Image.effect_noise((320, 320), 90).convert("RGB").save(path)
    return path


def test_another_machine_goes_on_with_a_run_that_has_an_image(
    machine: Machine, tmp_path: Path
) -> None:
    """The run waits for a person on one machine; the other has neither its files nor its folder."""

    def agent(name: str, *replies: str) -> ReasoningAgent:
        settings = machine(name, feedback="arithmetic,human")
        writer = script(tmp_path / f"{name}-writer.json", nothing(), nothing(), nothing())
        return ReasoningAgent.open(
            reasoner=script(tmp_path / f"{name}.json", *replies), rmm=writer, settings=settings
        )

    problem = {"text": QUESTION, "images": [picture(tmp_path / "square.png")]}
    one = agent("one", RIGHT)
    begun = one.solve(problem, thread_id="t")
    assert begun.status == "interrupted"
    (tmp_path / "square.png").unlink()
    (tmp_path / "one").rename(tmp_path / "gone")
    two = agent("two", RIGHT)
    ended = two.resume("t", {"verdict": "fail", "message": "Look again."})
    assert ended.status == "interrupted"  # it was asked once more, with the image, and waits again
    assert two.resume("t", "pass").status == "passed"
    (ref,) = ended.problem.images
    data, mime = open_media(machine("three")).read(ref.sha256)
    assert mime == "image/png" and len(data) > 50_000
    trace = read_trace(open_traces(machine("three")), "t")
    assert trace.problems == () and len(trace.result.attempts) == 2


def test_runs_are_listed_pruned_and_copied(machine: Machine, tmp_path: Path) -> None:
    settings = machine("one", feedback="arithmetic", memory="off")
    replies = [WRONG, RIGHT, RIGHT, RIGHT]
    agent = ReasoningAgent.open(reasoner=script(tmp_path / "r.json", *replies), settings=settings)
    for name in ("a", "b", "c"):
        agent.solve(QUESTION, thread_id=name)
    kept = open_traces(machine("two", memory="off"))
    index = RunIndex(kept)
    assert [run.thread_id for run in index.page().runs] == ["c", "b", "a"]
    assert index.page(RunFilter(text="square", verdict="fail")).total == 1
    kept.copy_thread("a", "d")
    assert read_trace(kept, "d").result.attempts == read_trace(kept, "a").result.attempts
    kept.delete_thread("b")
    kept.prune(["a"])
    assert kept.shrink()
    assert {run.thread_id for run in index.page().runs} == {"a", "c", "d"}
    assert len([*kept.list({"configurable": {"thread_id": "a"}})]) == 1
    run_ids = {c.metadata.get("run_id") for c in kept.list({"configurable": {"thread_id": "c"}})}
    kept.delete_for_runs([str(run_id) for run_id in run_ids if run_id])
    kept.close()


@pytest.mark.parametrize("odd", ["a\0b", "\ud800 half", "Ω 漢字 🙂"])
def test_odd_characters_are_kept(machine: Machine, tmp_path: Path, odd: str) -> None:
    """In what a model says, and so in state, where Postgres's JSON has no place for some of them."""
    settings = machine("one", feedback="arithmetic", memory="off", max_iterations=1)
    reply = f"1. It is 5.\nAnswer: {odd}"
    in_files = settings.model_copy(update={"database": "off"})
    spec = script(tmp_path / "r.json", reply)
    wanted = ReasoningAgent.open(reasoner=spec, settings=in_files).solve(QUESTION, thread_id="t")
    found = ReasoningAgent.open(reasoner=spec, settings=settings).solve(QUESTION, thread_id="t")
    assert found.answer == wanted.answer and found.attempts[0].text == wanted.attempts[0].text
    assert read_trace(open_traces(settings), "t").result.answer == wanted.answer


def test_image_bytes_of_another_hash_are_not_given(machine: Machine, tmp_path: Path) -> None:
    import psycopg

    media = open_media(machine("one"), local_files=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    ref = media.put(buffer.getvalue())
    with psycopg.connect(str(machine("one").database), autocommit=True) as connection:
        connection.execute("UPDATE vitarmm.media SET data = %s", (b"other bytes",))
    assert open_media(machine("two")).find(ref.sha256) is None

"""Traces and evaluations that someone else made: looking at them runs nothing and writes nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import reduce
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.sqlite import SqliteSaver
from starlette.testclient import TestClient

from tests.evals.made import evaluation, sample
from tests.scripts import QUESTION, RIGHT, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import open_checkpoints, read_checkpoints
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import list_runs, read_trace
from vitarmm_agent.viewer import create_app

Capture = pytest.CaptureFixture[str]
ID = "1f0aaaaa-0000-6000-8000-000000000001"


def ext(code: int, *parts: Any) -> ormsgpack.Ext:
    return ormsgpack.Ext(code, ormsgpack.packb(list(parts)))


def command(marker: Path) -> str:
    return f"touch {marker}"


POISONS: dict[str, Callable[[Path], Any]] = {
    "one argument": lambda marker: ext(0, "os", "system", command(marker)),
    "arguments": lambda marker: ext(1, "os", "system", [command(marker)]),
    "by name": lambda marker: ext(2, "os", "system", {"command": command(marker)}),
    "a method": lambda marker: ext(3, "pathlib", "Path", str(marker), "touch"),
    "a model of pydantic": lambda marker: ext(
        5, "subprocess", "Popen", {"args": ["touch", str(marker)]}, "model_validate_json"
    ),
    "nested": lambda marker: ext(0, "builtins", "set", [ext(0, "os", "system", command(marker))]),
}


def poisoned(path: Path, kind: str, blob: bytes, *, in_writes: bool = False) -> Path:
    """A file of traces with one run, whose checkpoint, or whose pending write, is ``blob``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        SqliteSaver(db).setup()
        checkpoint = ("msgpack", ormsgpack.packb(state())) if in_writes else (kind, blob)
        row = ("evil", "", ID, None, *checkpoint, b'{"source":"input","step":-1}')
        db.execute("INSERT INTO checkpoints VALUES (?,?,?,?,?,?,?)", row)
        if in_writes:
            written = ("evil", "", ID, "task", "", 0, "__interrupt__", kind, blob)
            columns = "thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value"
            db.execute(f"INSERT INTO writes ({columns}) VALUES (?,?,?,?,?,?,?,?,?)", written)
        db.commit()
    return path


def state(**channels: Any) -> dict[str, Any]:
    return {
        "v": 4,
        "ts": "2026-01-01T00:00:00+00:00",
        "id": ID,
        "channel_values": {"problem": {"text": "hello", "id": "x"}, **channels},
        "channel_versions": {},
        "versions_seen": {},
        "updated_channels": None,
    }


@pytest.mark.parametrize("in_writes", [False, True])
@pytest.mark.parametrize("name", POISONS)
def test_reading_traces_calls_nothing_that_they_name(
    tmp_path: Path,
    own_data_dir: Path,
    name: str,
    in_writes: bool,
    capsys: Capture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    marker = tmp_path / "ran"
    value = POISONS[name](marker)
    blob = ormsgpack.packb([value] if in_writes else state(messages=value))
    poisoned(own_data_dir / "traces.sqlite", "msgpack", blob, in_writes=in_writes)
    assert run_app(["trace", "list"]) == 0
    listed = capsys.readouterr()
    assert (
        "cannot be read" in listed.out and "allowed_msgpack_modules" not in listed.err + caplog.text
    )
    for arguments in (["show", "evil"], ["export", "evil", "--json"], ["diff", "evil", "evil"]):
        assert run_app(["trace", *arguments]) == 2
        assert "which is no plain data; nothing of it was run" in capsys.readouterr().err
    with TestClient(create_app(Settings.load()), base_url="http://127.0.0.1:8765") as page:
        assert "cannot be read" in page.get("/runs").text
        assert "nothing of it was run" in page.get("/runs/evil").text
    assert run_app(["resume", "evil"]) == 2
    assert not marker.exists()


def test_a_mailed_evaluation_is_only_read(
    tmp_path: Path, own_data_dir: Path, capsys: Capture
) -> None:
    """Its good runs are shown, its bad one is counted, and no file of it changes or is added."""
    marker, place = tmp_path / "ran", own_data_dir / "evaluations" / "mailed"
    made = evaluation(place, [sample("good", True), sample("evil", False, thread_id="evil")])
    traces = poisoned(
        made.data_dir / "traces.sqlite",
        "msgpack",
        ormsgpack.packb(state(messages=ext(0, "os", "system", command(marker)))),
    )
    kept = open_checkpoints(traces)
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", RIGHT),
        feedback="arithmetic",
        memory="off",
        checkpointer=kept,
    )
    agent.solve(QUESTION, thread_id="online-0-good")
    kept.close()
    assert run_app(["eval", "report", str(place)]) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert run_app(["eval", "export", str(place), str(tmp_path / "out.html")]) == 0
    assert "1 runs have no readable trace" in capsys.readouterr().out
    with TestClient(create_app(Settings.load()), base_url="http://127.0.0.1:8765") as page:
        good = page.get("/evaluations/mailed/run", params={"thread": "online-0-good"})
        assert "5 * 5 = 25" in good.text
        evil = page.get("/evaluations/mailed/run", params={"thread": "evil"})
        assert "nothing of it was run" in evil.text
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert not marker.exists()


@pytest.mark.parametrize(
    ("kind", "blob"),
    [
        ("json", b'{"lc": 2, "type": "constructor", "id": ["os", "system"], "args": ["id"]}'),
        ("json", b'{"lc": 1, "type": "secret", "id": ["PATH"]}'),
        ("pickle", b"cos\nsystem\n(S'id'\ntR."),
        ("msgpack", b"\x91" * 100_000 + b"\x01"),
        (
            "msgpack",
            reduce(lambda inner, _: ormsgpack.packb(ormsgpack.Ext(7, inner)), range(3_000), b""),
        ),
    ],
    ids=["json code", "json secret", "pickle", "deep", "deep extensions"],
)
def test_other_kinds_of_data_are_refused(tmp_path: Path, kind: str, blob: bytes) -> None:
    kept = open_checkpoints(poisoned(tmp_path / "traces.sqlite", kind, blob))
    (run,) = list_runs(kept)
    assert run.unreadable
    with pytest.raises(InputError, match="cannot be read"):
        read_trace(kept, "evil")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE checkpoints RENAME TO c; CREATE VIEW checkpoints AS SELECT c.*, "
        f"({ENDLESS}) FROM c",
        f"CREATE TRIGGER t AFTER DELETE ON checkpoints BEGIN SELECT ({ENDLESS}); END",
        "ALTER TABLE checkpoints ADD COLUMN big AS (hex(zeroblob(500000000)))",
        "CREATE VIRTUAL TABLE more USING fts5(x)",
    ],
)
def test_a_file_that_would_work_when_it_is_read_is_refused(tmp_path: Path, change: str) -> None:
    traces = poisoned(tmp_path / "traces.sqlite", "msgpack", ormsgpack.packb(state()))
    with closing(sqlite3.connect(traces)) as db:
        db.executescript(change)
    for opened in (open_checkpoints, read_checkpoints):
        with pytest.raises(InputError, match="no plain file of traces"):
            opened(traces)


def test_a_file_is_read_while_its_run_goes_on(tmp_path: Path) -> None:
    """Read-only does not mean out of date: what another process has just written is seen."""
    writer = open_checkpoints(tmp_path / "traces.sqlite")
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", RIGHT),
        feedback="arithmetic",
        memory="off",
        checkpointer=writer,
    )
    agent.solve(QUESTION, thread_id="one")
    reader = read_checkpoints(tmp_path / "traces.sqlite")
    assert read_trace(reader, "one").result.answer == "25"
    with pytest.raises(InputError, match="readonly"):
        reader.delete_thread("one")
    reader.close()
    writer.close()


def test_what_is_no_file_of_traces_is_said_so(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as db:
        db.executescript("CREATE TABLE things (x)")
    (tmp_path / "text.sqlite").write_text("hello " * 100)
    shutil.copy(tmp_path / "other.sqlite", tmp_path / "odd ?#%.sqlite")
    said = {
        "other.sqlite": "holds no traces; .*move it away",
        "odd ?#%.sqlite": "holds no traces",
        "text.sqlite": "are damaged: .*bring back a copy",
        "missing.sqlite": "cannot be kept or read",
    }
    for name, says in said.items():
        with pytest.raises(InputError, match=says):
            read_checkpoints(tmp_path / name)

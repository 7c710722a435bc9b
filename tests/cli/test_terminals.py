"""What is printed where a terminal knows few characters, no width, or nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import LESSON, operations, script
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.cli.console import NARROWEST, PlainConsole
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import list_runs

ODD = "5 × 5 = 25 ✓ → π ½ 日本 \ud83d"
"""The last is half a surrogate pair, which no encoding has."""
ALL = """
import json, sys
from vitarmm_agent.cli import console
console.fit_streams()
from vitarmm_agent.cli.app import run_app
codes = [run_app(command) for command in json.loads(sys.argv[1])]
print(json.dumps(codes), file=sys.stderr)
"""


def shell(*arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | more.pop("env", {})
    command = [sys.executable, "-m", "vitarmm_agent.cli", *arguments]
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True} | more
    return subprocess.run(command, env=environment, check=False, timeout=120, **streams)


def commands(folder: Path) -> list[list[str]]:
    reasoner = script(folder / "r.json", f"1. {ODD}\nAnswer: 25")
    writer = script(folder / "w.json", operations({**LESSON, "title": ODD[:-1]}))
    memory = ["--memory", str(folder / "memory")]
    asked = ["solve", f"Was ist 5² – {ODD[:-1]}?", "--reasoner", reasoner, "--reference", "25"]
    return [
        [*asked, "--rmm", writer, *memory, "--thread", "t"],
        [*asked, "--rmm", writer, *memory, "--thread", "t2", "--json"],
        ["trace", "list"],
        ["trace", "list", "--json"],
        ["trace", "show", "t"],
        ["trace", "show", "t", "--json"],
        ["trace", "diff", "t", "t2"],
        ["memory", "add", ODD[:-1], "--title", "½ → ✓", *memory],
        ["memory", "list", *memory],
        ["memory", "list", "--json", *memory],
        ["memory", "search", "½ × π", *memory],
        ["memory", "log", *memory],
        ["memory", "stats", *memory],
        ["models", "list"],
        ["doctor"],
        ["trace", "show", "½ → nobody"],
        ["solve", "½", "--image", "½ → ✓.png"],
        ["solve", "½", "--rea½soner", "x"],
        ["--help"],
        ["memory", "export", *memory],
    ]


def printed(encoding: str, given: list[list[str]]) -> tuple[str, list[int]]:
    """What commands print in one process, and their exit codes."""
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", ALL, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=200)
    told = done.stderr.decode(encoding)
    assert done.returncode == 0 and "unexpected" not in told, told
    return done.stdout.decode("utf-8" if encoding == "utf-8" else "latin-1"), json.loads(
        told.splitlines()[-1]
    )


@pytest.mark.weights
def test_every_command_prints_where_characters_are_lacking(tmp_path: Path, weights: Any) -> None:
    weights("all-minilm-l6-v2")
    shown, codes = printed("cp1252", commands(tmp_path))
    assert codes[:14] == [0] * 14 and codes[15:] == [2, 2, 2, 0, 0]
    assert "\xd7 5 = 25 ? ? ? \xbd ??" in shown
    assert r"5 \u00d7 5 = 25 \u2713" in shown  # JSON loses no character
    whole, _, export = shown.partition(ODD[:-1].encode().decode("latin-1"))
    assert whole and export  # nor does an export, which is UTF-8 everywhere


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("ascii", "5 ? 5 = 25 ? ? ? ? ??"),
        ("latin-1", "5 \xd7 5 = 25 ? ? ? \xbd ??"),
        ("utf-8", "5 × 5 = 25 ✓ → π ½ 日本 ?"),
    ],
)
def test_a_run_prints_in_any_encoding(encoding: str, words: str, tmp_path: Path) -> None:
    asked, *_ = commands(tmp_path)
    alone = [*asked[: asked.index("--rmm")], "--memory", "off", "--thread", "t"]
    shown, codes = printed(encoding, [alone, ["trace", "show", "t"], ["trace", "list"]])
    assert codes == [0, 0, 0] and shown.count(words) >= 2


@pytest.mark.parametrize("columns", ["0", "1", "20", "80", "500", ""])
def test_a_width_hides_nothing(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    console = PlainConsole()
    assert console.width >= NARROWEST
    console.print("a run of words " * 20)
    assert capsys.readouterr().out.split() == ["a", "run", "of", "words"] * 20


def test_closed_streams_end_no_command(tmp_path: Path, own_data_dir: Path) -> None:
    reasoner = script(tmp_path / "r.json", f"1. {ODD}\nAnswer: 25")
    line = f'"{sys.executable}" -m vitarmm_agent.cli solve "5 squared?" --reasoner {reasoner}'
    whole = f"{line} --memory off --max-iterations 1 >&- 2>&- <&-"
    done = subprocess.run(["bash", "-c", whole], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0
    (run,) = list_runs(open_checkpoints(own_data_dir / "traces.sqlite"))
    assert run.answer == "25"


def test_input_of_another_encoding_is_said_so(tmp_path: Path) -> None:
    reasoner = script(tmp_path / "r.json", "Answer: 25")
    done = shell(
        "solve", "-", "--reasoner", reasoner, "--memory", "off",
        env={"PYTHONIOENCODING": "ascii"}, stdin=None, input="Was ist π?".encode(),
    )  # fmt: skip
    assert done.returncode == 2 and b"standard input is not ascii" in done.stderr


def test_a_tilde_is_the_home_folder_for_settings_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(data_dir="~/data", home=Path("~/weights"), memory="~/memory")
    assert settings.data_dir == tmp_path / "data" and settings.home == tmp_path / "weights"
    assert settings.memory_location == str(tmp_path / "memory")
    assert Settings.load(memory="http://x/~me").memory_location == "http://x/~me"
    asked = [
        "solve",
        "5²?",
        "--reasoner",
        script(tmp_path / "r.json", "Answer: 25"),
        "--memory",
        "off",
    ]
    assert run_app([*asked, "--thread", "t"]) == 0
    assert run_app(["trace", "export", "t", "--html", "-o", "~/one.html"]) == 0
    assert run_app(["trace", "export", "t", "--html", "--output=~/two.html"]) == 0
    assert {"one.html", "two.html"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "~").exists()

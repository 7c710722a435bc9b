"""Other users of the machine: what is written is not theirs to read, and the page not theirs to see."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.integrations.conftest import store_at
from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, nothing, operations, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.private import private_folder, write_text
from vitarmm_agent.traces import RunIndex

CLI = [sys.executable, "-m", "vitarmm_agent.cli"]


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """As on most machines: what is made without a thought can be read by all."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    return sorted(
        f"{stat.filemode(path.lstat().st_mode)} {path.relative_to(folder)}"
        for path in [folder, *folder.rglob("*")]
        if path.lstat().st_mode & 0o077
    )


def test_a_library_writes_for_its_user_alone(tmp_path: Path, own_data_dir: Path) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "x.png")
    place = own_data_dir / "memory"
    with store_at(place) as store:
        agent = ReasoningAgent.open(
            reasoner=ScriptedChatModel.of(WRONG, RIGHT),
            rmm=ScriptedChatModel.of(operations(LESSON), nothing()),
            feedback="arithmetic",
            memory=ReasoningMemory(store, journal=Journal(place / "journal.sqlite")),
        )
        agent.solve({"text": QUESTION, "images": [str(tmp_path / "x.png")]})
        RunIndex(agent.graph.checkpointer, own_data_dir / "traces-index.sqlite").page()  # type: ignore[arg-type]
    written = open_to_others(own_data_dir)
    # Chroma makes the files of its index by itself, in a folder that only this user may enter.
    assert [line for line in written if " memory/" not in line] == []
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert not any(name in line for line in written for name in ("journal", "items", ".lock"))


def test_a_command_writes_for_its_user_alone(tmp_path: Path) -> None:
    spec = script(tmp_path / "r.json", RIGHT)
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"id": "a", "text": "4 + 5?", "reference": "9"}\n')
    subprocess.run(
        [*CLI, "eval", "--problems-path", str(problems), "--output-dir",
         str(tmp_path / "evaluation"), "--arms", "single", "--reasoner", spec],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True,
    )  # fmt: skip
    assert (tmp_path / "evaluation" / "data" / "traces.sqlite").is_file()
    assert open_to_others(tmp_path / "evaluation") == []


def test_what_someone_opened_to_others_stays_so(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir(mode=0o770)
    (tmp_path / "team").chmod(0o770)
    private_folder(tmp_path / "team" / "agent")
    assert stat.S_IMODE((tmp_path / "team").stat().st_mode) == 0o770
    assert stat.S_IMODE((tmp_path / "team" / "agent").stat().st_mode) == 0o700
    write_text(tmp_path / "report.html", "x")
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        private_folder(tmp_path / "report.html")


@contextmanager
def serving(*arguments: str) -> Iterator[list[str]]:
    """A server's first lines, until the one that names its address and, for MCP, its token."""
    process = subprocess.Popen(
        [*CLI, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "?token=" in line or "Bearer " in line:
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield lines
    finally:
        process.terminate()
        process.wait(20)


def test_the_page_lets_in_who_has_the_printed_address() -> None:
    with serving("ui", "--port", "0") as lines:
        link = re.findall(r"http://\S+", lines[-1])[0]
        root, token = link.split("/?token=")
        assert len(token) >= 32
        for path in ("/", "/runs", "/solve", "/memory", "/static/app.js", "/events"):
            assert httpx.get(root + path).status_code == 401, path
        assert httpx.post(root + "/solve", data={"text": "x"}).status_code == 401
        with httpx.Client(follow_redirects=True) as visitor:
            assert visitor.get(link).status_code == 200
            assert visitor.get(root + "/memory").status_code == 200
            assert all("token_" in c.name or "session" in c.name for c in visitor.cookies.jar)


def test_mcp_over_http_lets_in_who_has_the_printed_token(tmp_path: Path) -> None:
    spec = script(tmp_path / "r.json", RIGHT)
    given = ("--reasoner", spec, "--memory", "off", "--feedback", "arithmetic")
    with serving("mcp", "--http", "--port", "0", *given) as lines:
        said = "".join(lines)
        token = re.findall(r"Bearer (\S+)", said)[0]
        url = re.findall(r"at (http://\S+)/mcp", said)[0]
        assert httpx.post(f"{url}/mcp", json={}).status_code == 401
        known = httpx.post(f"{url}/mcp", json={}, headers={"authorization": f"Bearer {token}"})
        assert known.status_code != 401


@pytest.mark.parametrize("token", ["short", "ä" * 20, "a\n" * 20])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    from vitarmm_agent.cli.ui import checked_token

    with pytest.raises(InputError, match="16 or more"):
        checked_token(token)
    assert len(checked_token("")) >= 32 and checked_token(None) != checked_token(None)

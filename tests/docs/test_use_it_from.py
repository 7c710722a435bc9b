"""The rows of README's table "Use it from …": five lines each, run with a real client of its kind.

That of a LangGraph server is run in ``tests/integrations/test_server.py``, which starts one.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT
from tests.docs.conftest import ATTEMPT, script
from tests.docs.hosted import hosted_model
from tests.docs.test_code_blocks import Block, blocks_of, run_python
from tests.docs.test_examples import serving
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.integrations.chat_api.app import create_chat_app

for needed in ("deepagents", "fastapi", "mcp"):  # here: mcp keeps the stderr of its import
    pytest.importorskip(needed)
PAGE = ROOT / "docs" / "use-it-from.md"
KEY = "a-key-that-is-long-enough"
AREA = "A square has a perimeter of 20 cm. What is its area?"
pytestmark = pytest.mark.weights


def sections() -> dict[str, Block]:
    """The one block under each heading, by the heading's anchor."""
    text = PAGE.read_text("utf-8")
    starts = [(match.start(), match[1]) for match in re.finditer(r"^## (.*)$", text, re.M)]
    lines = [(text.count("\n", 0, at) + 1, anchor_of(title)) for at, title in starts]
    found: dict[str, Block] = {}
    for block in blocks_of(PAGE):
        anchor = next(anchor for line, anchor in reversed(lines) if line < block.line)
        assert anchor not in found, f"two blocks under {anchor}"
        found[anchor] = block
    assert len(found) == len(starts)
    return found


def anchor_of(title: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


BLOCKS = sections()


def test_readmes_table_has_them_all_in_five_lines_or_fewer() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("## Use it from")[2]
    rows = re.findall(r"^\| \[[^\]]+\]\(docs/use-it-from\.md#([\w-]+)\) \| `(.*)` \|$", table, re.M)
    assert [anchor for anchor, _ in rows] == list(BLOCKS) and len(rows) >= 10
    for anchor, essence in rows:
        code = BLOCKS[anchor].code
        assert essence in code, f"README says {essence!r} of {anchor}"
        assert len([line for line in code.splitlines() if line.strip()]) <= 5, anchor
        assert "notest" not in BLOCKS[anchor].info


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Callable[[str], Path]) -> Path:
    """A user's home, whose own settings file names a scripted model; processes see nothing else."""
    weights("all-minilm-l6-v2")
    cache = Settings.load().home
    own = tmp_path / "home"
    for folder in (".cache", ".config/vitarmm", "work"):
        (own / folder).mkdir(parents=True)
    (own / ".cache" / "vitarmm").symlink_to(cache)
    (own / "script.json").write_text(json.dumps(script()), encoding="utf-8")
    config = own / ".config" / "vitarmm" / "vitarmm.toml"
    config.write_text(f'reasoner = "scripted:{own / "script.json"}"\n', encoding="utf-8")
    for name in (*(n for n in os.environ if n.startswith(("VITARMM_", "XDG_"))), "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(own))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(own / "work")
    return own


def shell(anchor: str) -> str:
    done = subprocess.run(["bash", "-euc", BLOCKS[anchor].code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_python(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for anchor in ("python", "a-notebook-or-asyncio"):
        await run_python(BLOCKS[anchor], {})
        assert capsys.readouterr().out == "25 abstained\n"


async def test_agents_of_langchain(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, asked = hosted_model()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
    with serving(app) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        for anchor in ("a-langchain-agent-as-a-tool", "a-langchain-agent-that-learns-itself",
                       "deepagents"):  # fmt: skip
            names: dict[str, Any] = {}
            await run_python(BLOCKS[anchor], names)
            assert capsys.readouterr().out == f"{ATTEMPT}\n"
            assert asked[-1]["model"] == "gpt-5-mini"
            if "tool" in anchor:
                told = names["state"]["messages"][-2]
                assert (told.type, told.text[:3]) == ("tool", "25 ")


async def test_a_graph(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await run_python(BLOCKS["a-langgraph-graph"], {})
    assert capsys.readouterr().out == f"{ATTEMPT}\n"


async def test_clients_of_chat_completions(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    await run_python(BLOCKS["fastapi"], names)
    body = {"model": "vitarmm", "messages": [{"role": "user", "content": AREA}]}
    with serving(names["app"]) as url:
        answer = httpx.post(f"{url}/agent/v1/chat/completions", json=body, timeout=60)
    assert answer.json()["choices"][0]["message"]["content"] == ATTEMPT
    with serving(create_chat_app(ReasoningAgent.open(), api_key=KEY)) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        await run_python(BLOCKS["openais-client"], {})
        assert capsys.readouterr().out == f"{ATTEMPT}\n"
        assert '"status":"abstained"' in shell("any-other-language")


def test_a_shell_and_skills(home: Path) -> None:
    said = shell("a-shell")
    assert "25" in said and "passed" in said
    with ReasoningAgent.open() as agent:
        assert agent.memory is not None
        kept = agent.memory.add("Divide the perimeter by four.", title="Sides of a square")
        agent.memory.credit([kept.entry_id], "pass", run="monday", attempt=1)
    for line in BLOCKS["agent-skills"].code.splitlines():
        assert run_app(shlex.split(line)[1:]) == 0
    assert (home / "work" / "skills" / "sides-of-a-square" / "SKILL.md").is_file()


async def test_an_mcp_client(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await run_python(BLOCKS["an-mcp-client"], {})
    assert capsys.readouterr().out == "25\n"

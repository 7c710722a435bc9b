"""Every code block of README and docs runs, in the order of its page.

A block that needs hardware or a server that is not here says ``notest`` in its fence.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.docs.conftest import ROOT, furnish
from vitarmm_agent import Settings
from vitarmm_agent.cli.app import run_app

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = {"python", "bash", "json", "toml"}
PLAIN = {"", "text", "console"}
MAY_BE_LEFT_OUT = 22


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    info: str
    code: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found = []
    for match in re.finditer(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```", text, re.M | re.S):
        indent, language, info, code = match.groups()
        code = re.sub(rf"^{indent}", "", code, flags=re.M)
        found.append(Block(page, text.count("\n", 0, match.start()) + 2, language, info, code))
    return found


RUN_ELSEWHERE = ROOT / "docs" / "use-it-from.md"  # each block alone: test_use_it_from.py
WITH_BLOCKS = [
    page
    for page in PAGES
    if page != RUN_ELSEWHERE and any(b.language in RUN for b in blocks_of(page))
]


@pytest.mark.weights
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
async def test_blocks_of(page: Path, rehearsal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "examples"))
    furnish(page, rehearsal)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page):
        if "notest" in block.info.split():
            continue
        if block.language == "python":
            await run_python(block, names)
        elif block.language == "bash":
            await run_shell(block)
        elif block.language == "json":
            json.loads(block.code)
        elif block.language == "toml":
            check_settings(block)


async def run_python(block: Block, names: dict[str, Any]) -> None:
    """Run a block as a notebook would: ``await`` may stand at the top."""
    code = compile(
        "\n" * (block.line - 1) + block.code,
        str(block.page),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )
    outcome = eval(code, names)
    if inspect.iscoroutine(outcome):
        await outcome


async def run_shell(block: Block) -> None:
    """Run each line, in a thread of this process: what Python imports, it imports once."""
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[0] == "vitarmm", f"{block.page}:{block.line}: mark `{line}` as notest"
        assert await asyncio.to_thread(run_app, words[1:]) == 0, line


def check_settings(block: Block) -> None:
    """A ``vitarmm.toml`` has only settings there are, with values they take."""
    Settings(**tomllib.loads(block.code))


def test_blocks_that_do_not_run_are_few() -> None:
    every = [block for page in PAGES for block in blocks_of(page)]
    left_out = [block for block in every if "notest" in block.info.split()]
    assert len(left_out) <= MAY_BE_LEFT_OUT, [f"{b.page.name}:{b.line}" for b in left_out]
    unknown = {block.language for block in every} - RUN - PLAIN
    assert unknown == set()


def test_pages_are_found() -> None:
    assert ROOT / "README.md" in WITH_BLOCKS
    assert any(block.language == "python" for block in blocks_of(ROOT / "README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    targets = [t for t in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in t]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_configuration_page_lists_every_setting() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.M))
    assert set(rows) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, (int, float, str)):
            assert rows[name] == f"`{field.default}`"


def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "s")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "s" / "reference" / "index.html").read_text("utf-8")
    for documented in ("ReasoningAgent", "build_mcp_server", "StoppedBecauseEvent"):
        assert f">{documented}<" in reference or documented in reference
    assert ":meth:" not in reference and ":class:" not in reference and ":func:" not in reference
    pages = {
        page.parent.name: page.read_text("utf-8") for page in (tmp_path / "s").glob("*/index.html")
    }
    assert len(pages) > 20
    assert [name for name, html in pages.items() if "```" in html or "notest" in html] == []

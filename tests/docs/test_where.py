"""What the documentation says of where things stand: the files are there, the picture is of today."""

from __future__ import annotations

import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from tests.docs.conftest import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(r"`((?:[\w-]+/)*(?:[\w-]+\.\w+|(?<=/)))`")
ROOM = (
    r'<rect class="room"[^>]*width="([\d.]+)"[^>]*>\n<text class="name"[^>]*middle">([^<]*)</text>'
    r'(?:\n<text class="small"[^>]*middle">([^<]*)</text>)?'
)
HOUSES = (ROOT, ROOT / "vitarmm_agent")


@cache
def modules() -> set[str]:
    folders = ("vitarmm_agent", "graphs", "memory_store", "evals", "prompts", "tests", "docs")
    return {path.name for folder in folders for path in (ROOT / folder).rglob("*.py")}


def is_missing(name: str) -> bool:
    """Whether a name is of a file or folder of ours, and there is none. Users have files, too."""
    first, slash, _ = name.partition("/")
    if not slash:
        return name.endswith(".py") and name not in modules()
    ours = any((house / first).is_dir() for house in HOUSES)
    return ours and not any((house / name).exists() for house in HOUSES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text("utf-8"))
    assert {name for name in named if is_missing(name)} == set()


def test_the_answers_name_a_file_and_a_test() -> None:
    rows = re.findall(
        r"^\| (?!…|-)(.+) \| (.+) \| (.+) \|$", (ROOT / "docs/where.md").read_text(), re.M
    )
    assert len(rows) == 24
    for what, here, test in rows:
        assert NAMED.findall(here), what
        tests = NAMED.findall(test)
        assert tests and all(name.startswith("tests/") for name in tests), what


def test_the_picture_of_the_house_is_of_today() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "images" / "make_house.py"))
    assert (ROOT / "docs" / "images" / "house.svg").read_text("utf-8") == script["draw"](), (
        "run: python docs/images/make_house.py"
    )
    rooms = re.findall(ROOM, script["draw"]())
    assert len(rooms) > 40
    assert [n for w, n, words in rooms if max(len(n) * 7.4, len(words) * 5.6) > float(w)] == []
    shown = [name for files in script["MEMORY"].values() for name in files]
    assert sorted(shown) == sorted(script["files_of"]("memory_store"))
    assert {unit for units in script["layers"]() for unit in units} - set(script["WORDS"]) == {
        "memory_store", "evals", *script["IN_THE_YARD"],
    }  # fmt: skip

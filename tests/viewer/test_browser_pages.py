"""The memory's and the evaluations' pages in a real browser, and the pictures: ``make test-browser``.

``PICTURES`` in the environment names the folder that pictures are kept in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import LESSON, nothing
from tests.viewer.conftest import script, settings_in
from tests.viewer.story import evaluate, learn
from tests.viewer.test_browser import AXE, CHROMIUM, Server, Visitor
from tests.viewer.test_browser import chromium as chromium
from vitarmm_agent.memory_store.open import open_memory

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; see make test-browser"),
]
PICTURED = ("runs", "run", "memory", "entry", "solve", "evaluation", "compare")
HIGHEST = {1440: 1500, 380: 1700}
"""Pixels of a picture; what is below is left out."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The page over data that tells a story: its address, and addresses on it by name."""
    folder = tmp_path_factory.mktemp("story")
    settings = settings_in(folder / "page", rmm=script(folder / "w.json", *[nothing()] * 9))
    runs = learn(settings, folder)
    evaluate(settings.data_dir / "evaluations")
    memory = open_memory(settings)
    assert memory is not None
    entry = next(one for one in memory.list() if one.title == LESSON["title"])
    memory.close()
    one, other = "rolls-one-taught", "rolls-nothing-taught"
    pages = {
        "runs": "/runs",
        "run": f"/runs/{runs['again']}",
        "memory": "/memory",
        "entry": f"/memory/entry/{entry.id}",
        "new": "/memory/new",
        "import": "/memory/import",
        "namespaces": "/memory/namespaces",
        "solve": "/solve",
        "evaluations": "/evaluations",
        "evaluation": f"/evaluations/{one}",
        "evaluation-run": f"/evaluations/{one}/run?thread=online-0-rolls-00",
        "compare": f"/compare?a={one}&b={other}",
        "refused": f"/compare?a={one}&b=none",
    }
    server = Server(settings)
    yield server.url, pages
    server.close()


@pytest.fixture
def visitor(chromium: Any, told: tuple[str, dict[str, str]]) -> Iterator[Visitor]:
    visitor = Visitor(chromium, told[0], viewport={"width": 1200, "height": 900})
    yield visitor
    assert visitor.complaints == []
    visitor.context.close()


def test_add_an_entry_take_the_memory_along_and_look_at_another(
    visitor: Visitor, tmp_path: Path
) -> None:
    page = visitor.go("/memory")
    page.get_by_role("link", name="Add an entry").click()
    page.get_by_label("Title").fill("Round at the end")
    page.get_by_label("Content").fill("Keep fractions until the last step, then round once.")
    page.get_by_role("button", name="Add").click()
    page.wait_for_selector("text=Done: added.")
    page.get_by_role("link", name="Memory", exact=True).last.click()
    assert page.get_by_role("link", name="Round at the end").count() == 1
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    download.value.save_as(tmp_path / "memory.jsonl")
    visitor.go("/memory?namespace=team%2Fcopy")
    page.get_by_role("link", name="Import").click()
    page.get_by_label("JSON Lines").set_input_files(tmp_path / "memory.jsonl")
    page.get_by_role("button", name="Import").click()
    page.get_by_role("link", name="Look at the memory").click()
    page.get_by_role("link", name="Round at the end").click()
    assert "team/copy" in page.locator("main").inner_text()
    page.get_by_role("link", name="Memory", exact=True).last.click()
    page.get_by_role("link", name="switch").click()
    page.get_by_role("link", name="default/agent").click()
    page.get_by_role("link", name=LESSON["title"], exact=True).click()
    assert page.locator("svg.shares .mark").count() >= 8


def test_find_what_one_evaluation_got_wrong_and_the_other_right(
    visitor: Visitor, told: tuple[str, dict[str, str]]
) -> None:
    page = visitor.go("/evaluations")
    page.get_by_role("link", name="rolls-one-taught").first.click()
    every = page.locator("section[aria-labelledby=samples] tbody tr").count()
    page.get_by_role("link", name="A baker makes").first.click()
    assert "Target" in page.locator("main").inner_text()
    page.get_by_role("link", name="rolls-one-taught").click()
    page.get_by_label("Came to").select_option("wrong")
    page.wait_for_url("**outcome=wrong**")
    wrong = page.locator("section[aria-labelledby=samples] tbody tr")
    assert 0 < wrong.count() < every and wrong.locator(".badge.pass", has_text="right").count() == 0
    page.get_by_label("Compare with").select_option("rolls-nothing-taught")
    page.get_by_role("button", name="Compare").click()
    first = page.locator("section[aria-labelledby=problems] tbody tr").first
    assert {"right", "wrong"} == {*first.locator(".badge").all_inner_texts()}
    page.get_by_role("link", name="Evaluations").last.click()
    page.get_by_role("link", name="Report").first.click()
    page.get_by_role("link", name="evaluations/").click()
    page.wait_for_selector("h2:has-text('Samples')")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 380])
def test_every_page_of_them_is_accessible_and_fits(
    chromium: Any, told: tuple[str, dict[str, str]], width: int, theme: str
) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; see make test-browser")
    pictures = os.environ.get("PICTURES")
    size = {"width": width, "height": 900}
    visitor = Visitor(chromium, told[0], viewport=size, color_scheme=theme)
    faults = []
    for name, path in told[1].items():
        page = visitor.go(path)
        page.wait_for_load_state("networkidle")
        if pictures and name in PICTURED:
            picture(page, Path(pictures) / f"{name}-{width}-{theme}.png", width)
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run()")["violations"]
        faults += [
            f"{name}: {fault['id']}: {fault['nodes'][0]['html'][:200]}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
        ]
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        faults += [f"{name}: {wide} px too wide"] if wide > 0 else []
    expected = [c for c in visitor.complaints if "status of 400" in c]  # of the refused one
    assert faults == [] and visitor.complaints == expected
    visitor.context.close()


def picture(page: Any, path: Path, width: int) -> None:
    """A picture of the top of a page, in few enough colours to be small."""
    from PIL import Image

    high = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST[width])
    clip = {"x": 0, "y": 0, "width": width, "height": high}
    page.screenshot(path=path, full_page=True, clip=clip)
    with Image.open(path) as opened:
        shot = opened.convert("RGB")
    used = sorted(shot.getcolors(1 << 24) or [], reverse=True)[:256]
    few = Image.new("P", (1, 1))
    few.putpalette([part for _, colour in used for part in colour])
    shot.quantize(palette=few, dither=Image.Dither.NONE).save(path, optimize=True)

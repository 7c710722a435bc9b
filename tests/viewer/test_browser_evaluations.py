"""An evaluation's files, opened from the disk in a real browser: ``make test-browser``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.evals.made import evaluation, sample
from tests.scripts import QUESTION, nothing
from tests.viewer.conftest import script
from tests.viewer.test_browser import CHROMIUM, FLAGS, RIGHT, WRONG, Visitor
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.cli.eval_export import export_evaluation
from vitarmm_agent.evals.report import write_report

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; see make test-browser"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of one run that is there, and many samples without one."""
    made = tmp_path_factory.mktemp("evaluation")
    rows = [
        sample(f"p{n}", n % 3 > 0, True, arm=arm) for n in range(12) for arm in ("online", "empty")
    ]
    place = evaluation(made / "first", rows)
    settings = Settings.load(
        data_dir=place.data_dir, reasoner=script(made / "r.json", WRONG, RIGHT),
        rmm=script(made / "w.json", *[nothing()] * 4), feedback="arithmetic",
    )  # fmt: skip
    ReasoningAgent.open(settings=settings).solve(QUESTION, thread_id=rows[0].thread_id)
    write_report(place.path)
    export_evaluation(place.path, made / "whole.html")
    return place.path


@pytest.fixture
def visit(folder: Path) -> Iterator[Any]:
    """Opens a file; at the end it has complained of nothing and asked for nothing else."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        visitors: list[tuple[Visitor, list[str], str]] = []

        def go(file: Path) -> Any:
            visitor, asked = Visitor(browser, file.as_uri()), list[str]()
            visitor.page.on("request", lambda request: asked.append(request.url))
            visitors.append((visitor, asked, file.as_uri()))
            return visitor.go("")

        yield go
        for visitor, asked, address in visitors:
            assert visitor.complaints == []
            assert {url.partition("#")[0] for url in asked if url[:5] != "data:"} == {address}
        browser.close()


def drawn(page: Any) -> int:
    """How many plots have lines or marks of some size."""
    return int(
        page.eval_on_selector_all(
            "svg", "all => all.filter(s => s.getBBox().width > 50 && s.children.length > 2).length"
        )
    )


def test_a_report_opens_from_the_disk(visit: Any, folder: Path) -> None:
    page = visit(folder / "report.html")
    assert drawn(page) >= 2
    assert page.locator("#samples .run").count() > 0 and page.locator("#samples a").count() == 0
    said = page.locator("code", has_text="vitarmm trace show RUN").text_content()
    assert said.startswith("VITARMM_DATA_DIR=data ")
    shown = subprocess.run(
        [sys.executable, "-m", "vitarmm_agent.cli", "trace", "show", "online-0-p0"],
        cwd=folder, env={"VITARMM_DATA_DIR": "data"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "20 / 4" in shown.stdout


def test_a_run_opens_within_the_exported_file(visit: Any, folder: Path) -> None:
    page = visit(folder.parent / "whole.html")
    assert drawn(page) >= 2
    run = page.locator("#samples a", has_text="online-0-p0")
    run.evaluate(
        "link => { for (let e = link; e; e = e.parentElement) if (e.tagName === 'DETAILS') e.open = true }"
    )
    run.click()
    page.locator("#main #attempt-2").wait_for()
    assert page.locator("#attempt-1 li.wrong").count() == 1
    page.get_by_role("link", name="All runs").click()
    page.locator("#main").wait_for(state="hidden")
    assert run.is_visible()

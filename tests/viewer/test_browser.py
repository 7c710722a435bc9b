"""What a person does on the page, in a real browser: ``make test-browser``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import LESSON, QUESTION, nothing, operations
from tests.viewer.conftest import PAYLOADS, script, seed, settings_in
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.memory_store.schema import MemoryEntry

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(os.environ.get("VITARMM_AXE", "/nowhere/axe.min.js"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; see make test-browser"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip
SLOW = 60_000
WRONG = (
    "1. The perimeter is 20 cm, so the side is $s = 20 / 4 = 6$ cm.\n"
    "2. The area is $s^2 = 6 * 6 = 36$ square centimeters.\nAnswer: 36"
)
RIGHT = WRONG.replace("6", "5").replace("35", "25")


class Server:
    """``vitarmm ui`` on a folder, in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        options = ["reasoner", "rmm", "feedback"]
        given = [part for name in options for part in (f"--{name}", str(getattr(settings, name)))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vitarmm_agent.cli", "ui", "--port", "0", *given],
            env={**os.environ, "VITARMM_DATA_DIR": str(settings.data_dir), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split(" at ")[1].strip()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def square(place: Path) -> Path:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (480, 320), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((130, 40, 350, 260), outline="#27408b", width=5)
    draw.text((190, 275), "perimeter: 20 cm", fill="black", font_size=20)
    image.save(place / "square.png")
    return place / "square.png"


@pytest.fixture(scope="module")
def stored(place: Path) -> tuple[Settings, dict[str, str]]:
    slow = [{"content": text, "delay": 1.0} for text in (WRONG, RIGHT)]
    settings = settings_in(
        place / "page",
        reasoner=script(place / "live.json", *slow, *[{"content": RIGHT, "delay": 0.3}] * 9),
    )
    return settings, seed(settings, place)


@pytest.fixture(scope="module")
def server(stored: tuple[Settings, dict[str, str]]) -> Iterator[Server]:
    server = Server(stored[0])
    yield server
    server.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """A page, and everything it complained about."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(SLOW)
        self.page = self.context.new_page()
        self.url, self._token = url.rsplit("/?", 1) if "/?token=" in url else (url, "")
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def go(self, path: str) -> Any:
        if self._token:  # the printed address lets in, once
            self.page.goto(f"{self.url}/?{self._token}")
            self._token = ""
        self.page.goto(self.url + path)
        return self.page

    def lit(self) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all(
            "svg.machine .node.lit", "nodes => nodes.map(node => node.dataset.node)"
        )
        return found


@pytest.fixture
def visitor(chromium: Any, server: Server) -> Iterator[Visitor]:
    visitor = Visitor(chromium, server.url, viewport={"width": 1440, "height": 1000})
    yield visitor
    assert visitor.complaints == []
    visitor.context.close()


def wait_until_over(page: Any) -> None:
    page.wait_for_selector("#run:not([data-events])")


def test_start_watch_and_understand_a_run(visitor: Visitor, square: Path) -> None:
    page = visitor.go("/solve")
    page.get_by_label("Problem").fill(QUESTION)
    page.get_by_label("Images: drop them here").set_input_files(square)
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".badge.running.live")
    page.wait_for_selector('svg.machine [data-node="reason"].lit')
    wait_until_over(page)
    assert page.locator("[data-outcome] .value").inner_text() == "25"
    assert visitor.lit() == ["end"]
    wrong = page.locator("#attempt-1 li.wrong")
    assert wrong.count() == 1 and "20 / 4 comes to 5, not 6" in wrong.inner_text()
    assert page.locator("#attempt-2 .changes ins").count() > 0
    assert page.locator("#attempt-1 .katex").count() > 0
    assert page.locator("figure img").evaluate("image => image.naturalWidth") == 480
    page.get_by_label("Checkpoint").focus()
    page.keyboard.press("Home")
    assert page.locator("#attempt-2 .later").count() > 0
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert visitor.lit() == ["reason"]
    page.locator(".problem").click()
    page.keyboard.press("]")
    assert visitor.lit() == ["feedback"]
    page.locator("#prompt-2 summary").click()
    assert LESSON["content"] in page.locator("#prompt-2 .memory").last.inner_text()


def test_a_row_of_the_list_is_live(visitor: Visitor, chromium: Any, server: Server) -> None:
    page = visitor.go("/runs")
    before = page.locator(".runs tbody tr").count()
    other = Visitor(chromium, server.url)
    form = other.go("/solve")
    form.get_by_label("Problem").fill(QUESTION)
    form.get_by_role("button", name="Start").click()
    page.locator(".runs tbody tr").nth(before).wait_for()  # the row beyond those there were
    wait_until_over(form)
    page.locator(".badge.live").first.wait_for(state="detached")
    assert other.complaints == []
    other.context.close()


def test_follow_an_entry_edit_it_and_undo(
    visitor: Visitor, stored: tuple[Settings, dict[str, str]]
) -> None:
    page = visitor.go(f"/runs/{stored[1]['helped']}")
    page.locator(".on-recall").get_by_role("link", name=LESSON["title"]).first.click()
    page.wait_for_url("**/memory/entry/**")
    assert page.get_by_role("link", name=stored[1]["taught"]).count() > 0
    page.locator("#edit > summary").click()
    page.get_by_label("Content").fill("Quarter the perimeter, then square it.")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("text=Done: edited")
    assert "Quarter the perimeter" in page.locator(".problem").inner_text()
    page.get_by_role("button", name="Undo", exact=True).click()
    page.wait_for_selector("text=Done: undone")
    assert page.locator(".problem").inner_text() == LESSON["content"]


def test_fork_a_checkpoint_with_other_memory(
    visitor: Visitor, stored: tuple[Settings, dict[str, str]]
) -> None:
    page = visitor.go(f"/runs/{stored[1]['helped']}")
    page.get_by_label("Checkpoint").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.get_by_role("link", name="Fork from here").click()
    page.get_by_label(LESSON["title"]).fill("Count the sides first.")
    page.get_by_role("button", name="Fork and run").click()
    page.wait_for_selector("text=forked from")
    wait_until_over(page)
    page.locator("#prompt-1 summary").click()
    assert "Count the sides first." in page.locator("#prompt-1 .memory").last.inner_text()
    page.get_by_role("link", name="Compare with the original").click()
    page.wait_for_selector("h1:has-text('Two runs')")


def test_answer_a_waiting_run(visitor: Visitor, stored: tuple[Settings, dict[str, str]]) -> None:
    page = visitor.go(f"/runs/{stored[1]['waiting']}")
    page.get_by_label("Verdict").select_option("pass")
    page.get_by_label("Why, in words").fill("All four sides are equal.")
    page.get_by_role("button", name="Answer and go on").click()
    page.wait_for_selector("[data-outcome] .badge.passed")
    assert "All four sides are equal." in page.locator(".on-feedback").inner_text()


def test_teach_note_and_enlarge(
    visitor: Visitor, stored: tuple[Settings, dict[str, str]], square: Path, place: Path
) -> None:
    """A wrong step is put right, the solution kept and used; the run is tagged; its image looked at."""
    settings, lost = stored[0], "1. The side is a fifth of 45.\n2. That is 9 * 9 = 81.\nAnswer: 81"
    options = {"reasoner": script(place / "lost.json", lost)}
    agent = ReasoningAgent.open(
        settings=Settings.load(**settings.model_dump(exclude_unset=True) | options)
    )
    problem = "A pentagon has a perimeter of 45 cm. How long is *one* side?"
    agent.solve({"text": problem, "images": [str(square)]}, thread_id="pentagon")
    page = visitor.go("/runs/pentagon")
    page.locator("[data-mend]").first.click()
    area = page.locator("#teach textarea")
    assert area.input_value() == "1. The side is a fifth of 45."
    page.keyboard.type("The side is 45 / 5 = 8 cm.\nAnswer: 8")
    page.get_by_role("button", name="Keep it", exact=True).click()
    page.wait_for_selector('#teach [role="alert"]:has-text("comes to 9, not 8")')
    assert area.input_value() == "1. The side is 45 / 5 = 8 cm.\nAnswer: 8"
    assert [c for c in visitor.complaints if "400 (Bad Request)" not in c] == []
    visitor.complaints.clear()  # that the form could not be used, Chromium tells the console
    area.fill("1. The side is 45 / 5 = 9 cm.\nAnswer: 9")
    page.get_by_role("button", name="Keep it and solve again").click()
    page.wait_for_selector("text=Done: taught")
    page.wait_for_selector(".turn.said:has-text('45 / 5 = 9 cm')")
    wait_until_over(page)
    page = visitor.go("/runs/pentagon")
    page.get_by_text("Add tags or a note").click()
    page.get_by_label("Tags, with commas between").fill("geometry, to discuss")
    page.get_by_label("Note", exact=True).fill("It **guesses**.")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector(".prose strong:has-text('guesses')")
    page.get_by_role("link", name="to discuss").click()
    assert page.locator(".runs tbody tr").count() == 1
    page.locator("td.main a").first.click()
    page.get_by_role("button", name="square.png").focus()
    page.keyboard.press("Enter")
    image = page.get_by_role("dialog", name="square.png").get_by_role("img")
    assert image.evaluate("image => image.clientWidth") > 480
    page.get_by_role("button", name="Actual size").click()
    assert image.evaluate("image => image.clientWidth") == 480
    if AXE.is_file():
        page.evaluate(AXE.read_text())
        assert page.evaluate("axe.run()")["violations"] == []
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert page.evaluate("document.activeElement.matches('[data-zoom]')")


def test_compare_judge_and_stop_on_a_phone(chromium: Any, place: Path) -> None:
    """Two runs are ticked and compared, a run is judged and the writer watched, another stopped."""
    said = {"content": nothing(), "delay": 3.0}
    settings = settings_in(
        place / "phone",
        reasoner=script(place / "phone.json", WRONG, {"content": RIGHT, "delay": 30}),
        rmm=script(place / "phone-rmm.json", *[said] * 4),
    )
    seed(settings, place)
    server = Server(settings)
    visitor = Visitor(chromium, server.url, viewport={"width": 380, "height": 800})
    page = visitor.go("/runs")
    compare = page.get_by_role("button", name="Compare two ticked runs")
    boxes = page.get_by_role("checkbox")
    assert (
        compare.is_disabled() and page.get_by_role("link", name="tokens", exact=True).is_visible()
    )
    for number, disabled in ((0, True), (1, False), (2, True)):
        boxes.nth(number).check()
        assert compare.is_disabled() == disabled
    boxes.nth(2).uncheck()
    compare.click()
    page.wait_for_selector("h1:has-text('Two runs')")
    page = visitor.go("/solve")
    page.get_by_label("Problem", exact=True).fill(QUESTION)
    page.get_by_label("Attempts at most").fill("1")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#judge")
    page.locator("#judge select").select_option("fail")
    page.get_by_label("Why; the lesson is made of it").fill("The side is 20 / 4 = 5 cm.")
    page.get_by_role("button", name="Judge").click()
    page.wait_for_selector("[data-live-part]:has-text('learning from it')")
    page.wait_for_selector(".waits", state="detached")
    page.wait_for_selector("[aria-label=Judged] summary:has-text('memory writer')")
    page = visitor.go("/solve")
    page.get_by_label("Problem", exact=True).fill(QUESTION)
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector(".badge:has-text('stopped')")
    assert visitor.complaints == []
    visitor.context.close()
    server.close()


def test_an_export_opens_offline(
    visitor: Visitor, chromium: Any, stored: tuple[Settings, dict[str, str]], tmp_path: Path
) -> None:
    page = visitor.go("/runs?text=perimeter&verdict=fail")
    page.locator("td.main a").last.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export HTML").click()
    download.value.save_as(tmp_path / "run.html")
    reader = Visitor(chromium, "file://", offline=True, viewport={"width": 380, "height": 800})
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(request.url))
    offline = reader.go(str(tmp_path / "run.html"))
    assert "comes to 5, not 6" in offline.locator("li.wrong").inner_text()
    offline.get_by_label("Checkpoint").focus()
    offline.keyboard.press("Home")
    assert offline.locator(".later").count() > 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert reader.complaints == []
    reader.context.close()


def all_pages(visitor: Visitor, runs: dict[str, str]) -> dict[str, str]:
    page = visitor.go(f"/runs/{runs['helped']}")
    entry = page.locator(".on-recall a").first.get_attribute("href")
    newest = (
        visitor.go("/runs?verdict=fail&text=centimeters")
        .locator("td.main a")
        .first.get_attribute("href")
    )
    return {
        "runs": "/runs",
        "run": newest,
        "run-helped": f"/runs/{runs['helped']}",
        "memory": "/memory",
        "search": "/memory?q=the+area+of+a+square+whose+perimeter+is+known",
        "entry": entry,
        "review": "/memory/review",
        "solve": "/solve",
        "evaluations": "/evaluations",
        "settings": "/settings",
        "diff": f"/diff?a={runs['taught']}&b={runs['helped']}",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 380])
def test_every_page_is_accessible_and_fits(
    chromium: Any,
    server: Server,
    stored: tuple[Settings, dict[str, str]],
    width: int,
    theme: str,
) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; see make test-browser")
    size = {"width": width, "height": 900}
    visitor = Visitor(chromium, server.url, viewport=size, color_scheme=theme)
    faults = []
    for name, path in all_pages(visitor, stored[1]).items():
        page = visitor.go(path)
        page.wait_for_load_state("networkidle")
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run()")["violations"]
        faults += [
            f"{name}: {fault['id']}: {fault['nodes'][0]['html'][:200]}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
        ]
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        faults += [f"{name}: {wide} px too wide"] if wide > 0 else []
    assert faults == [] and visitor.complaints == []
    visitor.context.close()


def test_nothing_that_was_written_executes(chromium: Any, place: Path, square: Path) -> None:
    folder = place / "hostile"
    text = "\n".join(PAYLOADS)
    steps = "\n".join(f"{n}. {payload}" for n, payload in enumerate(PAYLOADS, 1))
    lesson = {**LESSON, "content": PAYLOADS[0], "title": PAYLOADS[12]}
    settings = settings_in(
        folder,
        reasoner=script(place / "hostile.json", f"{steps}\nAnswer: {PAYLOADS[10]}", *[steps] * 9),
        rmm=script(place / "hostile-rmm.json", operations(lesson), *[nothing()] * 9),
    )
    with_name = place / "<img src=x onerror=window.xss=1>.png"
    shutil.copy(square, with_name)
    agent = ReasoningAgent.open(settings=settings)
    run = agent.solve({"text": text, "choices": PAYLOADS[:20], "images": [str(with_name)]})
    memory = open_memory(settings)
    assert memory is not None
    entries = [
        MemoryEntry(entry_type="fact", title=p[:200], content=p, applies_when=p, id=f"x-{n}")
        for n, p in enumerate(PAYLOADS)
    ]
    memory.change({entry.id: entry for entry in entries}, kind="import", reason=PAYLOADS[13])
    memory.edit("x-3", {"quarantined": True}, reason=PAYLOADS[20])
    server = Server(settings)
    visitor = Visitor(chromium, server.url)
    dialogs: list[str] = []
    visitor.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    thread = run.thread_id
    exported = place / "hostile.html"
    visitor.go("/runs")
    exported.write_bytes(
        visitor.context.request.get(f"{visitor.url}/runs/{thread}/export.html").body()
    )
    paths = ["/runs", f"/runs/{thread}", "/memory", "/memory?page=2", "/memory/review",
             "/memory?q=%3Cscript%3Ewindow.xss%3D1%3C/script%3E", f"/diff?a={thread}&b={thread}",
             *(f"/memory/entry/x-{n}" for n in range(0, len(PAYLOADS), 3))]  # fmt: skip
    for path in paths:
        page = visitor.go(path)
        page.wait_for_load_state("networkidle")
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        assert page.evaluate("window.xss") is None, path
    visitor.page.goto(f"file://{exported}")
    assert visitor.page.evaluate("window.xss") is None
    assert dialogs == [] and visitor.complaints == []
    assert json.dumps(PAYLOADS[0])[1:-1] in visitor.page.locator("h1").inner_text()
    server.close()

"""Reports: complete, escaped, offline; and the page's list of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.evals.made import attempt, configuration, crash, evaluation, sample, shown, tokens
from tests.scripts import RIGHT, WRONG, nothing
from tests.viewer.conftest import PAYLOADS, script
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.report import Report, build_report, html_page, write_report
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.speed.reporting import made_up
from vitarmm_agent.viewer import create_app

FIGURES = {
    "accuracy", "difference", "iterations", "curve", "gain", "cost", "confusion", "calibration",
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def few() -> list[Sample]:
    rows = []
    for arm in ("empty", "online", "oracle"):
        for order in range(1 if arm == "empty" else 3):
            for place in range(40):
                entries = (shown("m1", confidence=0.8),) if arm != "empty" and place else ()
                tries = (
                    attempt(1, place % 3 == 0, "pass" if place % 3 == 0 else "fail"),
                    attempt(2, place % 2 == 0, "abstain", shown=entries),
                )[: 1 if place % 3 == 0 else 2]
                rows.append(
                    sample(
                        f"p{place}", arm=arm, order=order, position=place, attempts=tries,
                        oracle=arm == "oracle", usage=tokens(300), cost=0.001, seconds=1.5,
                    )
                )  # fmt: skip
    return [*rows, crash("p39", arm="online", order=3)]


def test_a_report_says_how_it_was_made(tmp_path: Path) -> None:
    place = evaluation(tmp_path / "e", few(), oracle_arms=("oracle",), seed=5, withhold=0.1)
    write_report(place.path)
    data = json.loads((place.path / "report.json").read_text())
    report = Report.model_validate(data)
    config = place.config()
    assert report.config == config
    for name in ("seed", "prompts_sha256", "problem_sha256", "versions", "settings", "arms"):
        assert data["config"][name]
    assert "git_revision" in data["config"]
    assert report == build_report(config, place.samples())
    assert {line["arm"]: line["oracle"] for line in data["headline"]} == {
        "empty": False, "online": False, "oracle": True,
    }  # fmt: skip
    notes = " ".join(report.notes)
    assert "saw the gold answer" in notes and "crashed" in notes and "withheld" in notes


def test_the_same_samples_give_the_same_report_in_any_order(tmp_path: Path) -> None:
    one, other = few(), few()[::-1]
    config = configuration(one)
    assert build_report(config, one) == build_report(config, other)


def test_every_figure_and_table_is_there(tmp_path: Path) -> None:
    place = evaluation(tmp_path / "e", few(), oracle_arms=("oracle",))
    write_report(place.path)
    page = Page((place.path / "report.html").read_text())
    assert {f["id"] for f in page.all("figure")} == {f"figure-{name}" for name in FIGURES}
    for plot in (s for s in page.all("svg") if s.get("class") == "plot"):
        assert plot["role"] == "img" and plot["aria-labelledby"]
    markdown = (place.path / "report.md").read_text()
    for title in ("Arms", "Differences on the same problems", "Attempts", "Feedback", "Memory"):
        assert f"## {title}" in markdown
    assert "oracle (oracle)" in markdown
    assert markdown.count("online − empty") == 1
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    widths = {}
    for line in rows:  # every row of a table has as many cells as its head
        cells = line.count("|") - line.count("\\|")
        widths.setdefault(cells, []).append(line)
    assert all(len(lines) >= 3 for lines in widths.values())


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    place = evaluation(tmp_path / "e", few())
    write_report(place.path)
    text = (place.path / "report.html").read_text()
    page = Page(text)
    assert page.all("script") == page.all("link") == page.all("img") == page.all("iframe") == []
    assert not re.search(r"https?://|@import|url\(", text)
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policy is not None and "default-src 'none'" in policy and "script" not in policy


def test_what_was_written_by_others_is_text(tmp_path: Path) -> None:
    rows = [
        sample(f"{number}-{payload}"[:180], category=payload, arm=payload[:40] or "x", crash=crashed,
               attempts=(attempt(1, False, answer=payload, source=payload),), thread_id=payload)
        for number, payload in enumerate(PAYLOADS)
        for crashed in (None, f"Error: {payload}")
    ]  # fmt: skip
    rows = [r.model_copy(update={"order": n}) for n, r in enumerate(rows)]
    place = evaluation(tmp_path / "e", rows, settings={"reasoner": PAYLOADS[0]})
    write_report(place.path)
    text = (place.path / "report.html").read_text()
    page = Page(text)
    plain = Page(html_page(build_report(configuration(few()), few()), few()))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in plain.elements} | {"a"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert not [a["href"] for a in page.all("a") if not (a["href"] or "").startswith("#")]
    assert "<script" not in (place.path / "report.md").read_text()
    assert "\x1b" not in text and "\u202e" not in text


def test_arms_without_results_do_not_break_it(tmp_path: Path) -> None:
    place = evaluation(tmp_path / "e", [crash("a"), crash("b", arm="empty")])
    report = write_report(place.path)
    assert [line.accuracy for line in report.headline] == [None, None]
    assert "–" in (place.path / "report.md").read_text()


def test_what_is_not_there_yet_is_said(tmp_path: Path) -> None:
    rows = [s for s in few() if s.arm == "online" and s.position < 30]
    config = configuration(few())
    report = build_report(config, rows)
    assert not report.complete and report.notes[0].startswith("Not finished: empty, oracle, online")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="is no evaluation"):
        write_report(tmp_path / "none")
    with pytest.raises(InputError, match="no finished sample"):
        write_report(evaluation(tmp_path / "e", []).path)


def test_ten_thousand_samples_are_reported_in_time(tmp_path: Path) -> None:
    import time

    place = made_up(tmp_path, 2_000)
    start = time.process_time()
    write_report(place.path)
    assert time.process_time() - start < 30  # a fifth of the number


@pytest.fixture
def served(own_data_dir: Path, tmp_path: Path) -> Iterator[tuple[TestClient, Path, str]]:
    """A page that lists an evaluation with one real run, whose name is hostile."""
    place = own_data_dir / "evaluations" / "first" / "deep"
    thread = 'online-0-<b>&"a b"/../x'
    settings = Settings.load(
        data_dir=place / "data", reasoner=script(tmp_path / "r.json", WRONG, RIGHT),
        rmm=script(tmp_path / "w.json", *[nothing()] * 4), feedback="arithmetic",
    )  # fmt: skip
    agent = ReasoningAgent.open(settings=settings)
    agent.solve({"text": "Which <i>side</i>?", "id": "p"}, thread_id=thread)
    rows = [sample("p", True, thread_id=thread), sample("q", False, thread_id="gone")]
    moved = evaluation(tmp_path / "made", rows)
    for file in (moved.config_path, moved.samples_path):
        file.rename(place / file.name)
    write_report(place)
    with TestClient(create_app(), base_url="http://127.0.0.1:8765") as client:
        yield client, place, thread


def test_the_page_lists_evaluations_with_their_headline(
    served: tuple[TestClient, Path, str],
) -> None:
    client, place, _ = served
    (place / "data" / "notes.json").write_text("{}")
    listed = client.get("/evaluations").text
    assert "first/deep" in listed and "50.0 %" in listed and "online" in listed
    assert "notes.json" not in listed and "config.json" not in listed
    assert client.get("/evaluations/first/deep/data/notes.json").status_code == 404
    assert client.get("/evaluations/first/deep/report.md").status_code == 200
    (place / "report.json").write_text('{"headline": [{"arm": 1}]}')
    assert "report.json cannot be read" in client.get("/evaluations").text


def test_the_report_links_each_run_to_its_own_trace(served: tuple[TestClient, Path, str]) -> None:
    client, place, thread = served
    report = client.get("/evaluations/first/deep/report.html")
    assert "sandbox" in report.headers["content-security-policy"]
    links = {a["href"] for a in Page(report.text).all("a") if a.get("class") == "run"}
    assert len(links) == 2
    bodies = {}
    for link in links:
        answer = client.get(f"/evaluations/first/deep/{link}")
        bodies[answer.status_code] = answer
    assert set(bodies) == {200, 404}
    shown_run = bodies[200]
    assert "Which &lt;i&gt;side&lt;/i&gt;?" in shown_run.text and "<i>" not in shown_run.text
    assert "script-src 'self'" in shown_run.headers["content-security-policy"]
    assert 'href="/evaluations/first/deep"' in shown_run.text, "a way back"
    assert client.get("/evaluations/none/run?thread=x").status_code == 404
    assert client.get("/evaluations/..%2F..%2F/run?thread=x").status_code == 404
    download = client.get("/evaluations/first/deep/report.html?download=1")
    assert 'class="run" href' not in download.text  # a copy elsewhere has no runs beside it


def test_a_whole_evaluation_is_one_file(
    served: tuple[TestClient, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, place, _ = served
    file = tmp_path / "whole.html"
    assert run_app(["eval", "export", str(place), str(file)]) == 0
    assert "1 runs" in capsys.readouterr().out
    text = file.read_text()
    page = Page(text)
    assert [t["id"] for t in page.all("template")] == ["run-1"]
    assert "#run-1" in {a["href"] for a in page.all("a")}
    assert 'class="run">gone<' in text  # the run whose trace is missing is named, not linked
    assert "The side is 20 / 4 = 6 cm." in text
    assert not [s for s in page.all("script") if s.get("src")] and page.all("link") == []
    assert run_app(["eval", "export", str(place), str(file)]) == 2
    assert "is there already; replace it by --force" in capsys.readouterr().err
    assert file.read_text() == text
    assert run_app(["eval", "export", str(place), str(file), "--force"]) == 0
    assert run_app(["eval", "export", str(place), str(tmp_path / "no" / "x.html")]) == 2
    assert run_app(["eval", "export", str(place), str(file), "--only", "frozen", "--force"]) == 2
    assert run_app(["eval", "report", str(place), "--json"]) == 0

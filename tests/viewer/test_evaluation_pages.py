"""The evaluations' pages without a browser: samples, a run, two side by side, and the ways back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.evals.made import attempt, crash, evaluation, sample
from tests.scripts import QUESTION, RIGHT
from tests.viewer.conftest import script
from vitarmm_agent import Problem, ReasoningAgent, Settings
from vitarmm_agent.evals.report import write_report
from vitarmm_agent.evals.report.compare import compare
from vitarmm_agent.evals.report.sample_index import SampleFilter, SampleIndex
from vitarmm_agent.evals.run.arms import ARMS
from vitarmm_agent.evals.run.recording import Task, sample_of_crash
from vitarmm_agent.evals.run.samples import Sample

MANY = 130


def rows(arm: str, right: int, **fields: object) -> list[Sample]:
    """So many samples, of which those from the problem of number ``right`` on are wrong."""
    return [
        sample(
            f"p{n:03}", n < right, arm=arm, position=n, question=f"<i>Question</i> {n}?",
            reference="right", **fields,
        )
        for n in range(MANY)
    ]  # fmt: skip


@pytest.fixture
def folder(settings: Settings) -> Path:
    """Two evaluations; the second is right more often, and one of its runs has a trace."""
    place = settings.data_dir / "evaluations"
    believed = attempt(1, False, "pass", source="judge <b>")
    evaluation(place / "first", [*rows("online", 60), crash("p130", position=MANY)])
    second = evaluation(
        place / "deep/second",
        [sample("p000", arm="online", attempts=(believed,)), *rows("online", 90)[1:]],
    )
    given = Settings.load(
        data_dir=second.data_dir, reasoner=script(place / "r.json", RIGHT),
        feedback="arithmetic", memory="off",
    )  # fmt: skip
    ReasoningAgent.open(settings=given).solve(QUESTION, thread_id="online-0-p001")
    for name in ("first", "deep/second"):
        write_report(place / name)
    return place


def shown(text: str) -> list[str]:
    return re.findall(r'<td class="main">.*?(Question&lt;/i&gt; \d+|p\d+)', text)


def test_an_evaluation_is_read_sample_by_sample(client: TestClient, folder: Path) -> None:
    listed = client.get("/evaluations").text
    assert 'href="/evaluations/first"' in listed and 'href="/evaluations/deep/second"' in listed
    text = client.get("/evaluations/first").text
    assert 'href="/evaluations"' in text and "page 1 of 3" in text and len(shown(text)) == 50
    assert "target </span>right" in text and "<i>" not in text
    last = client.get("/evaluations/first?page=3").text
    assert len(shown(last)) == 31 and "TimeoutError" in last and "TimeoutError" not in text
    wrong = client.get("/evaluations/first?outcome=wrong&arm=online").text
    assert "70 samples, page 1 of 2" in wrong and shown(wrong)[0].endswith(" 60")
    assert "outcome=wrong&amp;arm=online&amp;page=2" in wrong
    assert "No sample matches" in client.get("/evaluations/first?arm=other").text
    assert client.get("/evaluations/first?outcome=x").status_code == 400
    believed = client.get("/evaluations/deep/second?outcome=believed").text
    assert shown(believed) == ["p000"] and "judge &lt;b&gt;" in believed
    (folder / "first/samples.jsonl").write_text("{}\n")
    assert "line 1 is no Sample" in client.get("/evaluations/first").text


def test_each_run_of_an_evaluation_leads_back(client: TestClient, folder: Path) -> None:
    text = client.get("/evaluations/deep/second").text
    link = re.findall(r'href="(/evaluations/deep/second/run\?thread=online-0-p001)"', text)[0]
    run = client.get(link).text
    assert "5 * 5 = 25" in run and 'href="/evaluations/deep/second"' in run
    assert "Target <strong>right" in run
    report = client.get("/evaluations/deep/second/report.html").text
    assert '<a href="/evaluations/deep/second">' in report
    assert client.get("/evaluations/first/run?thread=online-0-p001").status_code == 404
    assert client.get(f"/evaluations/deep/second/media/{'a' * 64}").status_code == 404
    assert client.get("/evaluations/deep/second/media/..%2Fsamples.jsonl").status_code == 404


def test_two_evaluations_side_by_side(client: TestClient, folder: Path) -> None:
    told = compare(folder / "first", folder / "deep/second").rows[0]
    assert (told.only_first, told.only_second) == (1, 30)
    text = client.get("/compare?a=first&b=deep/second").text
    assert (
        "−22.3 [" in text
        and "Only the second</dt><dd>30<" in text
        and "31 of 130 problems differ" in text
    )
    found = shown(text)
    assert found[0].endswith(" 0") and {int(q.split()[-1]) for q in found[1:31]} == {*range(60, 90)}
    assert 'href="/evaluations/deep/second/run?thread=online-0-p000"' in text
    assert 'href="/evaluations/first"' in text and "first/run" not in text
    assert len(shown(client.get("/compare?a=first&b=deep/second&page=3").text)) == 30
    for query in ("a=first", "a=first&b=none", "a=first&b=deep/second&row=1"):
        assert client.get(f"/compare?{query}").status_code == 400
    evaluation(folder / "other", rows("online", 5), problem_sha256="0" * 64)
    refused = client.get("/compare?a=first&b=other")
    assert refused.status_code == 400 and "other problems or references" in refused.text
    anyway = re.findall(r'href="(/compare\?[^"]*anyway=1)"', refused.text)[0].replace("&amp;", "&")
    assert "55 of 130 problems differ" in client.get(anyway).text


def test_samples_that_are_added_are_read_and_no_others_again(tmp_path: Path) -> None:
    place = evaluation(tmp_path / "made", rows("online", 60)[:3])
    index = SampleIndex(place.samples_path)
    assert index.page(SampleFilter(), limit=9).total == 3
    with place.samples_path.open("a") as lines:
        lines.write(sample("new", True, position=1).model_dump_json() + "\n" + '{"torn": ')
    found = index.page(SampleFilter(outcome="right"), limit=2, offset=1)
    assert found.total == 4 and [s.problem_id for s in found.samples] == ["new", "p001"]
    assert [s.problem_id for s in index.of_run("online-0-new")] == ["new"]
    place.samples_path.unlink()
    assert index.page(SampleFilter(), limit=9) == ([], 0)


def test_a_sample_that_stands_twice_is_listed_once(tmp_path: Path) -> None:
    place = evaluation(tmp_path / "made", rows("online", 60)[:3])
    index = SampleIndex(place.samples_path)
    assert index.page(SampleFilter(), limit=9).total == 3
    written = place.samples_path.read_text()
    place.samples_path.write_text(written + written)
    assert index.page(SampleFilter(), limit=9).total == 3
    assert len(index.of_run(index.page(SampleFilter(), limit=1).samples[0].thread_id)) == 1


def test_a_sample_keeps_its_question_and_its_target() -> None:
    problem = Problem(id="p", text="What is 2 + 2?", reference="4")
    kept = sample_of_crash(Task(ARMS["single"], problem, "own"), TimeoutError())
    assert (kept.question, kept.reference) == ("What is 2 + 2?", "4")

"""A verdict on a run that is over, by the page's form and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.scripts import nothing
from tests.viewer.conftest import Runs, script
from tests.viewer.forms import csrf, finished, page_when, send, thread_in
from vitarmm_agent import Settings
from vitarmm_agent.viewer import create_app

TOKEN = "a-token-that-is-long-enough"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def program(settings: Settings) -> Iterator[TestClient]:
    """A program that knows the token, not a browser."""
    app = create_app(settings, token=TOKEN)
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        yield client


def test_the_form_judges_a_run_that_is_over(client: TestClient, runs: Runs) -> None:
    path = f"/runs/{runs['helped']}"
    assert "Was it right?" in client.get(path).text
    assert "Was it right?" not in client.get(f"/runs/{runs['waiting']}").text
    send(client, f"{path}/judge", verdict="fail", comment="<b>36</b> is no area", by="ada")
    shown = finished(client, runs["helped"])
    assert "Judged by ada" in shown and "&lt;b&gt;36&lt;/b&gt; is no area" in shown
    assert re.search(r"Counted for (1 entry|2 entries)\.", shown)
    assert re.search(r"Taken back from (1 entry|2 entries)\.", shown)
    judged = shown[shown.index("Judged by ada") :]
    assert "What the memory writer was asked" in judged and "+00:00" not in judged
    exported = client.get(f"{path}/export.html").text
    assert "Judged by ada" in exported and "Was it right?" not in exported
    wrong = {"csrf": csrf(client), "verdict": "fail", "solution": "1. 2 + 2 = 5\nAnswer: 5"}
    refused = client.post(f"{path}/judge", data=wrong)
    assert refused.status_code == 400 and "the solution is wrong" in refused.text


def test_what_the_writer_says_on_a_verdict_is_watched(settings: Settings, runs: Runs) -> None:
    slow = script(settings.data_dir / "slow.json", {"content": nothing(), "delay": 3.0})
    there = Settings.load(**settings.model_dump(exclude_unset=True) | {"rmm": slow})
    with TestClient(create_app(there), base_url="http://127.0.0.1:8765") as client:
        # a run keeps to the models it was begun with, and these name another writer
        thread = thread_in(send(client, "/solve", text="What is 4 * 9?", max_iterations="1"))
        finished(client, thread)
        shown = send(client, f"/runs/{thread}/judge", verdict="fail", comment="36 it is")
        assert "data-events" in shown
        page_when(client, thread, lambda text: "counting the verdict" in text)
        again = {"csrf": csrf(client), "verdict": "pass"}
        refused = client.post(f"/runs/{thread}/judge", data=again)
        assert refused.status_code == 400 and "under way" in refused.text
        assert "Judged by the page" in finished(client, thread)


def test_a_program_sends_json(program: TestClient, runs: Runs) -> None:
    path = f"/api/runs/{runs['helped']}/judge"
    said = {"verdict": {"type": "accept"}, "by": "chat"}
    assert program.post(path, json=said).status_code == 401
    judged = program.post(path, json=said, headers=BEARER).json()
    assert (judged["status"], judged["judged"]["by"]) == ("passed", "chat")
    assert program.post(path, json=said, headers=BEARER).json() == judged
    waited = program.post(f"/api/runs/{runs['waiting']}/judge", json=said, headers=BEARER)
    assert waited.json()["status"] == "passed" and waited.json()["judged"] is None


def test_what_a_program_may_not_send(program: TestClient, runs: Runs) -> None:
    path = f"/api/runs/{runs['helped']}/judge"

    def refused(**sent: object) -> tuple[int, str]:
        headers = {**BEARER, **sent.pop("headers", {})}  # type: ignore[dict-item]
        answer = program.post(path, headers=headers, **sent)  # type: ignore[arg-type]
        return answer.status_code, answer.text

    own = {"content-type": "application/json"}
    for content, words in (
        (b"{", "is no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'"pass"', "verdict cannot be read"),
        (b"{}", "verdict: Field required"),
        (b'{"verdict": "pass", "veridct": 1}', "veridct: Extra inputs"),
        (b'{"verdict": "perhaps"}', "say pass, fail or abstain"),
    ):
        status, text = refused(content=content, headers=own)
        assert (status, words in text) == (400, True), text
    assert refused(data={"verdict": "pass"})[0] == 415  # a form of another site can send that
    assert refused(content=b'{"verdict": "pass"}', headers={"content-type": "text/plain"})[0] == 415
    for foreign in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert refused(json={"verdict": "pass"}, headers=foreign)[0] == 403
    assert refused(json={"verdict": "pass"}, headers={"host": "evil.example"})[0] == 421
    assert (
        program.post("/api/runs/x/judge", json={"verdict": "pass"}, headers=BEARER).status_code
        == 404
    )

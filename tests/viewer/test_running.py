"""Runs that are begun, gone on with, forked and stopped from the page."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

from PIL import Image
from starlette.testclient import TestClient

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG
from tests.viewer.conftest import Runs, script
from tests.viewer.forms import csrf, finished, send, thread_in
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.traces import read_trace


def test_a_run_started_from_the_form_goes_to_its_end(client: TestClient) -> None:
    text = send(client, "/solve", text=QUESTION, no_memory="on", max_iterations="2")
    thread = thread_in(text)
    assert "abstained" in finished(client, thread)
    (run,) = client.get(f"/runs/{thread}/export.json").json()["result"]["attempts"][1:]
    assert run["answer"] == "25"


def test_a_form_that_cannot_be_used_is_shown_again_with_the_reason(client: TestClient) -> None:
    token = csrf(client)
    for fields, words in (
        ({"text": " "}, "give a text or an image"),
        ({"text": "a", "max_iterations": "0"}, "attempts at most must be a whole number"),
        ({"text": "a", "answer_type": "poem"}, "answer_type"),
        ({"text": "kept <b>", "oracle": "on"}, "fill in the reference"),
    ):
        answer = client.post("/solve", data={"csrf": token, **fields})
        assert answer.status_code == 400 and words in answer.text
    assert "kept &lt;b&gt;" in answer.text
    bad = client.post("/solve", data={"csrf": token, "text": "x"},
                      files={"images": ("<i>.png", b"no image", "image/png")})  # fmt: skip
    assert bad.status_code == 400 and "&lt;i&gt;.png: " in bad.text


def test_a_run_is_asked_again_with_changes(client: TestClient, tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (8, 6), "navy").save(data, "PNG")
    gone = "scripted:/nowhere.json"
    asked = {
        "csrf": csrf(client),
        "text": QUESTION,
        "choices": "25\n36",
        "unit": "cm",
        "reasoner": gone,
    }
    files = {"images": ("navy.png", data.getvalue(), "image/png")}
    refused = client.post("/solve", data={**asked, "max_iterations": "x"}, files=files)
    assert refused.status_code == 400 and "36</textarea>" in refused.text
    kept = re.findall(r'name="kept" value="([0-9a-f]{64} navy.png)" checked', refused.text)
    assert len(kept) == 1 and f'value="{gone}"' in refused.text, "all that was typed is there"
    failed = finished(client, thread_in(client.post("/solve", data={**asked, "kept": kept}).text))
    again = re.findall(r'href="(/solve\?again=[\w-]+)"', failed)[0]
    form = client.get(again).text
    assert (
        f'value="{gone}"' in form
        and 'value="cm"' in form
        and kept[0] in form
        and "36</textarea>" in form
    )
    right = {"csrf": csrf(client), "text": QUESTION, "kept": kept, "no_memory": "on"}
    thread = thread_in(client.post("/solve", data=right).text)
    assert "navy.png · 8×6" in finished(client, thread)
    form = client.get(f"/solve?again={thread}").text
    assert 'name="no_memory" checked' in form and kept[0] in form
    assert '<option value="scripted:' in form and "reasoner.json" in form, (
        "what there is can be chosen"
    )
    assert client.get("/solve?again=nothing").status_code == 404
    forged = client.post("/solve", data={**right, "kept": "../../etc/passwd x"})
    assert forged.status_code == 400 and "there is no image" in forged.text
    settings = client.get("/settings").text
    assert "reasoner.json" in settings and "max_iterations" in settings


def test_a_model_that_cannot_be_had_is_said_on_the_page_of_the_run(client: TestClient) -> None:
    text = send(client, "/solve", text=QUESTION, no_memory="on", reasoner="scripted:/nowhere.json")
    shown = finished(client, thread_in(text))
    assert "/nowhere.json" in shown and 'role="alert"' in shown


def test_a_server_that_dies_leaves_a_run_to_go_on_with(client: TestClient, tmp_path: Path) -> None:
    dies = script(tmp_path / "dies.json", WRONG, {"error": "die"}, RIGHT)
    text = send(client, "/solve", text=QUESTION, no_memory="on", reasoner=dies)
    thread = thread_in(text)
    stopped = finished(client, thread)
    assert "Go on from the last checkpoint" in stopped
    assert f"begun with reasoner &#39;{dies}&#39;" in stopped
    send(client, f"/runs/{thread}/resume", reasoner=dies)
    assert "Go on from" not in finished(client, thread)
    result = client.get(f"/runs/{thread}/export.json").json()["result"]
    assert [a["answer"] for a in result["attempts"]] == ["36", "25"]


def test_a_run_killed_between_a_node_and_its_checkpoint_goes_on(
    client: TestClient, runs: Runs, settings: Settings
) -> None:
    thread = runs["helped"]
    kept = open_checkpoints(settings.checkpoints_path)
    last = read_trace(kept, thread).moments[-1]
    kept.conn.execute("DELETE FROM checkpoints WHERE checkpoint_id = ?", (last.checkpoint_id,))
    kept.conn.commit()
    agent = ReasoningAgent.open(settings=settings, memory="off", checkpointer=kept)
    left = agent.graph.get_state({"configurable": {"thread_id": thread}})
    assert left.next == () and left.tasks  # the node had ended, its checkpoint was not written
    path = f"/runs/{thread}"
    assert "Go on from the last checkpoint" in client.get(path).text
    before = read_trace(kept, thread).moments[-1]
    assert client.get(f"{path}/fork?checkpoint={before.checkpoint_id}").status_code == 200
    send(client, f"{path}/resume")
    assert "Go on from" not in finished(client, thread)
    after = read_trace(kept, thread)
    assert [m.node for m in after.moments[-2:]] == [before.node, last.node]
    assert after.moments[-1].next == ()


def test_a_person_answers_a_waiting_run(client: TestClient, runs: Runs) -> None:
    path = f"/runs/{runs['waiting']}"
    assert "This run waits for your verdict" in client.get(path).text
    assert (
        client.post(f"{path}/resume", data={"csrf": csrf(client), "verdict": "?"}).status_code
        == 400
    )
    send(client, f"{path}/resume", verdict="pass", message="It is.")
    text = finished(client, runs["waiting"])
    assert "passed by human" in text and "It is." in text
    assert client.post(f"{path}/resume", data={"csrf": csrf(client)}).status_code == 400


def test_a_checkpoint_is_forked_with_other_memory(client: TestClient, runs: Runs) -> None:
    trace = client.get(f"/runs/{runs['helped']}/export.json").json()
    (at,) = [m["checkpoint_id"] for m in trace["moments"] if m["node"] == "recall"]
    (found,) = [e for e in trace["result"]["recalled"][0]["entries"] if not e["as_example"]]
    form = client.get(f"/runs/{runs['helped']}/fork?checkpoint={at}").text
    assert LESSON["content"] in form
    entry = found["entry"]["id"]
    text = send(
        client,
        f"/runs/{runs['helped']}/fork",
        checkpoint=at,
        **{f"entry:{entry}": "Count the sides.", f"was:{entry}": LESSON["content"]},
    )
    shown = finished(client, thread_in(text))
    assert "forked from" in shown and "with memory edited" in shown and "Count the sides." in shown
    assert client.get(f"/runs/{runs['helped']}/fork?checkpoint=none").status_code == 400


def test_one_problem_with_and_without_memory(client: TestClient, runs: Runs) -> None:
    answer = client.post("/solve", data={"csrf": csrf(client), "text": QUESTION, "both": "yes"})
    assert answer.status_code == 200 and "With memory" in answer.text
    shown = re.findall(r'data-live="/runs/([\w-]+)/column"', answer.text)
    assert len(shown) == 2
    for thread in shown:
        finished(client, thread)
    pair = client.get("/pair", params={"with": shown[0], "without": shown[1]}).text
    assert "data-events" not in pair
    told, _, bare = pair.partition("Without memory")
    assert LESSON["title"] in told and "was shown" not in bare
    assert LESSON["title"] in client.get(f"/runs/{shown[0]}/column").text
    assert client.get("/pair?with=nothing&without=nothing").status_code == 404
    assert client.get("/pair").status_code == 400


def test_a_run_under_way_is_stopped_and_goes_on(client: TestClient, tmp_path: Path) -> None:
    slow = script(tmp_path / "slow.json", {"content": RIGHT, "delay": 30})
    send(client, "/solve", text=QUESTION, reasoner=slow)
    page = client.get("/runs").text
    (thread,) = set(re.findall(r'href="/runs/([\w-]+)"', page))
    deadline = time.monotonic() + 60
    while "data-moments" not in (shown := client.get(f"/runs/{thread}").text):
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    assert f'action="/runs/{thread}/stop"' in shown
    stopped = send(client, f"/runs/{thread}/stop")
    assert ">stopped</span>" in stopped and ">stopped</span>" in client.get("/runs").text
    assert "stopped by hand" in stopped and "Go on from the last checkpoint" in stopped
    again = client.post(f"/runs/{thread}/stop", data={"csrf": csrf(client)})
    assert again.status_code == 400 and "not under way" in again.text
    quick = script(tmp_path / "quick.json", RIGHT)
    send(client, f"/runs/{thread}/resume", reasoner=quick)
    assert "25" in finished(client, thread)

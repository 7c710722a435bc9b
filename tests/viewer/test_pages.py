"""What the pages of runs show."""

from __future__ import annotations

import io
import re

from PIL import Image
from starlette.testclient import TestClient

from tests.scripts import LESSON, QUESTION, RELATED_QUESTION, RIGHT, WRONG
from tests.viewer.conftest import Runs
from tests.viewer.forms import csrf, finished, send, thread_in
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.traces import list_runs, read_trace


def test_an_empty_page_says_what_to_do(client: TestClient) -> None:
    assert "No runs yet" in client.get("/").text
    assert "Nothing learned yet" in client.get("/memory").text
    assert "No reports yet" in client.get("/evaluations").text
    assert client.get("/runs/nothing").status_code == 404
    assert client.get("/memory/entry/nothing").status_code == 400


def test_runs_are_listed_and_filtered(client: TestClient, runs: Runs) -> None:
    text = client.get("/runs").text
    assert all(thread in text for thread in runs.values()) and "waits for you" in text
    for query, wanted in (
        ("status=interrupted", "waiting"),
        ("benchmark=squares", "taught"),
        ("text=36+CM", "helped"),
        ("verdict=fail", "taught"),
    ):
        found = client.get(f"/runs?{query}").text
        shown = {name for name, thread in runs.items() if f"/runs/{thread}" in found}
        assert shown == {wanted}, query
    assert "No run matches" in client.get("/runs?text=circle").text
    assert client.get("/runs?page=x").status_code == 400


def test_a_run_shows_the_wrong_step_the_memory_and_the_prompt(
    client: TestClient, runs: Runs
) -> None:
    text = client.get(f"/runs/{runs['taught']}").text
    assert re.search(r'<li class="wrong">.*?20 / 4 = 6', text, re.DOTALL)
    assert "20 / 4 comes to 5, not 6" in text
    assert "What changed since attempt 1" in text and "<del>" in text
    helped = client.get(f"/runs/{runs['helped']}").text
    assert LESSON["content"] in helped and 'class="memory"' in helped
    assert "similarity 0." in helped and "dense +" in helped
    data = client.get(f"/runs/{runs['taught']}/export.json")
    assert data.json()["result"]["answer"] == "25"
    assert "attachment" in data.headers["content-disposition"]
    both = client.get(f"/diff?a={runs['taught']}&b={runs['helped']}").text
    assert runs["taught"] in both and "<ins>" in both
    assert client.get("/diff?a=x").status_code == 400


def test_what_was_kept_of_an_attempt_is_marked(client: TestClient, settings: Settings) -> None:
    rest = " cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
    goes_on = ScriptedChatModel.of(WRONG, rest).model_copy(update={"continues_reply": True})
    run = ReasoningAgent.open(settings=settings, reasoner=goes_on, memory="off").solve(QUESTION)
    text = client.get(f"/runs/{run.thread_id}").text
    assert "Goes on with attempt 1" in text
    kept = re.findall(r'<li class="kept">.*?</li>', text, re.DOTALL)
    assert len(kept) == 1 and "20 / 4 = 5 cm." in kept[0]
    assert re.search(r"<li><span[^>]*>2</span>.*?5 \* 5 = 25", text, re.DOTALL)


def test_a_run_is_deleted_and_what_it_taught_stays(client: TestClient, runs: Runs) -> None:
    text = send(client, f"/runs/{runs['taught']}/delete")
    assert runs["taught"] not in text and runs["helped"] in text
    assert LESSON["title"] in client.get("/memory").text
    thread = thread_in(send(client, "/solve", text=QUESTION, max_iterations="1"))
    finished(client, thread)
    form = {"csrf": csrf(client), "verdict": "pass"}
    send(client, f"/runs/{thread}/delete")
    for gone in (
        client.get(f"/runs/{thread}"),
        client.post(f"/runs/{thread}/judge", data=form),
        client.get("/pair", params={"with": thread, "without": thread}),
    ):
        assert gone.status_code == 404 and "no run" in gone.text


def test_a_run_with_a_missing_image_shows_the_rest(client: TestClient, settings: Settings) -> None:
    data = io.BytesIO()
    Image.new("RGB", (8, 6), "navy").save(data, "PNG")
    answer = client.post(
        "/solve",
        data={"csrf": csrf(client), "text": QUESTION, "no_memory": "on"},
        files={"images": ("../navy.png", data.getvalue(), "image/png")},
    )
    thread = thread_in(answer.text)
    text = finished(client, thread)
    assert "navy.png · 8×6" in text and ".." not in re.findall(r"<figcaption>(.*?)·", text)[0]
    exported = client.get(f"/runs/{thread}/export.html").text
    assert "data:image/png;base64," in exported and "is missing" not in exported
    for path in settings.media_dir.rglob("*.png"):
        path.unlink()
    exported = client.get(f"/runs/{thread}/export.html").text
    assert "is missing" in exported and "navy.png" in exported
    sha256 = re.findall(r'src="/media/([0-9a-f]{64})"', text)[0]
    assert client.get(f"/media/{sha256}").status_code == 404


def test_an_export_needs_nothing_from_elsewhere(client: TestClient, runs: Runs) -> None:
    text = client.get(f"/runs/{runs['taught']}/export.html").text
    assert not re.findall(r'(?:src|href)="(?!data:)[^"#]', text)
    assert "default-src &#39;none&#39;" in text and "20 / 4 comes to 5, not 6" in text
    assert len(text) < 200_000 and "katex" not in text.split("</style>")[0][-200:]


def test_the_page_reads_what_the_command_line_wrote(
    client: TestClient, runs: Runs, settings: Settings
) -> None:
    kept = open_checkpoints(settings.checkpoints_path)
    assert {run.thread_id for run in list_runs(kept)} == set(runs.values())
    assert read_trace(kept, runs["helped"]).problems == ()


def test_runs_are_sorted_and_two_that_are_ticked_compared(client: TestClient, runs: Runs) -> None:
    def order(query: str) -> list[str]:
        text = client.get(f"/runs?{query}").text
        return re.findall(r'type="checkbox" name="run" value="([\w-]+)"', text)

    newest = order("")
    assert set(newest) == set(runs.values())
    assert order("sort=attempts")[0] == runs["taught"], "it took two"
    assert set(order("sort=tokens&status=interrupted")) == {runs["waiting"]}
    assert client.get("/runs?sort=1;DROP").status_code == 400
    text = client.get("/runs?sort=tokens").text
    assert 'aria-sort="descending"' in text and 'href="/runs?"' in text
    assert "scripted:seed.json" in text and "by reference" in text
    ticked = client.get("/diff", params={"run": newest[:2]})
    assert ticked.status_code == 200 and "Two runs" in ticked.text
    for wrong in (newest[:1], newest[:3], []):
        assert client.get("/diff", params={"run": wrong}).status_code == 400


def test_a_run_is_tagged_noted_and_found(client: TestClient, runs: Runs) -> None:
    path, note = f"/runs/{runs['taught']}", "It **reads** <b>wrong</b>."
    shown = send(client, f"{path}/remark", tags="hard, to discuss", note=note)
    assert 'href="/runs?tag=hard"' in shown and "It <strong>reads</strong> &lt;b&gt;" in shown
    found = client.get("/runs?tag=to+discuss").text
    assert runs["taught"] in found and runs["helped"] not in found and "&lt;b&gt;wrong" in found
    assert "<option>hard</option>" in found
    wrong = {"csrf": csrf(client), "tags": "<b>", "note": "kept"}
    refused = client.post(f"{path}/remark", data=wrong)
    assert refused.status_code == 400 and 'value="&lt;b&gt;"' in refused.text
    assert "a word or a few" in refused.text and ">kept</textarea>" in refused.text
    assert client.get(f"{path}/export.json").json()["remark"]["tags"] == ["hard", "to discuss"]
    assert "to discuss" in client.get(f"{path}/export.html").text


def test_a_run_may_be_called_anything_and_links_to_its_own_memory(
    settings: Settings, client: TestClient
) -> None:
    name = "../team/42?x#y %2F é"
    own = ("team", "é/1")
    with ReasoningAgent.open(settings=settings, namespace=own) as agent:
        agent.solve(QUESTION, thread_id=name)
        agent.teach(name, RIGHT)
        agent.solve(RELATED_QUESTION, thread_id="related")
    found = re.findall(r'href="(/runs/[^"?]+)"', client.get("/runs").text)
    (there,) = (link for link in found if "team" in link)
    shown = client.get(there)
    assert shown.status_code == 200 and "Teach it" in shown.text
    assert client.get(f"{there}/export.json").json()["result"]["thread_id"] == name
    noted = client.post(f"{there}/remark", data={"csrf": csrf(client), "note": "odd"})
    assert noted.status_code == 200 and "Done: noted" in noted.text
    (entry,) = set(re.findall(r'href="(/memory/entry/[^"]+)"', client.get("/runs/related").text))
    assert client.get(entry).status_code == 200, entry
    send(client, f"{there}/delete")
    assert "team" not in client.get("/runs").text

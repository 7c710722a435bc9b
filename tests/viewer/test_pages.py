from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.testclient import TestClient

from tests.scripts import LESSON, QUESTION, RELATED_QUESTION, RIGHT, WRONG, operations
from tests.viewer.conftest import script
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.traces import list_runs, read_trace
from vitarmm_agent.viewer.live import LiveRuns, as_server_sent

Runs = dict[str, str]


def csrf(client: TestClient) -> str:
    return re.findall(r'name="csrf" value="([0-9a-f]{64})"', client.get("/solve").text)[0]


def send(client: TestClient, path: str, **fields: str) -> str:
    """Post a form; the text of the page it leads to."""
    answer = client.post(path, data={"csrf": csrf(client), **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


def page_when(client: TestClient, thread: str, so: Callable[[str], bool]) -> str:
    """The page of a run, once it is so."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = client.get(f"/runs/{thread}").text
        if so(text):
            return text
        time.sleep(0.05)
    raise AssertionError("the run's page does not come to it")


def finished(client: TestClient, thread: str) -> str:
    """The page of a run, once it is over."""
    return page_when(client, thread, lambda text: "data-events" not in text)


def thread_in(text: str) -> str:
    return re.findall(r'data-live="/runs/([\w-]+)"', text)[0]


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
    import io

    from PIL import Image

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


def test_memory_is_searched_edited_undone_and_forgotten(client: TestClient, runs: Runs) -> None:
    found = client.get("/memory?q=area+of+a+square+with+a+given+perimeter").text
    assert LESSON["title"] in found and "lexical +" in found
    path = re.findall(r'href="(/memory/entry/[\w-]+)"', found)[0]
    entry = client.get(path).text
    assert f'href="/runs/{runs["taught"]}"' in entry and f'href="/runs/{runs["helped"]}"' in entry
    edited = send(client, f"{path}/edit", content="Quarter it, then square it.", confidence="0.8")
    assert "Quarter it, then square it." in edited and "<del>" in edited
    undo = re.findall(r'name="run" value="(person-edit-\w+)"', edited)[0]
    undone = send(client, "/memory/undo", run=undo)
    assert f'<div class="problem prose"><p>{LESSON["content"]}</p>' in undone
    bad = client.post(f"{path}/edit", data={"csrf": csrf(client), "confidence": "7"})
    assert bad.status_code == 400 and "confidence" in bad.text
    forgotten = send(client, f"{path}/forget")
    assert "This entry was forgotten" in forgotten
    assert LESSON["title"] not in client.get("/memory").text
    back = re.findall(r'name="run" value="(person-forget-\w+)"', forgotten)[0]
    send(client, "/memory/undo", run=back)
    assert LESSON["title"] in client.get("/memory").text
    assert LESSON["title"] not in client.get("/memory?as_of=2001-01-01").text
    assert LESSON["title"] in client.get("/memory?as_of=2999-01-01").text
    assert client.get("/memory?as_of=soon").status_code == 400


def test_an_entry_that_waits_for_review_is_decided_on(
    client: TestClient, runs: Runs, settings: Settings
) -> None:
    memory = client.app.state.site.memory()  # type: ignore[attr-defined]
    (entry,) = [entry for entry in memory.list() if entry.example is None]
    memory.edit(entry.id, {"quarantined": True})
    assert entry.title in client.get("/memory/review").text
    assert "Nothing would be recalled" in client.get("/memory?q=area+of+a+square").text
    path = f"/memory/entry/{entry.id}/review"
    assert client.post(path, data={"csrf": csrf(client), "decision": "?"}).status_code == 400
    assert "Done: accepted" in send(client, path, decision="accept")
    assert "Nothing waits for review" in client.get("/memory/review").text


def test_a_run_with_a_missing_image_shows_the_rest(client: TestClient, settings: Settings) -> None:
    import io

    from PIL import Image

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


def opener(agent: ReasoningAgent) -> Callable[[], Awaitable[ReasoningAgent]]:
    """What opens an agent that is open already."""

    async def opened() -> ReasoningAgent:
        return agent

    return opened


async def test_several_pages_watch_one_run(settings: Settings) -> None:
    live = LiveRuns()
    agent = await asyncio.to_thread(ReasoningAgent.open, settings=settings, memory="off")

    live.start("watched", opener(agent), {"problem": {"text": QUESTION}})

    async def watch() -> list[str]:
        return [line.decode() async for line in as_server_sent(live.watch("watched"))]

    one, other = await asyncio.gather(watch(), watch())
    for lines in (one, other):
        told = "".join(lines)
        nodes = [json.loads(d)["nodes"] for d in re.findall(r"event: node\ndata: (.*)", told)]
        assert [n[0] for n in nodes if n][:4] == ["recall", "reason", "feedback", "remember"]
        tokens = re.findall(r"event: token\ndata: (.*)", told)
        assert "".join(json.loads(t)["text"] for t in tokens) == WRONG + RIGHT
        assert told.rstrip().endswith('data: {"phase": "done", "error": ""}')
    late = [event async for event in live.watch("watched")]
    assert late == [("end", {})]


async def test_a_run_that_ends_while_it_is_read_is_not_shown_as_left(settings: Settings) -> None:
    live = LiveRuns()
    agent = await asyncio.to_thread(ReasoningAgent.open, settings=settings, memory="off")

    live.start("quick", opener(agent), {"problem": {"text": QUESTION}})
    before = live.live("quick")
    assert [event async for event in live.watch("quick")][-1][0] == "end"
    after = live.live("quick")
    assert before is not None and before.going and after is not None and not after.going


async def test_models_are_heard_in_every_node(settings: Settings, tmp_path: Path) -> None:
    """The judge, the memory writer and the teacher too; and what each node does is told."""
    wrong = {"step": 1, "check": "5", "verdict": "wrong", "mistake": "It is 5."}
    judged = json.dumps({"steps": [wrong], "verdict": "wrong"})
    taught = operations(LESSON)
    lost = "1. The side is six.\n2. So it is 36.\nAnswer: 36"
    options = {
        "reasoner": script(tmp_path / "lost.json", {"content": lost, "delay": 1.5}),
        "judge": script(tmp_path / "judge.json", judged),
        "rmm": script(tmp_path / "writer.json", taught),
        "teacher": script(tmp_path / "teacher.json", RIGHT),
        "feedback": "judge",
        "judge_fail_precision": 0.9,
        "max_iterations": 1,
    }
    own = Settings.load(**settings.model_dump(exclude_unset=True) | options)
    agent = await asyncio.to_thread(ReasoningAgent.open, settings=own)
    live, heard, doing = LiveRuns(), dict[str, str](), list[str]()
    seen = list[tuple[str, ...]]()

    live.start("heard", opener(agent), {"problem": {"text": QUESTION}})
    node = ""
    async for kind, data in live.watch("heard"):
        if kind == "refresh":
            kept = await agent.graph.aget_state({"configurable": {"thread_id": "heard"}})
            seen.append(kept.next)
        if kind == "node":
            node = (*data["nodes"], "")[0]
            doing.append(data["doing"])
        elif kind == "token":
            heard[node] = heard.get(node, "") + data["text"]
    assert heard == {"reason": lost, "feedback": judged, "remember": taught, "teach": RIGHT}
    assert doing[0] == "loading the models" and "asking the teacher" in doing
    assert ("reason",) in seen, "while it writes, what came before can be read"


def test_the_page_reads_what_the_command_line_wrote(
    client: TestClient, runs: Runs, settings: Settings
) -> None:
    kept = open_checkpoints(settings.checkpoints_path)
    assert {run.thread_id for run in list_runs(kept)} == set(runs.values())
    assert read_trace(kept, runs["helped"]).problems == ()


def test_a_worked_example_is_shown_edited_and_kept_in_its_run(
    client: TestClient, settings: Settings, tmp_path: Path
) -> None:
    given = settings.model_dump(exclude_unset=True) | {"max_iterations": 1}
    reasoner = script(tmp_path / "r.json", WRONG, RIGHT)
    teacher = script(tmp_path / "t.json", RIGHT)
    options = {"reasoner": reasoner, "teacher": teacher}
    agent = ReasoningAgent.open(settings=Settings.load(**given | options))
    taught = agent.solve(QUESTION, thread_id="taught").taught
    assert taught is not None
    agent.solve(RELATED_QUESTION.replace("area?", "area in square centimeters?"), thread_id="shown")
    page = client.get("/runs/taught").text
    assert "Taught by scripted:t.json" in page
    shown = client.get("/runs/shown").text
    assert "Shown as an earlier turn" in shown and "Right by the word of teacher" in shown
    assert shown.count('<span class="memory">') >= 3, "in the prompt it stands out"
    path = f"/memory/entry/{taught.operations[0]['entry_id']}"
    assert "Worked example" in client.get(path).text
    images = {"example_images": "ab" * 32}
    example = {"example_problem": QUESTION, "example_answer": "25 cm", "example_verified_by": "Ada"}
    edited = send(
        client, f"{path}/edit", **example | images, example_steps="20/4 = 5\n\n5*5 = 25\n"
    )
    assert "Right by the word of Ada" in edited and ">5*5 = 25</li>" in edited
    assert f'src="/media/{"ab" * 32}"' in edited, "its images stay with it"
    assert f'name="example_images" value="{"ab" * 32}"' in edited
    emptied = {**example, "example_answer": ""}
    data = {"csrf": csrf(client), **emptied, "example_steps": "x"}
    assert client.post(f"{path}/edit", data=data).status_code == 400
    gone = send(client, f"{path}/edit", **{**example, "example_problem": ""})
    assert 'aria-label="Worked example"' not in gone


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

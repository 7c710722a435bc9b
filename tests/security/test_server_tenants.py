"""Two tenants of one LangGraph server, which asks each of them who they are."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langgraph_api", reason="needs the extra `server`")

from langgraph_sdk import get_client

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT
from tests.integrations.test_server import ROOT, DevServer, judged

pytestmark = pytest.mark.weights
SECRET = "Multiply the side by itself, not by four."
ASKED = {"problem": {"text": PROBLEM}}
AUTH = """
from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def who(headers):
    given = dict(headers).get(b"authorization", b"").decode()
    if given not in ("Bearer ada", "Bearer bob"):
        raise Auth.exceptions.HTTPException(status_code=401, detail="who are you?")
    return {"identity": given.removeprefix("Bearer ")}


@auth.on
async def only_their_own(ctx, value):
    mine = {"owner": ctx.user.identity}
    value.setdefault("metadata", {}).update(mine)
    return mine


@auth.on.store
async def in_their_own_name(ctx, value):
    assert tuple(value["namespace"])[:1] == (ctx.user.identity,)
"""


@pytest.fixture
def server(tmp_path: Path, weights: Callable[[str], Path]) -> Iterator[DevServer]:
    weights("all-minilm-l6-v2")
    running = DevServer(tmp_path / "server")
    config = json.loads((ROOT / "langgraph.json").read_text())
    (running.folder / "langgraph.json").unlink()
    (running.folder / "langgraph.json").write_text(
        json.dumps(config | {"auth": {"path": "./auth.py:auth"}})
    )
    (running.folder / "auth.py").write_text(AUTH)
    yield running
    running.stop()


async def test_bob_gets_nothing_of_adas(server: DevServer) -> None:
    """One server for all of it: starting one takes seconds."""
    first = [RIGHT, judged("right"), LESSON]
    server.start(
        [*first, *[RIGHT, judged("right"), NOTHING] * 40],
        VITARMM_FEEDBACK="judge",
        VITARMM_JUDGE_PASS_PRECISION="0.9",
        VITARMM_MEMORY=str(server.folder / "memory"),
        VITARMM_NAMESPACE='["team", "{langgraph_auth_user_id}"]',
    )
    ada, bob = (
        get_client(url=server.url, headers={"authorization": f"Bearer {name}"})
        for name in ("ada", "bob")
    )
    hers = (await ada.threads.create())["thread_id"]
    learned = await ada.runs.wait(hers, "reasoning", input=ASKED)
    assert learned["written"][0]["operations"][0]["entry"]["content"] == SECRET, server.log[-3000:]
    assert SECRET in json.dumps((await ada.runs.wait(None, "reasoning", input=ASKED))["recalls"])

    his = (await bob.threads.create())["thread_id"]
    own = await bob.runs.wait(his, "reasoning", input=ASKED, context={"max_iterations": 50})
    assert own["recalls"][0]["entries"] == []
    state = (await bob.threads.get_state(his))["values"]
    assert (state["namespace"], state["limits"]["max_iterations"]) == (["team", "bob"], 3)

    for name, attempt in attacks(bob, server.url, hers, his).items():
        told = await outcome(attempt)
        assert SECRET not in told, f"{name}: {told[:1000]}"
    for thread in await bob.threads.search(limit=100):
        told = await outcome(partial(bob.threads.get_history, thread["thread_id"], limit=50))
        assert SECRET not in told, told[:3000]

    again = await ada.runs.wait(None, "reasoning", input=ASKED)
    (entry,) = (found["entry"] for found in again["recalls"][0]["entries"])
    assert (entry["content"], entry["used"]) == (SECRET, 1)  # by her own run, and no other
    assert "Blocking call" not in server.log

    kept = [*(server.folder / ".langgraph_api").iterdir()]  # the server's own, with all threads
    assert kept
    assert [file.name for file in kept if file.stat().st_mode & 0o077] == []


async def outcome(attempt: Callable[[], Awaitable[Any]]) -> str:
    """What an attack was answered."""
    try:
        return json.dumps(await attempt(), default=str)
    except Exception as error:  # the client raises bare ones, too
        return f"{type(error).__name__}: {error}"


def attacks(bob: Any, url: str, hers: str, his: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Ways into another tenant's memory and threads, each as who may run the graph can try it."""
    ada = {"langgraph_auth_user_id": "ada", "langgraph_auth_user": {"identity": "ada"}}
    tampered = {"namespace": ["team", "ada"], "decision": {"action": "retry", "reason": ""}}
    there = {"thread_id": hers, "checkpoint_ns": ""}

    def solve(thread: str | None = None, **given: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: bob.runs.wait(thread, "reasoning", **({"input": ASKED} | given))

    async def by_state() -> Any:
        await bob.threads.update_state(his, tampered, as_node="remember")
        return await bob.runs.wait(his, "reasoning", input=None)

    async def by_assistant(**given: Any) -> Any:
        assistant = await bob.assistants.create("reasoning", metadata=ada, **given)
        return await bob.runs.wait(None, assistant["assistant_id"], input=ASKED)

    async def by_header() -> Any:
        baggage = 'langgraph_auth_user_id=ada,langsmith-metadata=%7B"thread_id":"ada"%7D'
        names = {"x-langgraph-auth-user-id": "ada", "langsmith-trace": "x", "baggage": baggage}
        client = get_client(url=url, headers={"authorization": "Bearer bob", **names})
        return await client.runs.wait(None, "reasoning", input=ASKED)

    return {
        "configurable": solve(config={"configurable": {**ada, "user_id": "ada"}}),
        "context": solve(context=ada),
        "metadata": solve(metadata=ada, config={"metadata": ada}),
        "input": solve(input={**ASKED, **tampered}),
        "header": by_header,
        "update_state": by_state,
        "command": solve(his, input=None, command={"update": tampered, "goto": "recall"}),
        "goto remember": solve(his, input=None, command={"update": tampered, "goto": "remember"}),
        "assistant": lambda: by_assistant(config={"configurable": {**ada, "thread_id": hers}}),
        "assistant's context": lambda: by_assistant(context=ada),
        "time travel": solve(his, input=None, checkpoint=there),
        "her thread": solve(hers),
        "her state": lambda: bob.threads.get_state(hers),
        "her state from his": lambda: bob.threads.get_state(his, checkpoint=there),
        "her history": lambda: bob.threads.get_history(hers, limit=9),
        "her history from his": lambda: bob.threads.get_history(his, checkpoint=there, limit=9),
        "a fork of hers": lambda: bob.threads.copy(hers),
        "a thread of her name": lambda: bob.threads.create(thread_id=hers, if_exists="do_nothing"),
        "the store": lambda: bob.store.search_items(["team", "ada"]),
    }

"""Runs that go on in this server, and who watches them.

A run is one asyncio task over ``graph.astream``. What it streams is turned into a few small events
(``node``, ``token``, ``refresh``, ``end``) and handed to every page that watches; the page then asks
for the run as its checkpoints tell it, so that there is one truth.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vitarmm_agent.agent import STEPS_PER_ITERATION
from vitarmm_agent.errors import InputError, VitaRMMError
from vitarmm_agent.nodes.doing import DOING, LOADING, Heard
from vitarmm_agent.problem import Problem
from vitarmm_agent.redaction import redact
from vitarmm_agent.run_settings import recorded
from vitarmm_agent.state import RunContext

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from vitarmm_agent.agent import ReasoningAgent

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15
QUEUE_SIZE = 10_000
KEPT_TRIES, KEPT_SECONDS = 40, 0.05
LiveEvent = tuple[str, dict[str, Any]]
OpenAgent = Callable[[], Awaitable["ReasoningAgent"]]


@dataclass
class LiveRun:
    """A run under way, or one that failed in this server.

    Attributes:
        options: settings that it was asked with, to ask again.
        phase: ``loading`` (models), ``running``, ``done`` or ``failed``.
        nodes: the nodes that run now.
        since: when the last of them, or the run, began; of a monotonic clock.
        text: what models have said in it, their thinking too.
        heard: the reader of what they say.
        error: why it failed, for the person who looks.
        stopped_by: that, should it be cancelled.
    """

    thread_id: str
    problem: Problem | None = None
    options: dict[str, Any] = field(default_factory=dict)
    phase: str = "loading"
    nodes: tuple[str, ...] = ()
    since: float = field(default_factory=time.monotonic)
    text: str = ""
    heard: Heard = field(default_factory=Heard, repr=False)
    error: str = ""
    stopped_by: str = "the server was stopped"
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def going(self) -> bool:
        """Whether it is not over."""
        return self.phase in ("loading", "running")

    @property
    def doing(self) -> dict[str, Any]:
        """What is going on, for a page: the node, what it does, and for how many seconds it has."""
        node = self.nodes[-1] if self.nodes else ""
        words = LOADING if self.phase == "loading" else DOING.get(node, "starting")
        return {
            "nodes": self.nodes,
            "phase": self.phase,
            "doing": words,
            "elapsed": round(time.monotonic() - self.since, 1),
        }


class LiveRuns:
    """All runs of this server."""

    def __init__(self) -> None:
        """Begin with none."""
        self.runs: dict[str, LiveRun] = {}
        self._watchers: dict[str, set[asyncio.Queue[LiveEvent]]] = {}

    def start(
        self,
        thread_id: str,
        open_agent: OpenAgent,
        inputs: Any,
        *,
        problem: Problem | None = None,
        options: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> LiveRun:
        """Begin or go on with a run; ``inputs`` is what LangGraph's ``astream`` takes.

        Raises:
            VitaRMMError: that run is under way already.
        """
        if (known := self.runs.get(thread_id)) is not None and known.going:
            raise VitaRMMError(f"run {thread_id!r} is under way")
        live = LiveRun(thread_id, problem, options or {})
        self.runs[thread_id] = live
        live.task = asyncio.create_task(self._run(live, open_agent, inputs, metadata or {}))
        live.task.add_done_callback(lambda task: self._over(live, task))
        self._tell(live, "refresh", {})
        return live

    def live(self, thread_id: str) -> LiveRun | None:
        """A run of this server as it is now.

        Ask before the run is read: one that ends meanwhile is then shown as going on, and not, with what was
        read before its end, as over.
        """
        found = self.runs.get(thread_id)
        return None if found is None else replace(found)

    def going(self) -> set[str]:
        """Threads of the runs under way."""
        return {name for name, run in self.runs.items() if run.going}

    async def watch(self, thread_id: str = "") -> AsyncIterator[LiveEvent]:
        """Events of one run until it ends; of all runs, without end, for ""."""
        queue: asyncio.Queue[LiveEvent] = asyncio.Queue(QUEUE_SIZE)
        self._watchers.setdefault(thread_id, set()).add(queue)
        try:
            so_far = self._so_far(thread_id)
            for event in so_far:
                yield event
            while ("end", {}) not in so_far:
                try:
                    event = await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    event = ("heartbeat", {})
                yield event
                if thread_id and event[0] == "end":
                    return
        finally:
            self._watchers[thread_id].discard(queue)

    async def cancel(self, thread_id: str) -> None:
        """Stop one run, and wait until it has; it can be resumed from its last checkpoint.

        Raises:
            InputError: it is not under way in this server.
        """
        live = self.runs.get(thread_id)
        if live is None or not live.going or live.task is None:
            raise InputError(
                f"run {thread_id!r} is not under way here, so there is nothing to stop"
            )
        live.stopped_by = "it was stopped by hand"
        live.task.cancel()
        await asyncio.wait([live.task])

    async def stop(self) -> None:
        """Cancel what is under way; each run can be resumed from its last checkpoint."""
        tasks = [run.task for run in self.runs.values() if run.going and run.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _so_far(self, thread_id: str) -> list[LiveEvent]:
        live = self.runs.get(thread_id)
        if not thread_id:
            return []
        if live is None or not live.going:
            return [("end", {})]
        events: list[LiveEvent] = [("node", live.doing)]
        return [*events, ("token", {"text": live.text})] if live.text else events

    async def _run(
        self, live: LiveRun, open_agent: OpenAgent, inputs: Any, metadata: dict[str, Any]
    ) -> None:
        agent = await open_agent()
        live.phase, live.since = "running", time.monotonic()
        self._tell(live, "node", live.doing)
        config: RunnableConfig = {
            "configurable": {"thread_id": live.thread_id, "checkpoint_ns": ""},
            "metadata": recorded(agent.settings) | metadata,
            "recursion_limit": (agent.settings.max_iterations + 2) * STEPS_PER_ITERATION,
        }
        stream: AsyncIterator[Any] = agent.graph.astream(
            inputs,
            config,
            context=RunContext(stream_asides=True),
            stream_mode=["tasks", "messages"],
            durability="sync",
        )
        waiting = list[asyncio.Task[None]]()
        try:
            async for mode, chunk in stream:
                if mode == "messages":
                    self._token(live, *chunk)
                elif "input" in chunk:
                    self._node(live, chunk["name"])
                    kept = self._when_kept(live, agent, config, chunk["name"])
                    waiting.append(asyncio.create_task(kept))
        finally:
            for task in waiting:  # the page is told of the end
                task.cancel()

    async def _when_kept(
        self, live: LiveRun, agent: ReasoningAgent, config: RunnableConfig, node: str
    ) -> None:
        """Have pages read the run again when what came before a node is in the checkpoints.

        LangGraph tells of the node first, and then waits for its checkpointer.
        """
        for _ in range(KEPT_TRIES):
            if node in (await agent.graph.aget_state(config)).next:
                break
            await asyncio.sleep(KEPT_SECONDS)
        self._tell(live, "refresh", {})

    def _node(self, live: LiveRun, node: str) -> None:
        """A node begins."""
        self._said(live, live.heard.end())
        live.nodes, live.text, live.heard, live.since = (node,), "", Heard(), time.monotonic()
        self._tell(live, "node", live.doing)

    def _token(self, live: LiveRun, message: Any, metadata: dict[str, Any]) -> None:
        if (metadata.get("langgraph_node"),) != live.nodes:
            return
        self._said(live, live.heard.feed(message))

    def _said(self, live: LiveRun, pieces: Iterable[tuple[str, bool]]) -> None:
        if text := "".join(piece for piece, _ in pieces):
            live.text += text
            self._tell(live, "token", {"text": text})

    def _over(self, live: LiveRun, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        live.phase, live.nodes = ("failed" if error or task.cancelled() else "done"), ()
        if task.cancelled():
            live.error = live.stopped_by
        elif error is not None:
            known = isinstance(error, VitaRMMError)
            told = str(error) if known else f"unexpected {type(error).__name__}: {error}"
            live.error = redact(told)
            logger.warning("run %s failed", live.thread_id, exc_info=None if known else error)
        self._tell(live, "end", {"phase": live.phase, "error": live.error})

    def _tell(self, live: LiveRun, kind: str, data: dict[str, Any]) -> None:
        watchers = list(self._watchers.get(live.thread_id, ()))
        if kind in ("refresh", "end"):
            watchers += self._watchers.get("", ())
        for queue in watchers:
            if queue.full():  # a page that does not listen loses events, not memory
                queue.get_nowait()
            queue.put_nowait((kind, data))


async def as_server_sent(events: AsyncIterator[LiveEvent]) -> AsyncIterator[bytes]:
    """Events in the form that a browser's ``EventSource`` reads."""
    yield b"retry: 2000\n\n"
    async for kind, data in events:
        if kind == "heartbeat":
            yield b": still here\n\n"
        else:
            yield f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()

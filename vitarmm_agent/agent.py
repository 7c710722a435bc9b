"""ReasoningAgent: settings → models, memory, graph; and the ways to run it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

from langchain_core.runnables import RunnableConfig

from vitarmm_agent.closable import Closable
from vitarmm_agent.effects import Call, Flow, arun, calls, in_thread, run, twins
from vitarmm_agent.errors import InputError, no_run
from vitarmm_agent.nodes.intake import store_images
from vitarmm_agent.nodes.tenancy import check_owner, fill_namespace
from vitarmm_agent.open_media import open_media
from vitarmm_agent.options import OpenOptions, check_batch, check_names
from vitarmm_agent.problem import Problem, Taught
from vitarmm_agent.result import Result
from vitarmm_agent.run_settings import kept_settings, recorded
from vitarmm_agent.settings import Settings
from vitarmm_agent.state import ReasoningInput, holds_run, read_result, result_of, streaming
from vitarmm_agent.verifiers.person_reply import LaterVerdict

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.store.base import BaseStore
    from langgraph.types import Command, StateSnapshot

    from vitarmm_agent.graphs.reasoning import ReasoningGraph
    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.rmm.writer import MemoryWriter
    from vitarmm_agent.verifiers.policy import Verifiers

    Asked = str | Problem | dict[str, Any] | Command[Any] | LaterVerdict | None

STEPS_PER_ITERATION = 4


class ReasoningAgent(Closable):
    """An agent that solves problems, remembers what it learned, and keeps each run as a trace.

    Make one with ``open``. ``asolve`` is ``solve`` on an event loop, and so on.
    """

    def __init__(
        self,
        graph: ReasoningGraph,
        settings: Settings,
        memory: ReasoningMemory | None = None,
        *,
        closing: ExitStack | None = None,
    ) -> None:
        """Wrap a graph that was compiled with a checkpointer, and the memory it works with.

        ``closing`` releases what was opened for this agent alone.
        """
        super().__init__(closing)
        self.graph = graph
        self.settings = settings
        self.memory = memory
        self._media = open_media(settings, local_files=True)

    @classmethod
    def open(
        cls,
        *,
        reasoner: str | BaseChatModel | None = None,
        verifiers: Verifiers | None = None,
        feedback: Verifiers | None = None,
        judge: str | BaseChatModel | None = None,
        rmm: str | BaseChatModel | MemoryWriter | None = None,
        memory: str | Path | ReasoningMemory | None = None,
        teacher: str | BaseChatModel | Callable[[Problem], str | None] | None = None,
        checkpointer: BaseCheckpointSaver[str] | None = None,
        store: BaseStore | None = None,
        settings: Settings | None = None,
        **options: Unpack[OpenOptions],
    ) -> Self:
        """Open an agent. Close it with ``close``, or use it in a ``with`` block.

        Args:
            reasoner: chat model or its spec (``"local:NAME"``, ``"vita:PATH"``, ``"openai:…"``).
            verifiers: names (``"arithmetic,choice"``); a list of names, functions of (problem,
                attempt), and objects with a ``check``; or a policy.
            feedback: another name of ``verifiers``.
            judge: chat model or spec that the verifier ``judge`` asks; default: the reasoner.
            rmm: chat model, spec or memory writer that decides what to remember.
            memory: folder, URL, ``"off"``, or a memory, whose own namespace an option replaces.
            teacher: stronger chat model, its spec, or a function from a problem to a solution; asked
                once when a run ends without a pass.
            checkpointer: where traces are kept; default: the settings' database or folder.
            store: a LangGraph store to hold the memory.
            settings: everything not given; default: ``Settings.load``.
            options: any other field of ``Settings``, by name, such as ``max_iterations``.

        Raises:
            UserError: a spec, folder, or value that cannot be used, or an option that is none.
        """
        from vitarmm_agent.graphs.open_graph import open_graph

        check_names(options, signature(cls.open).parameters)
        if verifiers is not None and feedback is not None:
            raise InputError("verifiers and feedback are one thing; give it once")
        opened = open_graph(
            reasoner=reasoner,
            verifiers=feedback if verifiers is None else verifiers,
            judge=judge,
            rmm=rmm,
            memory=memory,
            teacher=teacher,
            checkpointer=checkpointer,
            store=store,
            settings=settings,
            options=options,
        )
        return cls(opened.graph, opened.settings, opened.memory, closing=opened.closing)

    def stream(
        self,
        problem: Asked,
        *,
        thread_id: str | None = None,
        configurable: dict[str, Any] | None = None,
        stream_mode: Any = "updates",
        asides: bool = False,
    ) -> Iterator[Any]:
        """Run one problem, and yield what LangGraph streams in ``stream_mode``.

        Mode ``custom`` yields the typed events of ``vitarmm_agent.nodes.events``. As in LangGraph, None
        resumes the run ``thread_id``, ``Command(resume=…)`` replies to what it waits for, and
        ``LaterVerdict`` judges it. With ``asides``, mode ``messages`` also has what judges, samples, teacher
        and memory writer say.
        """
        inputs, config = run(self._prepare(problem, thread_id, configurable))
        yield from self.graph.stream(inputs, config, **streaming(stream_mode, asides))

    async def astream(
        self,
        problem: Asked,
        *,
        thread_id: str | None = None,
        configurable: dict[str, Any] | None = None,
        stream_mode: Any = "updates",
        asides: bool = False,
    ) -> AsyncIterator[Any]:
        """As ``stream``, on an event loop."""
        inputs, config = await arun(self._prepare(problem, thread_id, configurable))
        chunks = self.graph.astream(inputs, config, **streaming(stream_mode, asides))
        async with aclosing(cast("AsyncGenerator[Any, None]", chunks)):
            async for chunk in chunks:  # a reader that leaves ends the run here, not later
                yield chunk

    def batch(
        self, problems: Sequence[str | Problem | dict[str, Any]], *, max_concurrency: int = 8
    ) -> list[Result]:
        """Solve several problems at once, in threads; results in the same order."""
        check_batch(problems, max_concurrency)
        with ThreadPoolExecutor(max_workers=max_concurrency) as pool:
            return list(pool.map(self.solve, problems))

    async def abatch(
        self, problems: Sequence[str | Problem | dict[str, Any]], *, max_concurrency: int = 64
    ) -> list[Result]:
        """Solve several problems at once on an event loop; results in the same order."""
        check_batch(problems, max_concurrency)
        gate = asyncio.Semaphore(max_concurrency)

        async def one(problem: str | Problem | dict[str, Any]) -> Result:
            async with gate:
                return await self.asolve(problem)

        return await asyncio.gather(*(one(problem) for problem in problems))

    def as_tool(self, name: str = "solve_problem") -> BaseTool:
        """This agent as a LangChain tool, sync and async, which answers in one line.

        Each call is a run of its own thread. A problem that cannot be used is told to the calling
        model. The caller's ``configurable`` (a ``user_id``, say) fills the memory's namespace template.
        """
        from vitarmm_agent.graphs.tools import solver_tool

        return solver_tool(self.solve, self.asolve, name)

    def _solve(
        self,
        problem: str | Problem | dict[str, Any],
        *,
        thread_id: str | None = None,
        configurable: dict[str, Any] | None = None,
    ) -> Flow[Result]:
        """Solve one problem: run it to its end, and return the result.

        Args:
            problem: text, a ``Problem``, or its fields as a mapping. Images that it names by path
                are read, so check a problem that comes from a client first.
            thread_id: name of the run; default: a new one.
            configurable: LangGraph's run configuration, such as ``{"user_id": "ada"}`` for a memory
                namespace ``("team", "{user_id}")``.

        Raises:
            InputError: the problem cannot be used, or the thread has a run already.
            ModelServerError: a model server failed; ``resume`` continues from there.
        """
        inputs, config = yield from self._prepare(problem, thread_id, configurable)
        if thread_id is not None and holds_run((yield from self._state(config))):
            raise InputError(
                f"thread {thread_id!r} has a run already; resume it, or use another thread"
            )
        output = yield from self._invoke(inputs, config)
        interrupted = bool(output.get("__interrupt__"))
        return result_of(output, config["configurable"]["thread_id"], interrupted=interrupted)

    def _resume(
        self, thread_id: str, value: Any = None, *, configurable: dict[str, Any] | None = None
    ) -> Flow[Result]:
        """Resume a run that was interrupted, killed, or failed. A finished one is only returned.

        Args:
            thread_id: the run.
            value: the reply, if the run waits for a person.
            configurable: the same as in ``solve``: a run stays with the user it was started for.

        Raises:
            InputError: there is no such run, it is someone else's, it waits for a person and ``value`` is
                None, or it waits for none and there is a ``value``.
        """
        inputs, config = yield from self._going_on(thread_id, value, configurable)
        yield from self._invoke(inputs, config)
        return (yield from self._result(thread_id))

    def _going_on(
        self, thread_id: str, value: Any, configurable: dict[str, Any] | None
    ) -> Flow[tuple[Any, RunnableConfig]]:
        """What the graph takes to go on with a run; one that is over has nothing left to do."""
        from langgraph.types import Command

        config = self._config(thread_id, configurable)
        snapshot = yield from self._begun(config)
        if snapshot.interrupts and value is None:
            raise InputError(f"run {thread_id!r} waits for a person; pass the reply")
        if value is not None and not snapshot.interrupts:
            judge = f"it is over: vitarmm judge {thread_id} pass|fail, or agent.judge(…)"
            what = "resume it without one" if snapshot.tasks else judge
            raise InputError(f"run {thread_id!r} waits for no reply, got {value!r:.200}; {what}")
        return Command(resume=value) if snapshot.interrupts else None, config

    def _judge(
        self,
        thread_id: str,
        verdict: Any,
        *,
        comment: str = "",
        solution: str = "",
        step: int | None = None,
        by: str = "a person",
        configurable: dict[str, Any] | None = None,
    ) -> Flow[Result]:
        """Record a person's verdict on a run that is over, or that waits for one.

        The entries that the judged attempt was shown gain or lose credit, and what is learned is written.
        A new verdict first undoes what an earlier one did; the same verdict again changes nothing. It is
        kept in the run's ``judged`` and in its checkpoints.

        Args:
            thread_id: the run; if the thread has several, the last.
            verdict: ``"pass"``, ``"fail"``, or ``"abstain"`` to take a verdict back; or what a client
                sends in its place ("yes", ``{"type": "accept"}`` …).
            comment: grounds, which the lesson is made of.
            solution: a right one, kept as ``teach`` does.
            step: number of the wrong step.
            by: who says it.
            configurable: as in ``resume``.

        Raises:
            InputError: there is no such run, it is someone else's or under way, the verdict cannot be read,
                or the solution is none or is wrong; nothing changes then.
        """
        said = LaterVerdict(verdict=verdict, comment=comment, solution=solution, step=step, by=by)
        yield from self._invoke(*(yield from self._judging(thread_id, said, configurable)))
        return (yield from self._result(thread_id))

    def _judging(
        self, thread_id: str, said: LaterVerdict, configurable: dict[str, Any] | None
    ) -> Flow[tuple[Any, RunnableConfig]]:
        """What the graph takes to judge a run; one that was judged so has nothing left to do."""
        from vitarmm_agent.nodes.judge import verdict_inputs

        config = self._config(thread_id, configurable)
        snapshot = yield from self._begun(config)
        if not snapshot.interrupts:
            config["metadata"] |= kept_settings(snapshot.metadata)
        return (yield from verdict_inputs(snapshot, thread_id, said.reply())), config

    def _teach(
        self,
        run_or_problem: str | Problem | dict[str, Any],
        solution: str,
        *,
        by: str = "a person",
        configurable: dict[str, Any] | None = None,
    ) -> Flow[Taught]:
        """Keep a right solution as a worked example; problems of its kind are shown it from now on.

        Args:
            run_or_problem: thread id of a run, whose problem it solves, or a problem.
            solution: steps, a line each, and a last line ``Answer: …``.
            by: who says that it is right.
            configurable: as in ``solve``; it says whose memory is written to.

        Raises:
            InputError: there is no such run or no memory, the solution has no steps or no answer, or
                an equation in it is wrong; nothing is kept then.
        """
        from vitarmm_agent.nodes.teach import teach_by_hand

        if self.memory is None:
            raise InputError("memory is off, so there is nowhere to keep a solution; open one")
        namespace = fill_namespace(self.memory.namespace, configurable or {})
        thread, problem = "", run_or_problem
        if isinstance(problem, str):
            thread = problem
            snapshot = yield from self._state(self._config(thread))
            check_owner(snapshot.values.get("namespace", namespace), namespace)
            problem = (yield from self._result(thread)).problem
        memory = self.memory.with_namespace(namespace)
        return (yield from teach_by_hand(memory, problem, solution, by=by, run=thread))

    def _begun(self, config: RunnableConfig) -> Flow[StateSnapshot]:
        """A run of the caller's."""
        snapshot = yield from self._state(config)
        if not snapshot.values and not snapshot.tasks:
            raise no_run(config["configurable"]["thread_id"])
        if self.memory is not None:  # before anything is written on the thread
            own = fill_namespace(self.memory.namespace, config["configurable"])
            check_owner(snapshot.values.get("namespace", own), own)
        return snapshot

    def _result(self, thread_id: str) -> Flow[Result]:
        """What a run has come to so far, from its checkpoints.

        Raises:
            InputError: there is no such run.
        """
        snapshot = yield from self._state(self._config(thread_id))
        if not snapshot.values.get("problem"):
            raise no_run(thread_id)
        return read_result(snapshot, thread_id)

    def _prepare(
        self, problem: Asked, thread_id: str | None, configurable: dict[str, Any] | None
    ) -> Flow[tuple[Any, RunnableConfig]]:
        from langgraph.types import Command

        if problem is None or isinstance(problem, Command | LaterVerdict):
            if thread_id is None:
                raise InputError("name the run to go on with: thread_id=…")
            if isinstance(problem, LaterVerdict):
                return (yield from self._judging(thread_id, problem, configurable))
            return (yield from self._going_on(thread_id, problem and problem.resume, configurable))
        parsed = Problem.parse(problem)
        if parsed.images:
            parsed = yield from in_thread(store_images, parsed, self._media)
        config = self._config(thread_id or new_thread(), configurable)
        return ReasoningInput(problem=parsed.model_dump(mode="json")), config

    def _config(self, thread_id: str, configurable: dict[str, Any] | None = None) -> RunnableConfig:
        self.check_open()
        steps = (self.settings.max_iterations + 1) * STEPS_PER_ITERATION
        if not isinstance(configurable, dict | None):
            raise InputError(f"configurable must be a mapping, got {configurable!r:.100}")
        given = {**(configurable or {}), "thread_id": thread_id}
        metadata = recorded(self.settings)
        return {"configurable": given, "metadata": metadata, "recursion_limit": steps}

    def _invoke(self, inputs: Any, config: RunnableConfig) -> Call[Any]:
        return calls(self.graph.invoke, self.graph.ainvoke, inputs, config, durability="sync")

    def _state(self, config: RunnableConfig) -> Call[StateSnapshot]:
        return calls(self.graph.get_state, self.graph.aget_state, config)

    solve, asolve = twins(_solve)
    result, aresult = twins(_result)
    resume, aresume = twins(_resume)
    judge, ajudge = twins(_judge)
    teach, ateach = twins(_teach)


def new_thread() -> str:
    """A new thread id: sortable by time, short enough to type."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"

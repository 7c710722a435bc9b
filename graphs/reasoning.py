"""The state machine.

START → recall → reason → feedback → remember ─┬─ the stop rule says stop → END
  │       ▲                                    ├─ it ends unsolved, with a teacher → teach → END
  │       └────────────────────────────────────┴─ it says retry → recall
  └─ the run is over, and a person gives a verdict on it → judge → END
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import get_runtime

from vitarmm_agent.deps import Deps, Limits
from vitarmm_agent.effects import Flow, arun, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.choices import Choices, Roles
from vitarmm_agent.graphs.make_deps import make_deps
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.feedback import feedback
from vitarmm_agent.nodes.judge import judge
from vitarmm_agent.nodes.reason import reason
from vitarmm_agent.nodes.recall import begins, recall
from vitarmm_agent.nodes.remember import remember
from vitarmm_agent.nodes.teach import teach, wants_teacher
from vitarmm_agent.settings import Settings
from vitarmm_agent.state import (
    Entrance,
    ReasoningInput,
    ReasoningOutput,
    ReasoningState,
    Route,
    RunContext,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore

    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.rmm.writer import MemoryWriter
    from vitarmm_agent.verifiers.policy import Verifiers

    ReasoningGraph = CompiledStateGraph[ReasoningState, RunContext, ReasoningInput, ReasoningOutput]

Node = Callable[[ReasoningState, Deps, Run], Flow[dict[str, Any]]]


def build_reasoning_graph(
    *,
    reasoner: str | BaseChatModel | None = None,
    verifiers: Verifiers | None = None,
    judge: str | BaseChatModel | None = None,
    rmm: str | BaseChatModel | MemoryWriter | None = None,
    memory: str | ReasoningMemory | None = None,
    teacher: str | BaseChatModel | Callable[[Problem], str | None] | None = None,
    checkpointer: BaseCheckpointSaver[str] | bool | None = None,
    store: BaseStore | None = None,
    limits: Limits | None = None,
    limits_are_most: bool = False,
    settings: Settings | None = None,
) -> ReasoningGraph:
    """Compile the graph.

    Args:
        reasoner: chat model, or its spec, that solves problems; default: ``settings.reasoner``.
        verifiers: names in order; a list of names, functions and verifiers; or a policy; default:
            ``settings.feedback``.
        judge: chat model, or its spec, that the verifier ``judge`` asks; default: ``settings.judge``,
            else the reasoner.
        rmm: chat model, its spec, or a memory writer; default: ``settings.rmm``, else
            the rule for a ``local:`` reasoner, else the reasoner.
        memory: a memory, its folder or URL, or ``"off"``; default: ``store`` when given, else
            ``settings.memory``.
        teacher: chat model, its spec, or a function from the problem to a solution, asked once where
            a run ends without a pass; default: ``settings.teacher``.
        checkpointer: as in LangGraph; ``None`` inherits a parent graph's, so that the graph can be
            a node. :class:`~vitarmm_agent.ReasoningAgent` brings SQLite checkpoints by default.
        store: a LangGraph store that holds the memory.
        limits: when a run stops at the latest; default: from ``settings``.
        limits_are_most: the context of a run may lower them and not raise them, as on a server, where
            it is a client's.
        settings: everything not given; default: :meth:`Settings.load`.

    Raises:
        UserError: a spec, name, folder or limit that cannot be used.
    """
    deps = make_deps(
        reasoner=reasoner,
        verifiers=verifiers,
        judge=judge,
        rmm=rmm,
        memory=memory,
        teacher=teacher,
        store=store,
        limits=limits,
        limits_are_most=limits_are_most,
        settings=settings,
    )
    roles = Roles(reasoner, verifiers, judge, rmm, teacher)
    choices = Choices(deps, settings or Settings.load(), roles)
    return compile_graph(deps, checkpointer=checkpointer, store=store, choices=choices)


def compile_graph(
    deps: Deps,
    *,
    checkpointer: BaseCheckpointSaver[str] | bool | None = None,
    store: BaseStore | None = None,
    choices: Choices | None = None,
) -> ReasoningGraph:
    """Wire the nodes; ``checkpointer`` and ``store`` are as in :func:`build_reasoning_graph`.

    ``choices`` make the deps of a run that chooses; without them it may choose nothing.
    """
    _refuse_wrong_kinds(checkpointer, store)
    choices = choices or Choices(deps)
    graph = StateGraph(
        ReasoningState,
        context_schema=RunContext,
        input_schema=ReasoningInput,
        output_schema=ReasoningOutput,
    )
    for node in (recall, reason, feedback, remember, teach, judge):
        graph.add_node(node.__name__, _Bound(node, choices))
    graph.add_conditional_edges(START, _Entrance(), ["recall", "judge"])
    graph.add_edge("recall", "reason")
    graph.add_edge("reason", "feedback")
    graph.add_edge("feedback", "remember")
    graph.add_conditional_edges("remember", _Router(choices), ["recall", "teach", END])
    graph.add_edge("teach", END)
    graph.add_edge("judge", END)
    return graph.compile(checkpointer=checkpointer, store=store, name="reasoning")


def _refuse_wrong_kinds(checkpointer: object, store: object) -> None:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.store.base import BaseStore

    if checkpointer is not None and not isinstance(checkpointer, (bool, BaseCheckpointSaver)):
        raise InputError(
            f"checkpointer must be a LangGraph BaseCheckpointSaver, got {checkpointer!r:.200}"
        )
    if store is not None and not isinstance(store, BaseStore):
        raise InputError(f"store must be a LangGraph BaseStore, got {store!r:.200}")


class _Bound(Runnable[ReasoningState, dict[str, Any]]):
    """A node with its deps as LangGraph runs it: one body, sync and async.

    LangGraph traces the node and sets its context itself; ``RunnableLambda`` would do both again,
    at a third of the graph's own cost.
    """

    def __init__(self, node: Node, choices: Choices) -> None:
        self.name = node.__name__
        self._node, self._choices = node, choices

    def invoke(
        self, input: ReasoningState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        this = _run_of(input, config or {})
        return run(self._node(input, self._choices.of(self._chosen(input, this)), this))

    async def ainvoke(
        self, input: ReasoningState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        this = _run_of(input, config or {})
        chosen = self._chosen(input, this)
        deps = self._choices.made(chosen)
        if deps is None:  # a model may have to be loaded
            deps = await asyncio.to_thread(self._choices.of, chosen)
        return await arun(self._node(input, deps, this))

    def _chosen(self, state: ReasoningState, this: Run) -> Any:
        """What this run chose when it began.

        Raises:
            InputError: it goes on with another context.
        """
        if self._node is recall and begins(state):
            return this.chosen
        begun = state.get("chosen", {})
        if this.chosen and this.chosen != begun:
            raise InputError(
                f"this run was begun with {begun!r:.200}, and goes on with {this.chosen!r:.200}; "
                "a run keeps what it was begun with: pass the same context, or none"
            )
        return begun


def after_remember(state: ReasoningState, deps: Deps) -> Route:
    """Another iteration only when the stop rule said so."""
    if state["decision"]["action"] == "retry":
        return "recall"
    return "teach" if wants_teacher(state, deps) else "__end__"


class _Router(Runnable[ReasoningState, Route]):
    """The router on the loop itself: LangGraph would call a plain function in a thread."""

    name = "after_remember"

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def invoke(
        self, input: ReasoningState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Route:
        return after_remember(input, self._choices.of(input.get("chosen", {})))

    async def ainvoke(
        self, input: ReasoningState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Route:
        return after_remember(input, self._choices.of(input.get("chosen", {})))


class _Entrance(Runnable[ReasoningState, Entrance]):
    """Where a run begins, and a verdict on one that is over."""

    name = "entrance"

    def invoke(
        self, input: ReasoningState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Entrance:
        return "recall" if input.get("verdict") is None else "judge"

    async def ainvoke(
        self, input: ReasoningState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Entrance:
        return self.invoke(input)


def _run_of(state: ReasoningState, config: RunnableConfig) -> Run:
    runtime = get_runtime(RunContext)
    context = runtime.context
    if isinstance(context, dict):
        context = RunContext(**context)
    if not isinstance(context, RunContext | None):
        raise InputError(f"context must be a mapping or a RunContext, got {context!r:.100}")
    configurable = config.get("configurable", {})
    return Run(
        name=state.get("run", ""),
        thread=place(configurable),
        overrides=context.given() if context else {},
        chosen=context.chosen() if context else {},
        configurable=configurable,
        store=runtime.store,
        emit=runtime.stream_writer,
        stream_tokens=bool(context and context.stream_tokens),
    )


def place(configurable: dict[str, Any]) -> str:
    """The thread, with the place of this graph in it: a parent may call it several times."""
    thread = str(configurable.get("thread_id", ""))
    place = str(configurable.get("checkpoint_ns", "")).rpartition("|")[0]
    return f"{thread}/{place}" if thread and place else thread

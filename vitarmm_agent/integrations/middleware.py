"""Memory and verifiers for ``langchain.agents.create_agent``, and for what is built on it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypeVar, Unpack, cast

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ModelRequest,
    ModelResponse,
    hook_config,
)
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, RemoveMessage
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from vitarmm_agent.effects import Flow, arun, run
from vitarmm_agent.graphs.make_deps import make_deps
from vitarmm_agent.graphs.reasoning import place
from vitarmm_agent.integrations.trajectory import (
    TrajectoryState,
    attempt_of,
    place_of,
    with_calls,
    with_memory,
)
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.feedback import feedback
from vitarmm_agent.nodes.recall import recall
from vitarmm_agent.nodes.remember import remember
from vitarmm_agent.nodes.teach import teach, wants_teacher
from vitarmm_agent.nodes.tenancy import namespace_of
from vitarmm_agent.options import OpenOptions, check_names, settings_with
from vitarmm_agent.settings import Settings
from vitarmm_agent.state import result_of, updated

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.store.base import BaseStore

    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.result import Result
    from vitarmm_agent.rmm.writer import MemoryWriter
    from vitarmm_agent.verifiers.policy import Verifiers

T = TypeVar("T")
logger = logging.getLogger(__name__)


class ReasoningMemoryState(AgentState[Any]):
    """The agent's state, with what this middleware knows."""

    reasoning: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]


class ReasoningMemoryMiddleware(AgentMiddleware[ReasoningMemoryState, Any, Any]):
    """Lets an agent learn: recalls before it, verifies after it, credits, writes, and asks again.

    The attempt that is judged is all that was said and done since the question. A fail with grounds
    goes back to the model, which no longer sees the failed answer, at most ``max_iterations`` times in
    all; the transcript keeps the answer that stands.
    """

    state_schema = ReasoningMemoryState

    def __init__(
        self,
        *,
        model: str | BaseChatModel | None = None,
        verifiers: Verifiers | None = None,
        judge: str | BaseChatModel | None = None,
        rmm: str | BaseChatModel | MemoryWriter | None = None,
        memory: str | Path | ReasoningMemory | None = None,
        teacher: str | BaseChatModel | Callable[[Problem], str | None] | None = None,
        store: BaseStore | None = None,
        strict: bool = False,
        settings: Settings | None = None,
        **options: Unpack[OpenOptions],
    ) -> None:
        """Open what is named.

        Args:
            model: chat model or spec that writes memory and judges, where no other is named;
                default: ``settings.reasoner``.
            verifiers: as in :meth:`~vitarmm_agent.ReasoningAgent.open`.
            judge: chat model or spec that the verifier ``judge`` asks.
            rmm: chat model, spec or memory writer that decides what to remember.
            memory: folder, URL, ``"off"``, or a memory; default: the agent's own store, where it has
                one (with an index over ``index_text``), else the memory of the settings.
            teacher: asked once for a right solution where a question ends without a pass.
            store: a LangGraph store to hold the memory.
            strict: raise what goes wrong with memory or a verifier. Without it that is logged, and
                the agent answers as it would without this middleware.
            settings: everything not given; default: :meth:`Settings.load`.
            options: any other field of :class:`Settings`, by name.

        Raises:
            UserError: a spec, folder, or value that cannot be used, or an option that is none.
        """
        super().__init__()
        check_names(options, signature(type(self)).parameters)
        self.strict = strict
        self.deps = make_deps(
            reasoner=model,
            verifiers=verifiers,
            judge=judge,
            rmm=rmm,
            memory=str(memory) if isinstance(memory, Path) else memory,
            teacher=teacher,
            store=store,
            limits=None,
            settings=settings_with(settings, options),
        )

    @staticmethod
    def result(state: Mapping[str, Any], thread_id: str = "") -> Result | None:
        """What the last question came to, of ``agent.get_state(config).values``; None: not known."""
        kept = _kept(state)
        return result_of(kept, thread_id or kept["run"]) if kept.get("attempts") else None

    def before_agent(
        self, state: ReasoningMemoryState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Recall what fits the last human message."""
        return run(self._begin(state, runtime))

    async def abefore_agent(
        self, state: ReasoningMemoryState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """As :meth:`before_agent`."""
        return await arun(self._begin(state, runtime))

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Show what was recalled."""
        return handler(run(self._shown(request)))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As :meth:`wrap_model_call`."""
        return await handler(await arun(self._shown(request)))

    @hook_config(can_jump_to=["model"])
    def after_agent(
        self, state: ReasoningMemoryState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Verify, credit and write; jump back to the model where there are grounds to."""
        return run(self._end(state, runtime))

    @hook_config(can_jump_to=["model"])
    async def aafter_agent(
        self, state: ReasoningMemoryState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """As :meth:`after_agent`."""
        return await arun(self._end(state, runtime))

    def _begin(self, state: ReasoningMemoryState, runtime: Runtime[Any]) -> Flow[dict[str, Any]]:
        messages, turn = state["messages"], _kept(state).get("turn", 0)
        question = place_of(messages)
        asks = messages[question] if question >= 0 else None
        this = _run_of({}, runtime, asks)
        namespace_of(self.deps, this)  # a caller who does not say whose memory it is, is told
        asked: TrajectoryState = {"messages": messages, "turn": turn}
        found = yield from self._safely(recall(asked, self.deps, this), {"turn": turn + 1})
        ids = {"question": asks.id if asks else "", "after": _last(messages)}
        return {"reasoning": {**found, **ids}}

    def _shown(self, request: ModelRequest[Any]) -> Flow[ModelRequest[Any]]:
        def shown() -> Flow[ModelRequest[Any]]:
            yield from ()
            kept = _kept(request.state)
            if not kept.get("problem"):
                return request
            return request.override(messages=with_memory(kept, request.messages))

        return (yield from self._safely(shown(), request))

    def _end(
        self, state: ReasoningMemoryState, runtime: Runtime[Any]
    ) -> Flow[dict[str, Any] | None]:
        kept = _kept(state)
        if not kept.get("problem"):
            return None
        return (yield from self._safely(self._judged(kept, state, _run_of(kept, runtime)), None))

    def _judged(
        self, kept: TrajectoryState, state: ReasoningMemoryState, this: Run
    ) -> Flow[dict[str, Any] | None]:
        messages, deps = state["messages"], self.deps
        attempt = attempt_of(kept, messages, state.get("structured_response"))
        now = updated(kept, {"attempts": [attempt.model_dump(mode="json")]})
        now = updated(now, (yield from feedback(now, deps, this)))
        now = updated(now, {"attempts": [with_calls(attempt).model_dump(mode="json")]})
        done = yield from self._safely(remember(now, deps, this), {})
        now = updated(now, done)
        if now["decision"]["action"] == "retry":
            again = {"iteration": now["iteration"] + 1, "decision": {}}
            now = updated(now, (yield from self._safely(recall(now, deps, this), again)))
            gone = _without_last(messages)
            now["after"] = _last(messages[:-1] if gone else messages)
            return {"reasoning": now, "messages": gone, "jump_to": "model"}
        if wants_teacher(now, deps):
            now = updated(now, (yield from self._safely(teach(now, deps, this), {})))
        return {"reasoning": now, "messages": _standing(messages, done.get("messages", []))}

    def _safely(self, flow: Flow[T], otherwise: T) -> Flow[T]:
        """The flow's result; ``otherwise`` where it fails, unless that is to be raised."""
        try:
            return (yield from flow)
        except GraphBubbleUp:  # an interrupt
            raise
        except Exception as error:
            if self.strict:
                raise
            logger.warning("the agent goes on without its reasoning memory: %r", error)
            return otherwise


def _kept(state: Mapping[str, Any]) -> TrajectoryState:
    kept = state.get("reasoning")
    return cast("TrajectoryState", kept if isinstance(kept, dict) else {})


def _run_of(
    kept: Mapping[str, Any], runtime: Runtime[Any], question: AnyMessage | None = None
) -> Run:
    """The run that is under way, or that ``question`` begins.

    Its name is made of the thread and the question, so that a thread that is replayed is the same run,
    and one that forks with another question is another.
    """
    configurable = get_config().get("configurable", {})
    thread = place(configurable)
    if question is not None:
        asked = f"{question.id}\n{question.content!r}".encode("utf-8", "surrogatepass")
        thread = f"{thread or 'run'}~{sha256(asked).hexdigest()[:12]}"
    return Run(
        name=kept.get("run", ""),
        thread=thread,
        configurable=configurable,
        store=runtime.store,
        emit=runtime.stream_writer,
        begun=0.0,
    )


def _last(messages: list[AnyMessage]) -> str:
    return (messages[-1].id or "") if messages else ""


def _without_last(messages: list[AnyMessage]) -> list[RemoveMessage]:
    """What takes the failed answer out of the transcript; calls of tools stay with their results."""
    last = messages[-1] if messages else None
    if isinstance(last, AIMessage) and not last.tool_calls and last.id:
        return [RemoveMessage(id=last.id)]
    return []


def _standing(messages: list[AnyMessage], answer: list[AIMessage]) -> list[BaseMessage]:
    """What puts the answer that stands in the place of the last one, where it is another."""
    gone = _without_last(messages)
    if not gone or not answer or answer[0].text == messages[-1].text:
        return []
    return [*gone, *answer]

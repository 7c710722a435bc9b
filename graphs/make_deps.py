"""From specs and settings to the live objects of a graph."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from langgraph.store.base import BaseStore

from vitarmm_agent.deps import Deps, Limits
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.recorded import model_name
from vitarmm_agent.nodes.tenancy import has_variables
from vitarmm_agent.open_media import open_media
from vitarmm_agent.rmm.load import default_writer, load_writer
from vitarmm_agent.rmm.worked import Teacher
from vitarmm_agent.rmm.writer import MemoryWriter
from vitarmm_agent.settings import Settings
from vitarmm_agent.verifiers.policy import FeedbackPolicy, Verifiers, build_policy
from vitarmm_agent.verifiers.solution import objection_to_example

if TYPE_CHECKING:
    from vitarmm_agent.problem import Problem


def make_deps(
    *,
    reasoner: str | BaseChatModel | None,
    verifiers: Verifiers | None,
    judge: str | BaseChatModel | None = None,
    rmm: str | BaseChatModel | MemoryWriter | None,
    memory: str | ReasoningMemory | None,
    teacher: str | BaseChatModel | Callable[[Problem], str | None] | None = None,
    store: BaseStore | None,
    limits: Limits | None,
    settings: Settings | None,
    limits_are_most: bool = False,
) -> Deps:
    """Load what is named, take what is given."""
    settings = settings or Settings.load()
    solver = _model("reasoner", reasoner, settings.reasoner, settings)
    media = open_media(settings, local_files=settings.local_files)
    opened = _memory(memory, store, settings)
    if opened is not None and opened.objection is None:
        opened.objection = objection_to_example
    opener = None if opened or _is_named(memory, store, settings) else _opener(settings)
    return Deps(
        reasoner=solver,
        policy=policy_of(verifiers, judge, solver, media, settings),
        writer=writer_of(rmm, solver, settings, reasoner) if opened or opener else None,
        memory=opened,
        media=media,
        trusted_precision=settings.trusted_precision,
        limits=limits or limits_of(settings),
        limits_are_most=limits_are_most,
        retry_temperature=settings.retry_temperature,
        namespace=opened.namespace if opened else settings.namespace,
        default_memory=opener,
        teacher=teacher_of(teacher, settings) if opened or opener else None,
    )


def limits_of(settings: Settings) -> Limits:
    """The limits that settings name."""
    return Limits(
        max_iterations=settings.max_iterations,
        max_seconds=settings.max_seconds,
        max_tokens=settings.max_run_tokens,
    )


def _model(
    role: str, given: str | BaseChatModel | None, default: str, settings: Settings
) -> BaseChatModel:
    if given is None or isinstance(given, str):
        return load_chat_model(given or default, settings=settings)
    if not isinstance(given, Runnable):
        hint = "is a class; give an instance of it" if isinstance(given, type) else ""
        raise InputError(
            f"{role} {given!r:.100} {hint}" if hint
            else f"{role} must be a chat model or its spec, got {given!r:.100}"
        )  # fmt: skip
    return given


def policy_of(
    verifiers: Verifiers | None,
    judge: str | BaseChatModel | None,
    solver: BaseChatModel,
    media: MediaStore,
    settings: Settings,
) -> FeedbackPolicy:
    """The policy of what was given, else of the settings."""
    if isinstance(verifiers, FeedbackPolicy):
        return verifiers
    named = judge or settings.judge
    judging = _model("judge", named, "", settings) if named else solver
    return build_policy(
        settings.feedback if verifiers is None else verifiers,
        judge=judging,
        oracle=settings.oracle,
        reasoner=solver,
        media=media if getattr(judging, "sees_images", True) else None,
        precision=settings.judge_precision,
    )


def writer_of(
    rmm: str | BaseChatModel | MemoryWriter | None,
    solver: BaseChatModel,
    settings: Settings,
    reasoner: str | BaseChatModel | None = None,
) -> MemoryWriter:
    """The memory writer that was given, else that of the settings, else the default.

    Args:
        rmm: what was given.
        solver: the reasoner, which writes where it is not ``local:``.
        settings: name the writer and the reasoner where neither was given.
        reasoner: as it was given.
    """
    if isinstance(rmm, MemoryWriter):
        return rmm
    given = rmm or settings.rmm or default_writer(reasoner or settings.reasoner)
    if isinstance(given, str):
        return load_writer(given, settings)
    model = solver if given is None else _model("rmm", given, "", settings)
    return MemoryWriter(model, think=settings.rmm_think)


def teacher_of(
    given: str | BaseChatModel | Callable[[Problem], str | None] | None, settings: Settings
) -> Teacher | None:
    """The teacher that was given, else that of the settings, if any."""
    source = given or settings.teacher
    if source is None:
        return None
    if isinstance(source, str):
        source = load_chat_model(source, settings=settings)
    if isinstance(source, Runnable):
        return Teacher(source, model_name(source), settings.teacher_calls)
    if not callable(source) or isinstance(source, type):
        raise InputError(
            "teacher must be a chat model, its spec, or a function from a problem to the text of a "
            f"solution, got {source!r:.100}"
        )
    name = getattr(source, "__name__", type(source).__name__)
    return Teacher(source, name, settings.teacher_calls)


def _memory(
    memory: str | ReasoningMemory | None, store: BaseStore | None, settings: Settings
) -> ReasoningMemory | None:
    if memory is not None and not isinstance(memory, str | ReasoningMemory):
        raise InputError(
            f"memory must be a folder, a URL, 'off' or a ReasoningMemory, got {memory!r:.100}"
        )
    if isinstance(memory, ReasoningMemory):
        return _of_these_users(memory, settings.namespace)
    if store is not None and not isinstance(store, BaseStore):
        raise InputError(f"store must be a LangGraph BaseStore, got {store!r:.100}")
    if memory is None and store is not None:
        return ReasoningMemory(store, namespace=settings.namespace)
    if not _is_named(memory, store, settings):
        return None
    return named_memory(memory, settings) if memory else open_memory(settings)


def named_memory(location: str, settings: Settings) -> ReasoningMemory | None:
    """The memory in another folder or server than the settings'; None when it is ``off``."""
    return open_memory(settings.model_copy(update={"memory": location}))


def _of_these_users(memory: ReasoningMemory, namespace: tuple[str, ...]) -> ReasoningMemory:
    """``memory``, unless the settings keep users apart that it would not."""
    if memory.namespace != namespace and has_variables(namespace):
        raise InputError(
            f"the settings name namespace {namespace!r}, but the memory that was given is of "
            f"{memory.namespace!r}; give memory.with_namespace({namespace!r}), or set namespace to the "
            "memory's"
        )
    return memory


def _is_named(
    memory: str | ReasoningMemory | None, store: BaseStore | None, settings: Settings
) -> bool:
    return memory is not None or store is not None or settings.memory is not None


def _opener(settings: Settings) -> Callable[[], ReasoningMemory | None]:
    """Opens the memory of the settings once, whichever thread asks first."""
    lock, opened = Lock(), list[ReasoningMemory | None]()

    def open_once() -> ReasoningMemory | None:
        with lock:
            if not opened:
                opened.append(open_memory(settings))
        return opened[0]

    return open_once

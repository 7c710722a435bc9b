"""What an agent opens for itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitarmm_agent.graphs.choices import Choices, Roles
from vitarmm_agent.graphs.make_deps import make_deps
from vitarmm_agent.graphs.open_checkpoints import open_traces
from vitarmm_agent.graphs.reasoning import compile_graph
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.options import settings_with
from vitarmm_agent.settings import Settings

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.store.base import BaseStore

    from vitarmm_agent.graphs.reasoning import ReasoningGraph


@dataclass(frozen=True)
class Opened:
    """A compiled graph with what it works with; ``closing`` releases what was opened for it alone."""

    graph: ReasoningGraph
    settings: Settings
    memory: ReasoningMemory | None
    closing: ExitStack


def open_graph(
    *,
    memory: str | Path | ReasoningMemory | None,
    checkpointer: BaseCheckpointSaver[str] | None,
    store: BaseStore | None,
    settings: Settings | None,
    options: Mapping[str, Any],
    **who: Any,
) -> Opened:
    """Open what is named, and compile the graph.

    Args:
        memory: folder, URL, ``"off"``, or a memory.
        checkpointer: default: the settings' database, or SQLite under ``settings.data_dir``.
        store: holds the memory, if that is not named.
        settings: what ``options`` does not give.
        options: fields of :class:`Settings` by name.
        who: who solves, judges, remembers and teaches, as :func:`make_deps` takes them.

    Raises:
        UserError: a spec, folder, or value that cannot be used.
    """
    settings = settings_with(settings, options)
    if memory is None and store is None:
        memory = settings.memory_location
    elif isinstance(memory, ReasoningMemory) and options.get("namespace"):
        memory = memory.with_namespace(settings.namespace)
    own = isinstance(memory, str | Path)
    named = str(memory) if isinstance(memory, Path) else memory
    deps = make_deps(memory=named, store=store, limits=None, settings=settings, **who)
    closing = ExitStack()
    if deps.memory is not None and own:
        closing.callback(deps.memory.close)
    if checkpointer is None:
        checkpoints = open_traces(settings)
        closing.callback(checkpoints.close)
        checkpointer = checkpoints
    choices = Choices(deps, settings, Roles(**who))
    graph = compile_graph(deps, checkpointer=checkpointer, store=store, choices=choices)
    return Opened(graph, settings, deps.memory, closing)

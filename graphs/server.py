"""The graph as a LangGraph server runs it: what ``langgraph.json`` names.

Everything comes from :class:`~vitarmm_agent.settings.Settings` (environment ``VITARMM_*`` or
``vitarmm.toml``). The models and the memory are opened once, when the first request needs them; the
server brings its own store, and the checkpoints are ours, so that ``vitarmm trace`` reads the
server's runs too.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from vitarmm_agent.private import write_privately

if TYPE_CHECKING:
    from vitarmm_agent.graphs.any_checkpoints import Checkpoints
    from vitarmm_agent.graphs.reasoning import ReasoningGraph
    from vitarmm_agent.traces.upkeep import Upkeep

_opening = threading.Lock()


async def make_graph() -> ReasoningGraph:
    """The reasoning graph of this process's settings.

    Raises:
        UserError: a setting, model or folder that cannot be used.
    """
    return await asyncio.to_thread(_graph)


@asynccontextmanager
async def open_server_checkpoints() -> AsyncIterator[Checkpoints]:
    """The checkpoints of the settings: a killed server finds its threads again.

    The server opens them before it serves. What it writes itself, such as the list of its threads, is
    then for this user alone, too.
    """
    write_privately()
    checkpoints, upkeep = await asyncio.to_thread(_checkpoints)
    try:
        yield checkpoints
    finally:
        await asyncio.to_thread(upkeep.stop)
        await asyncio.to_thread(checkpoints.close)


def _graph() -> ReasoningGraph:
    with _opening:
        return _graph_once()


@cache
def _graph_once() -> ReasoningGraph:
    from vitarmm_agent.graphs.reasoning import build_reasoning_graph
    from vitarmm_agent.redaction import redact_logs
    from vitarmm_agent.settings import Settings

    redact_logs()
    settings = Settings.load()
    graph = build_reasoning_graph(
        settings=settings, memory=settings.memory_location, limits_are_most=True
    )
    gc.collect()
    gc.freeze()  # a collection of all that was imported would stop the event loop for 100 ms
    return graph


def _checkpoints() -> tuple[Checkpoints, Upkeep]:
    from vitarmm_agent.graphs.open_checkpoints import open_traces
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces.upkeep import Upkeep

    settings = Settings.load()
    checkpoints = open_traces(settings)
    upkeep = Upkeep(settings, checkpoints)
    upkeep.start()
    return checkpoints, upkeep

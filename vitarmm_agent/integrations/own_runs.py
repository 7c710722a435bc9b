"""The runs of one caller, among those that a server keeps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.store.records import namespace_text
from vitarmm_agent.nodes.tenancy import own_namespace
from vitarmm_agent.traces import RunFilter, RunSummary, Trace, list_runs, read_trace

if TYPE_CHECKING:
    from vitarmm_agent.agent import ReasoningAgent


class OwnRuns:
    """The runs that were begun for a caller; of others it says that there are none."""

    def __init__(self, agent: ReasoningAgent, configurable: dict[str, Any]) -> None:
        """Show what is of the namespace that ``configurable`` fills."""
        self.configurable = configurable
        self._checkpoints: Any = agent.graph.checkpointer
        template = agent.memory.namespace if agent.memory else agent.settings.namespace
        self._namespace = tuple(own_namespace(template, configurable))

    async def newest(self) -> list[RunSummary]:
        """The newest first."""
        where = RunFilter(namespace=namespace_text(self._namespace))
        return await asyncio.to_thread(list_runs, self._checkpoints, where=where)

    async def trace(self, thread: str) -> Trace:
        """One run.

        Raises:
            InputError: there is none of this name here; the same whether it is missing or another's.
        """
        try:
            trace = await asyncio.to_thread(read_trace, self._checkpoints, thread)
        except InputError:
            trace = None
        if trace is None or trace.namespace != self._namespace:
            raise InputError(f"there is no run {thread!r}; vitarmm://runs lists those there are")
        return trace

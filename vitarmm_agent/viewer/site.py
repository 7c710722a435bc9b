"""What the pages work with: checkpoints, their index, images, memory, agents and live runs."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.open_checkpoints import open_traces
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.models.load import SCHEMES
from vitarmm_agent.open_media import open_media
from vitarmm_agent.run_settings import BegunWith, begun_with, in_words
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import RunIndex, Trace, read_trace
from vitarmm_agent.traces.upkeep import Upkeep
from vitarmm_agent.verifiers.solution import objection_to_example
from vitarmm_agent.viewer.evaluation_files import ReadEvaluations
from vitarmm_agent.viewer.live import LiveRuns
from vitarmm_agent.viewer.render import compile_templates
from vitarmm_agent.weights import CATALOG

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from vitarmm_agent.memory_store.memory import ReasoningMemory

AGENTS_KEPT = 3
ROLES = ("reasoner", "judge", "rmm")
READ_SECONDS = 0.1


class Site:
    """Everything that requests share; made on the event loop. Looking at runs loads no model."""

    def __init__(
        self,
        settings: Settings,
        *,
        checkpointer: BaseCheckpointSaver[str] | None = None,
        memory: ReasoningMemory | None = None,
        agent: ReasoningAgent | None = None,
    ) -> None:
        """Use what is given; open the rest from ``settings`` when first needed."""
        self.settings = settings
        own = checkpointer is None
        self.checkpointer = checkpointer or open_traces(settings)
        self.index = RunIndex(self.checkpointer, settings.index_path if own else None)
        self.media = open_media(settings)
        self.live = LiveRuns()
        self.evaluations = ReadEvaluations()
        self._memory = memory
        self._agent = agent
        self._agents: OrderedDict[str, ReasoningAgent] = OrderedDict()
        self._lock = threading.Lock()
        self._opening = asyncio.Lock()
        self._closing = threading.Event()
        self._upkeep = Upkeep(settings, self.checkpointer)
        self._upkeep.start()
        self._reading = asyncio.create_task(asyncio.to_thread(self._read_ahead))

    def _read_ahead(self) -> None:
        """Make templates and the index ready, a little at a time, so that the first visit is quick."""
        compile_templates()
        while not self._closing.is_set() and self.index.refresh(READ_SECONDS):
            self._closing.wait(READ_SECONDS)

    def memory(self) -> ReasoningMemory:
        """The memory that the settings name.

        Raises:
            InputError: it is off.
            MemoryStoreError: it cannot be opened.
        """
        with self._lock:
            if self._memory is None:
                self._memory = open_memory(self.settings)
        if self._memory is None:
            raise InputError("memory is off; set VITARMM_MEMORY to a folder to look at it")
        self._memory.objection = objection_to_example
        return self._memory

    async def agent(self, chosen: dict[str, Any] | None = None, **options: Any) -> ReasoningAgent:
        """An agent under the server's settings with some changed; the last few are kept open.

        Args:
            chosen: settings that are taken from the run to go on with.
            options: settings that a form changes.

        Raises:
            UserError: a model, verifier or value that cannot be used.
        """
        kept = {k: v for k, v in (chosen or {}).items() if k not in ("data_dir", "home")}
        options = {name: value for name, value in options.items() if value not in (None, "")}
        check_models(self.settings, options)
        if self._agent is not None and not options:
            return self._agent
        settings = self.check(kept | options)
        key = settings.model_dump_json()
        async with self._opening:
            if key not in self._agents:
                self._agents[key] = await asyncio.to_thread(self._open, settings)
                while len(self._agents) > AGENTS_KEPT:
                    self._agents.popitem(last=False)
            self._agents.move_to_end(key)
            return self._agents[key]

    def check(self, given: dict[str, Any]) -> Settings:
        """The server's settings with some changed.

        Raises:
            UserError: a model that may not be chosen, or a value that cannot be used.
        """
        check_models(self.settings, given)
        return Settings.load(**self.settings.model_dump(exclude_unset=True) | given)

    def _open(self, settings: Settings) -> ReasoningAgent:
        same = ("memory_location", "namespace", "embedder")
        shared = settings.memory_location != "off" and all(
            getattr(settings, name) == getattr(self.settings, name) for name in same
        )
        return ReasoningAgent.open(
            settings=settings,
            checkpointer=self.checkpointer,
            memory=self.memory() if shared else None,
        )

    async def begun(self, thread_id: str) -> BegunWith:
        """What a run says it was begun with.

        Raises:
            InputError: there is no such run, or what it says cannot be used.
        """
        return await asyncio.to_thread(begun_with, self.checkpointer, thread_id)

    async def others(self, thread_id: str) -> str:
        """Models, servers and memory that a run was begun with and this server has not, in words."""
        try:
            return in_words((await self.begun(thread_id)).differing(self.settings))
        except InputError:
            return "settings that cannot be used"

    async def trace(self, thread_id: str, turn: int | None = None) -> Trace:
        """One run, read in a worker thread.

        Raises:
            InputError: there is no such run.
        """
        return await asyncio.to_thread(read_trace, self.checkpointer, thread_id, turn=turn)

    async def close(self) -> None:
        """Stop what is under way and close the files."""
        self._closing.set()
        await self.live.stop()
        await self._reading
        await asyncio.to_thread(self._upkeep.stop)
        self.index.close()
        if self._memory is not None:
            self._memory.close()


def check_models(settings: Settings, chosen: dict[str, Any]) -> None:
    """Refuse a model that a visitor may not choose: a spec can name any file or server.

    Raises:
        InputError: it is neither of the settings, nor of the catalogue, nor of a hosted provider that
            the settings use.
    """
    own = {spec for role in ROLES if (spec := getattr(settings, role))}
    hosted = {spec.partition(":")[0] for spec in own} - SCHEMES.keys()
    for role in ROLES:
        spec = chosen.get(role, "")
        scheme, _, name = spec.partition(":")
        known = spec in own or (scheme == "local" and name in CATALOG) or scheme in hosted
        if spec and not known and not {spec, "*"} & {*settings.page_models}:
            raise InputError(
                f"{spec!r} cannot be chosen on this page; the operator can allow it: "
                f"VITARMM_PAGE_MODELS='[\"{spec}\"]'"
            )

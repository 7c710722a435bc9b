"""Many runs at once on one event loop: seconds, event-loop lag, memory.

Each run makes three calls (reason, judge, write) of a model that answers after one second. The
checkpoints are SQLite on disk, the memory Chroma on disk, one namespace per tenant. The baseline is
what no implementation can go below: the three seconds that the model takes.

Run: ``python -m vitarmm_agent.evals.speed.concurrency [RUNS]``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.errors import InternalError
from vitarmm_agent.evals.speed.measure import Row, print_table
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.models.streaming import StreamedChatModel
from vitarmm_agent.models.structured import json_schema_of, structured
from vitarmm_agent.result import Result

CALLS = 3
DELAY = 1.0
DIMS = 384
JUDGEMENT = {
    "steps": [{"step": 1, "check": "20 / 4 = 5", "verdict": "right"}],
    "verdict": "right",
}
LESSON = {
    "kind": "add",
    "title": "Area of a square plot",
    "applies_when": "the area of a square plot is asked, given its perimeter",
    "content": "Divide the perimeter by four and square the side.",
    "entry_type": "insight",
    "confidence": 0.8,
}
REPLIES = {
    "": "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25",
    "Judgement": json.dumps(JUDGEMENT),
    "MemoryOperations": json.dumps({"operations": [LESSON]}),
}
"""What the model says, by the title of the schema it is asked to keep."""


class SlowModel(StreamedChatModel):
    """Answers each role after ``delay`` seconds; how many callers wait is of no matter to it."""

    delay: float = DELAY

    @property
    def _llm_type(self) -> str:
        return "slow"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        raise InternalError("this benchmark is asynchronous")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if any(isinstance(message, AIMessage) for message in messages):
            raise InternalError(f"a reply was refused, so a run makes more than {CALLS} calls")
        await asyncio.sleep(self.delay)
        reply = REPLIES[kwargs.get("schema_title", "")]
        yield ChatGenerationChunk(message=AIMessageChunk(content=reply, chunk_position="last"))

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Answer by the schema's title."""
        bound = self.bind(schema_title=json_schema_of(schema)["title"])
        return structured(bound, schema, include_raw=include_raw)


@dataclass(frozen=True)
class Measured:
    """What many runs at once took.

    Attributes:
        seconds: wall time of all of them.
        lag: longest time, in seconds, for which the event loop served nobody else.
        busy: the same in CPU time of the loop's thread, which other processes do not lengthen.
        cpu: CPU time of the whole process.
        megabytes: peak resident memory of the process.
        results: one per run.
    """

    seconds: float
    lag: float
    busy: float
    cpu: float
    megabytes: float
    results: list[Result]


class LagMeter:
    """Measures for how long the event loop is busy: it asks to be woken, and sees when it is."""

    def __init__(self, interval: float = 0.005) -> None:
        """Look every ``interval`` seconds."""
        self.interval = interval
        self.longest = self.busiest = 0.0

    async def __aenter__(self) -> LagMeter:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            asked, spent = time.perf_counter(), time.thread_time()
            await asyncio.sleep(self.interval)
            late = time.perf_counter() - asked - self.interval
            self.longest = max(self.longest, late)
            self.busiest = max(self.busiest, time.thread_time() - spent)


async def solve_many(agent: ReasoningAgent, runs: int) -> Measured:
    """Start ``runs`` runs at once, one tenant each, and wait for all."""
    problems = [f"Plot {n}: a square has a perimeter of 20 m. Its area?" for n in range(runs)]
    async with LagMeter() as meter:
        start, spent = time.perf_counter(), time.process_time()
        results = await asyncio.gather(
            *(
                agent.asolve(text, configurable={"user_id": f"u{n}"})
                for n, text in enumerate(problems)
            )
        )
        seconds, cpu = time.perf_counter() - start, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(seconds, meter.longest, meter.busiest, cpu, peak, results)


def open_slow_agent(folder: Path) -> ReasoningAgent:
    """An agent on disk whose three models take a second each."""
    index: Any = {
        "embed": DeterministicFakeEmbedding(size=DIMS),
        "dims": DIMS,
        "fields": ["index_text"],
    }
    store = ChromaStore(path=folder / "memory", index=index)
    memory = ReasoningMemory(
        store, ("bench", "{user_id}"), journal=Journal(folder / "memory" / "journal.sqlite")
    )
    return ReasoningAgent.open(
        reasoner=SlowModel(),
        feedback="judge",
        judge_pass_precision=1.0,
        memory=memory,
        data_dir=folder,
        max_iterations=1,
    )


def settle() -> None:
    """What a server does once it is up: a full collection of all that was imported takes 100 ms."""
    gc.collect()
    gc.freeze()


def main(runs: int = 200) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        agent = open_slow_agent(Path(folder))
        asyncio.run(solve_many(agent, 2))
        settle()
        measured = asyncio.run(solve_many(agent, runs))
    passed = sum(
        result.passed and bool(result.written[0]["operations"]) for result in measured.results
    )
    row = Row(
        f"{runs} runs at once", measured.seconds, CALLS * DELAY, "s", "the model alone", "< 4 s"
    )
    print_table("Concurrency", [row])
    print(
        f"passed and remembered {passed} of {runs}, longest event-loop lag "
        f"{measured.lag * 1000:.0f} ms ({measured.busy * 1000:.0f} ms of CPU), "
        f"{measured.cpu / runs * 1000:.1f} ms of CPU per run, "
        f"peak memory {measured.megabytes:.0f} MB"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

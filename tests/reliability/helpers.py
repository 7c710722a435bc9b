"""An agent that needs no model, and processes that may hang or die."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from tests.conftest import ROOT
from tests.memory_store.conftest import index_config
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.effects import Flow
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.agreement import check_last
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.models.scripted import ScriptedChatModel, ScriptedReply
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.wilson import wilson_bounds

NAMESPACE = ("team", "agent")
RIGHT = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
WRONG = "1. The side is 20 / 4 = 6 cm.\n2. The area is 6 * 6 = 36.\nAnswer: 36"


class Instant(ScriptedChatModel):
    """Says the same to the same prompt, so that it can be asked again after a kill."""

    def _next(self, messages: list[BaseMessage], options: dict[str, Any]) -> ScriptedReply:
        prompt = "\n".join(message.text for message in messages)
        found = re.search(r"case-(w[a-z]+)", prompt)
        word = found[1] if found else "none"
        if not options.get("json_schema"):
            return ScriptedReply(content=RIGHT if "Look again" in prompt else WRONG)
        own = word + ("l" if "25" in prompt.split("case-")[-1] else "e")
        lesson = {
            "kind": "add", "entry_type": "insight", "title": f"{own}t {own}s", "confidence": 0.8,
            "applies_when": f"{own}p {own}q square perimeter wanted",
            "content": f"{own}a {own}b {own}c {own}d {own}f {own}g.",
        }  # fmt: skip
        if "related_to" in json.dumps(options["json_schema"]):
            lesson |= {"target": None, "related_to": []}
        return ScriptedReply(content=json.dumps({"operations": [lesson]}))


class ByNumber:
    """A verifier that knows the answer."""

    name = "bynumber"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        yield from ()
        verdict = "pass" if attempt.answer == "25" else "fail"
        return Feedback(verdict=verdict, source=self.name, message="Look again.")  # type: ignore[arg-type]


def word(number: int) -> str:
    """A word of letters only, another one for each number."""
    text, number = "", number + 26**3
    while number:
        text, number = chr(97 + number % 26) + text, number // 26
    return "w" + text


def question(number: int) -> str:
    """A problem; those of two numbers are alike in all but a word."""
    return f"case-{word(number)} A square has a perimeter of 20 cm. Its area is wanted."


def open_memory(folder: Path, *, batch: int = 12) -> ReasoningMemory:
    """A memory of words in ``folder``."""
    store = ChromaStore(folder, index=index_config(["index_text"]), index_batch=batch)
    journal = Journal(folder / "journal.sqlite")
    memory = ReasoningMemory(store, NAMESPACE, journal=journal, config=RecallConfig(floor=0.3))
    check_last(memory)  # as `open_memory` does
    return memory


def open_agent(folder: Path, *, attempts: int = 2) -> ReasoningAgent:
    """An agent whose traces, images and memory lie in ``folder``."""
    model = Instant(replies=[])
    return ReasoningAgent.open(
        reasoner=model, feedback=[ByNumber()], rmm=model, memory=open_memory(folder / "memory"),
        max_iterations=attempts, data_dir=folder,
    )  # fmt: skip


def close(agent: ReasoningAgent) -> None:
    """Close the files of an agent."""
    if agent.memory is not None:
        agent.memory.close()
    agent.graph.checkpointer.close()  # type: ignore[union-attr]


def run_script(name: str, *arguments: object) -> str:
    """What a script of this folder prints in a process of its own.

    It forks, which is safe only where no test has opened anything before.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", f"tests.reliability.{name}", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


class Ended(NamedTuple):
    """How a child ended: ``done`` with what it gave back, ``raised``, ``killed`` or ``hung``."""

    how: str
    what: Any = None


def in_child(work: Callable[[], Any], *, seconds: float = 120, kill_after: float = 0) -> Ended:
    """Call ``work`` in a forked process; what it gives back must be JSON.

    The parent may have libraries imported, but nothing opened: no thread outlives a fork.
    """
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "answer"
        child = os.fork()
        if child == 0:
            try:
                answer.write_text(json.dumps(["done", work()]))
            except BaseException as error:
                answer.write_text(json.dumps(["raised", f"{type(error).__name__}: {error}"]))
            finally:
                os._exit(0)
        begun, killed, status = time.monotonic(), False, 0
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            passed = time.monotonic() - begun
            if ended:
                break
            if passed > seconds:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return Ended("hung")
            if kill_after and not killed and passed > kill_after:
                os.kill(child, signal.SIGKILL)
                killed = True
            time.sleep(0.002)
        if os.waitstatus_to_exitcode(status) < 0:
            return Ended("killed" if killed else "died", os.waitstatus_to_exitcode(status))
        return Ended(*json.loads(answer.read_text()))


def warm() -> None:
    """Import, in this process, what each child would import anew."""
    import chromadb  # noqa: F401
    import filelock  # noqa: F401

    import vitarmm_agent.graphs.make_deps
    import vitarmm_agent.graphs.reasoning
    import vitarmm_agent.memory_store.store.chroma_index  # noqa: F401

    logging.disable(logging.CRITICAL)


def wilson(hits: int, of: int) -> str:
    """A share with its interval of 95 %."""
    low, high = wilson_bounds(hits, of, 1.96)
    return f"{hits} of {of} ({low:.1%} to {high:.1%})"

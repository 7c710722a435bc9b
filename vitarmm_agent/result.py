"""What a run came to, with typed records of what was recalled and written."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.by_name import ByName
from vitarmm_agent.data import Data
from vitarmm_agent.memory_store.operations import Operation, Recall, Written
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.notebooks import result_html
from vitarmm_agent.problem import Attempt, Feedback, ModelCall, Problem, Status, Taught, Usage


class RecallRecord(Recall):
    """What one iteration recalled; what a memory of another kind says besides is kept.

    Attributes:
        number: of the iteration, from 1.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    number: int = 0
    query: str = ""


class WriteRecord(ByName, BaseModel):
    """What one iteration wrote to memory.

    Attributes:
        number: of the iteration, from 1.
        operations: what became of what was decided.
        failure: why the memory writer's answer could not be used, or None.
        note: why nothing was written.
        usage: tokens of the memory writer.
        seconds: wall time of its calls.
        situation: what it decided on; empty where it was not asked.
        decided: what it asked for.
        thought: what it wrote before that.
        related: entries that it was shown by number.
        raw: its answer as it came.
        calls: what it was asked, and what it said each time.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = 0
    operations: tuple[Written, ...] = ()
    failure: str | None = None
    note: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0
    situation: str = ""
    decided: tuple[Operation, ...] = ()
    thought: str = ""
    related: tuple[MemoryEntry, ...] = ()
    raw: str = ""
    calls: tuple[ModelCall, ...] = ()


CANCELLED = "it was cancelled"
"""Why a run died that somebody stopped."""


def left_as(status: str, why: str) -> str:
    """What to call a run that did not end: whether its process still lives is not in its trace."""
    if status == "running":
        return "unfinished"
    return "stopped" if status == "died" and why == CANCELLED else status


class Result(Data):
    """What a run came to.

    Attributes:
        answer: the answer that stands, or None.
        passed: the last verdict was a pass.
        status: how the run ended; ``interrupted`` waits for a person, ``died`` was stopped by an error:
            both can be resumed.
        stopped_because: the reason in words.
        attempts: all attempts in order.
        feedback: one per attempt.
        recalled: one per attempt: entries, scores, terms.
        written: one per attempt: memory operations carried out, or why there were none.
        taught: the teacher's solution of what was not solved, or None; it is no answer of the run's.
        judged: verdicts that were given when the run was over, with what came of them, as data.
        thread_id: LangGraph's id of the run; ``vitarmm trace show THREAD`` prints it.
    """

    problem: Problem
    answer: str | None
    passed: bool
    status: Status
    stopped_because: str = ""
    attempts: tuple[Attempt, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    recalled: tuple[RecallRecord, ...] = ()
    written: tuple[WriteRecord, ...] = ()
    taught: Taught | None = None
    judged: tuple[dict[str, Any], ...] = ()
    thread_id: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """The status in words: of a pass, whose word it is and how often such a word is right."""
        if self.status in ("running", "died"):
            return left_as(self.status, self.stopped_because)
        last = self.feedback[-1] if self.feedback else None
        if self.status != "passed" or last is None:
            return self.status
        often = "" if last.precision is None else f", right in {last.precision:.0%} of such passes"
        return f"passed by {last.source}{often}"

    def _repr_html_(self) -> str:
        """The run in short, for notebooks."""
        return result_html(self)

"""What a run came to, with typed records of what was recalled and written."""

from __future__ import annotations

import html

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.by_name import ByName
from vitarmm_agent.memory_store.operations import Operation, Recall, Written
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.problem import Attempt, Data, Feedback, Problem, Status, Taught, Usage


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


class Result(Data):
    """What a run came to.

    Attributes:
        answer: the answer that stands, or None.
        passed: the last verdict was a pass.
        status: how the run ended; ``interrupted`` waits for a person and can be resumed.
        stopped_because: the reason in words.
        attempts: all attempts in order.
        feedback: one per attempt.
        recalled: one per attempt: entries, scores, terms.
        written: one per attempt: memory operations carried out, or why there were none.
        taught: the teacher's solution of what was not solved, or None; it is no answer of the run's.
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
    thread_id: str = ""
    usage: Usage = Usage()
    seconds: float = 0.0

    def _repr_html_(self) -> str:
        """The run in short, for notebooks: answer, attempts, wrong steps. Escaped, no script."""
        rows = "".join(
            _attempt_html(attempt, self.feedback[i] if i < len(self.feedback) else None)
            for i, attempt in enumerate(self.attempts)
        )
        shown = sum(len(record.entries) for record in self.recalled)
        kept = sum(len(record.operations) for record in self.written)
        answer = "no answer" if self.answer is None else self.answer
        return (
            f"<div><p>{_html(self.problem.text)}</p>"
            f"<p><b>{_html(answer)}</b> ({_html(self.status)}: {_html(self.stopped_because)})</p>"
            f"<ol>{rows}</ol><p><small>{shown} entries shown, {kept} written, "
            f"{self.usage.total_tokens} tokens, {self.seconds:.1f} s, "
            f"run <code>{_html(self.thread_id)}</code></small></p></div>"
        )


def _attempt_html(attempt: Attempt, feedback: Feedback | None) -> str:
    errors = "".join(
        f"<li>{f'step {error.step}: ' if error.step else ''}{_html(error.message)}</li>"
        for error in (feedback.errors if feedback else ())
    )
    verdict = f"{feedback.verdict} ({feedback.source})" if feedback else "no verdict yet"
    wrong = f"<ul>{errors}</ul>" if errors else ""
    return (
        f"<li>{_html(attempt.answer or 'no answer')}: {_html(verdict)}{wrong}"
        f"<details><summary>steps</summary><pre>{_html(attempt.text)}</pre></details></li>"
    )


def _html(text: str) -> str:
    return html.escape(text, quote=True)

"""A run told in plain text, for a reader without a terminal: a chat, an MCP client."""

from __future__ import annotations

from collections.abc import Iterator

from vitarmm_agent.problem import Attempt, Feedback
from vitarmm_agent.result import RecallRecord, Result, WriteRecord


def explain(result: Result) -> str:
    """Why a run answered as it did: problem, each iteration, the answer that stands."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    yield f"Problem: {result.problem.text}"
    for index, attempt in enumerate(result.attempts):
        yield f"\nIteration {attempt.number}"
        yield from _recalled(result.recalled[index])
        yield from _attempt(attempt)
        if index < len(result.feedback):
            yield from _feedback(result.feedback[index])
        if index < len(result.written):
            yield from _written(result.written[index])
    answer = result.answer if result.answer is not None else "none"
    yield f"\nAnswer: {answer} ({result.status})"
    if result.stopped_because:
        yield f"Stopped because: {result.stopped_because}"
    tokens, calls = result.usage.total_tokens, result.usage.calls
    yield f"Cost: {tokens} tokens, {calls} model calls, {result.seconds:.1f} s"


def _recalled(record: RecallRecord) -> Iterator[str]:
    if not record.entries:
        yield f"Recalled nothing: {record.note or 'no entry fits'}"
    for recalled in record.entries:
        entry = recalled.entry
        yield (
            f"Recalled {entry.id} (similarity {recalled.similarity:.2f}): "
            f"[{entry.entry_type.upper()}] {entry.title}: {entry.content}"
        )


def _attempt(attempt: Attempt) -> Iterator[str]:
    yield f"Attempt by {attempt.model}:"
    yield from (f"  {line}" for line in attempt.text.splitlines())
    yield f"Answer of the attempt: {attempt.answer if attempt.answer is not None else 'none'}"


def _feedback(feedback: Feedback) -> Iterator[str]:
    for part in feedback.parts or (feedback,):
        yield f"{part.source} says {part.verdict}: {part.failure or part.message}".rstrip(": ")
        for error in part.errors:
            where = f"step {error.step}" if error.step else "the attempt"
            yield f"  {where}: {error.message}"


def _written(record: WriteRecord) -> Iterator[str]:
    if record.failure:
        yield f"The memory writer's answer could not be used: {record.failure}"
    elif not record.operations:
        yield f"Wrote nothing: {record.note}"
    for done in record.operations:
        entry = done.entry
        words = f"{entry.title}: {entry.content}" if entry else done.reason
        yield f"Memory {done.kind} {done.entry_id}: {words}"

"""What a run tells while it goes on: the events of LangGraph's stream mode ``custom``.

Each event is plain JSON-able data with its name under ``event`` and the LangGraph thread under
``run``. In one iteration they come in this order:

    recalled → attempt_token … → verdict → written → stopped_because (on the last iteration only)

The texts of an iteration's ``attempt_token`` events without ``thinking``, joined, are the attempt's text;
where a model was asked in the prompt to go on with an attempt, they are what it wrote, and where it thinks
aloud without an opening tag, its thinking comes with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import TypedDict

from vitarmm_agent.models.replies import ReplyStream
from vitarmm_agent.problem import Status, Taught, Verdict
from vitarmm_agent.state import ReasoningState

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.messages import BaseMessage

    from vitarmm_agent.models.calls import Reply


class RecalledEntry(TypedDict):
    """One recalled memory entry, in short."""

    id: str
    entry_type: str
    title: str
    content: str
    similarity: float | None


class RecalledEvent(TypedDict):
    """Memory was asked. ``note`` says why ``entries`` is empty, when it is."""

    event: Literal["recalled"]
    run: str
    iteration: int
    entries: list[RecalledEntry]
    note: str


class AttemptTokenEvent(TypedDict):
    """A piece of the attempt's text, as the model gives it.

    A model that does not stream gives the whole text as one piece. ``kept`` marks what stood there
    before: the attempt before, up to a value that was put right. ``thinking`` marks what is no part of
    the text.
    """

    event: Literal["attempt_token"]
    run: str
    iteration: int
    text: str
    kept: bool
    thinking: bool


class VerdictEvent(TypedDict):
    """The attempt was judged. ``errors`` are step errors as data."""

    event: Literal["verdict"]
    run: str
    iteration: int
    verdict: Verdict
    source: str
    message: str
    answer: str | None
    errors: list[dict[str, Any]]


class WrittenOperation(TypedDict):
    """One memory operation that was carried out, in short."""

    kind: str
    entry_id: str
    title: str
    content: str


class WrittenEvent(TypedDict):
    """Memory was written. ``failure`` says why the writer's answer could not be used."""

    event: Literal["written"]
    run: str
    iteration: int
    operations: list[WrittenOperation]
    failure: str | None
    note: str


class TaughtEvent(TypedDict):
    """A teacher was asked. ``note`` says why its solution was not kept, empty when it was."""

    event: Literal["taught"]
    run: str
    iteration: int
    by: str
    answer: str | None
    note: str


class StoppedBecauseEvent(TypedDict):
    """The run is at its end: the last event."""

    event: Literal["stopped_because"]
    run: str
    iteration: int
    status: Status
    answer: str | None
    reason: str


Event = (
    RecalledEvent
    | AttemptTokenEvent
    | VerdictEvent
    | WrittenEvent
    | StoppedBecauseEvent
    | TaughtEvent
)
"""Any of the events, told apart by ``event``."""

Emit = Callable[[Event], None]
"""Takes one event; in a graph, LangGraph's stream writer."""


def ignore(event: Event) -> None:
    """Emit to nobody."""


def recalled_event(run: str, record: dict[str, Any]) -> RecalledEvent:
    """Of one record of state's ``recalls``."""
    entries: list[RecalledEntry] = [
        {
            "id": recalled["entry"]["id"],
            "entry_type": recalled["entry"]["entry_type"],
            "title": recalled["entry"]["title"],
            "content": recalled["entry"]["content"],
            "similarity": recalled.get("similarity"),
        }
        for recalled in record["entries"]
    ]
    return {
        "event": "recalled",
        "run": run,
        "iteration": record["number"],
        "entries": entries,
        "note": record.get("note") or "",
    }


def verdict_event(run: str, record: dict[str, Any], answer: str | None) -> VerdictEvent:
    """Of one record of state's ``feedback`` and the answer it judges."""
    return {
        "event": "verdict",
        "run": run,
        "iteration": record["number"],
        "verdict": record["verdict"],
        "source": record["source"],
        "message": record["message"],
        "answer": answer,
        "errors": list(record["errors"]),
    }


def written_event(run: str, record: dict[str, Any]) -> WrittenEvent:
    """Of one record of state's ``written``."""
    operations: list[WrittenOperation] = [
        {
            "kind": done["kind"],
            "entry_id": done.get("entry_id") or "",
            "title": (done.get("entry") or {}).get("title", ""),
            "content": (done.get("entry") or {}).get("content", ""),
        }
        for done in record["operations"]
    ]
    return {
        "event": "written",
        "run": run,
        "iteration": record["number"],
        "operations": operations,
        "failure": record["failure"],
        "note": record["note"],
    }


def stopped_event(run: str, state: ReasoningState) -> StoppedBecauseEvent:
    """Of the state of a run that is at its end."""
    return {
        "event": "stopped_because",
        "run": run,
        "iteration": state["iteration"],
        "status": state["status"],
        "answer": state.get("answer"),
        "reason": state["stopped_because"],
    }


def taught_event(run: str, iteration: int, taught: Taught) -> TaughtEvent:
    """Of what a teacher said after the last iteration."""
    return {
        "event": "taught",
        "run": run,
        "iteration": iteration,
        "by": taught.by,
        "answer": taught.solution.answer if taught.solution else None,
        "note": taught.note,
    }


class TokenEmitter:
    """Emits each piece of one attempt's text, and the whole of it when the model did not stream."""

    def __init__(self, emit: Emit, run: str, iteration: int) -> None:
        """Emit for one iteration of one run."""
        self._emit, self._run, self._iteration = emit, run, iteration
        self._emitted = False
        self._stream = ReplyStream()

    def piece(self, text: str, *, kept: bool = False, thinking: bool = False) -> None:
        """Emit a piece, unless it is empty; ``kept`` is no piece of this reply."""
        if text:
            self._emitted |= not kept
            self._emit(
                {
                    "event": "attempt_token",
                    "run": self._run,
                    "iteration": self._iteration,
                    "text": text,
                    "kept": kept,
                    "thinking": thinking,
                }
            )

    def finish(self, reply: Reply) -> None:
        """Emit what was held back, or the whole reply if no piece of it was emitted."""
        for text, thinking in self._stream.end():
            self.piece(text, thinking=thinking)
        if not self._emitted:
            self.piece(reply.thought, thinking=True)
            self.piece(reply.said)

    def handler(self, *, force: bool) -> BaseCallbackHandler:
        """A callback handler that hears the model's tokens; ``force`` asks the model to stream."""
        from vitarmm_agent.models.streaming import token_handler

        return token_handler(self._heard, force=force)

    def _heard(self, chunk: BaseMessage) -> None:
        for text, thinking in self._stream.feed(chunk):
            self.piece(text, thinking=thinking)

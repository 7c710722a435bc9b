"""A trace, arranged for the page: iterations side by side, a waterfall, and when each part came."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vitarmm_agent.answers import grade_result, parse_steps
from vitarmm_agent.memory_store.buffer import CLOSING, OPENING
from vitarmm_agent.problem import Attempt, Feedback, ModelCall, StepError
from vitarmm_agent.result import RecallRecord, WriteRecord
from vitarmm_agent.traces import Moment, Stretch, Trace, word_diff
from vitarmm_agent.viewer.tiles import tiles_of
from vitarmm_agent.viewer.typed import Typed

_CALLS = TypeAdapter(tuple[ModelCall, ...])


@dataclass(frozen=True)
class ShownStep:
    """A step of an attempt with what the verifiers say is wrong with it.

    ``kept`` marks a step, or its beginning, that was kept of the attempt before; ``ticks`` are the
    opinions of judges, with their ``source``.
    """

    number: int
    text: str
    errors: tuple[StepError, ...]
    kept: bool = False
    ticks: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class PromptPart:
    """A stretch of the prompt: text, or an image by its hash; ``memory`` marks the recalled block."""

    role: str
    text: str = ""
    image: str = ""
    memory: bool = False


@dataclass(frozen=True)
class Iteration:
    """One round: what was recalled, the attempt, its feedback and what was written.

    Attributes:
        seen: for each of these parts, the index of the moment at which it was there first.
        changes: how the attempt's text differs from the one before.
    """

    number: int
    recall: RecallRecord | None
    attempt: Attempt | None
    feedback: Feedback | None
    written: WriteRecord | None
    steps: tuple[ShownStep, ...] = ()
    loose: tuple[StepError, ...] = ()
    changes: tuple[Stretch, ...] = ()
    prompt: tuple[PromptPart, ...] = ()
    seen: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """One row of the waterfall: seconds since the run began, and tokens."""

    node: str
    number: int
    start: float
    seconds: float
    tokens_in: int
    tokens_out: int
    index: int

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True)
class RunView:
    """All that the page of a run shows."""

    trace: Trace
    iterations: tuple[Iteration, ...]
    bars: tuple[Bar, ...]
    current: tuple[str, ...]
    seconds: float

    @property
    def most_tokens(self) -> int:
        """Of any row of the waterfall."""
        return max((bar.tokens for bar in self.bars), default=0)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run."""
        return not self.current and not self.trace.waiting_for


def view_of(trace: Trace) -> RunView:
    """Arrange a trace for the page."""
    result = trace.result
    count = max(len(result.attempts), len(result.recalled), 1 if trace.moments else 0)
    iterations = tuple(_iteration(trace, index) for index in range(count))
    bars = tuple(_bars(trace))
    current = trace.moments[-1].next if trace.moments else ()
    total = max((bar.start + bar.seconds for bar in bars), default=0.0)
    return RunView(trace, iterations, bars, current, total)


def run_context(trace: Trace, **more: Any) -> dict[str, Any]:
    """What the template of a run needs."""
    view = view_of(trace)
    return {
        "view": view,
        "trace": trace,
        "result": trace.result,
        "graded": grade_result(trace.result),
        "tiles": tiles_of(trace.result),
        "typed": Typed(),
        "moments": json.dumps([_told(m, i, trace) for i, m in enumerate(trace.moments)]),
        **more,
    }


def _told(moment: Moment, index: int, trace: Trace) -> dict[str, Any]:
    last = index == len(trace.moments) - 1
    words = [f"Checkpoint {index + 1} of {len(trace.moments)}:", f"after {moment.node}"]
    if attempts := moment.counts.get("attempts"):
        words.append(f"(attempt {attempts})")
    words.append(f"+{moment.seconds:.2f} s")
    node = "end" if last and not moment.next and not trace.waiting_for else moment.node
    return {
        "node": node,
        "label": " ".join(words),
        "id": moment.checkpoint_id,
        "fork": bool(moment.next),
    }


def _iteration(trace: Trace, index: int) -> Iteration:
    result, number = trace.result, index + 1
    attempt = result.attempts[index] if index < len(result.attempts) else None
    feedback = result.feedback[index] if index < len(result.feedback) else None
    before = result.attempts[index - 1] if attempt and index else None
    recall = result.recalled[index] if index < len(result.recalled) else None
    errors = feedback.errors if feedback else ()
    numbers = {step.number for step in attempt.steps} if attempt else set()
    return Iteration(
        number=number,
        recall=recall,
        attempt=attempt,
        feedback=feedback,
        written=result.written[index] if index < len(result.written) else None,
        steps=_steps(attempt, errors, feedback),
        loose=tuple(error for error in errors if error.step not in numbers),
        changes=tuple(word_diff(before.text, attempt.text)) if before and attempt else (),
        prompt=tuple(prompt_parts(attempt.prompt, examples=True)) if attempt else (),
        seen={
            kind: _first(trace.moments, kind, number)
            for kind in ("recalls", "attempts", "feedback", "written")
        },
    )


def _steps(
    attempt: Attempt | None, errors: tuple[StepError, ...], feedback: Feedback | None
) -> tuple[ShownStep, ...]:
    """Steps with their errors; the line that only repeats the final answer is left to it."""
    if attempt is None:
        return ()
    kept = len(parse_steps(attempt.kept_text))
    ticks = _ticks(feedback)
    shown = [
        ShownStep(
            s.number,
            s.text,
            tuple(e for e in errors if e.step == s.number),
            place < kept,
            tuple(tick for number, tick in ticks if number == s.number),
        )
        for place, s in enumerate(attempt.steps)
    ]
    last = shown[-1] if shown else None
    if last and attempt.answer and not last.errors and last.text.lower().startswith("answer:"):
        shown.pop()
    return tuple(shown)


def _ticks(feedback: Feedback | None) -> list[tuple[int, dict[str, str]]]:
    """What each judge thinks of each step, by its number."""
    parts = (feedback.parts or (feedback,)) if feedback else ()
    return [
        (tick.step, {"source": part.source, "verdict": tick.verdict, "check": tick.check})
        for part in parts
        for tick in part.ticks
    ]


def _first(moments: tuple[Moment, ...], kind: str, number: int) -> int:
    found = (i for i, moment in enumerate(moments) if moment.counts.get(kind, 0) >= number)
    return next(found, len(moments))


def model_calls(record: Mapping[str, Any]) -> tuple[ModelCall, ...]:
    """What the memory writer was asked, and said, on a later verdict; none where that cannot be read."""
    try:
        return _CALLS.validate_python(record.get("calls", ()))
    except ValidationError:
        return ()


def prompt_parts(prompt: Sequence[dict[str, Any]], *, examples: bool = False) -> list[PromptPart]:
    """A prompt in stretches, the recalled block marked.

    With ``examples``, as in the reasoner's, turns before the last question are worked examples out of
    memory, and marked too.
    """
    parts: list[PromptPart] = []
    asked = [n for n, message in enumerate(prompt) if message.get("role") == "user"]
    for number, message in enumerate(prompt):
        role, content = str(message.get("role", "")), message.get("content", "")
        pieces = content if isinstance(content, list) else [{"type": "text", "text": content}]
        for piece in pieces:
            if not isinstance(piece, dict):
                piece = {"text": piece}
            if piece.get("type") == "image":
                parts.append(PromptPart(role, image=str(piece.get("sha256", ""))))
                continue
            text = str(piece.get("text", ""))
            if examples and role != "system" and number < max(asked, default=0):
                parts.append(PromptPart(role, text=text, memory=True))
                continue
            before, found, after = _split(text)
            texts = ((before, False), (found, True), (after, False))
            parts += [PromptPart(role, text=t, memory=m) for t, m in texts if t.strip()]
    return parts


def _split(text: str) -> tuple[str, str, str]:
    """Before, within and after the memory block, which opens the part that memory is in."""
    opening, closing = OPENING.partition("\n")[0], CLOSING
    end = text.find(closing)
    if not text.startswith(opening) or end < 0:
        return text, "", ""
    return "", text[: end + len(closing)], text[end + len(closing) :]


def _bars(trace: Trace) -> list[Bar]:
    bars: list[Bar] = []
    elapsed = 0.0
    counted = {"recall": "recalls", "reason": "attempts", "feedback": "feedback",
               "remember": "written"}  # fmt: skip
    for index, moment in enumerate(trace.moments):
        start, elapsed = elapsed, elapsed + moment.seconds
        if moment.node in counted:
            number = moment.counts.get(counted[moment.node], 0)
            tokens = _tokens(trace, moment.node, number)
            bars.append(Bar(moment.node, number, start, moment.seconds, *tokens, index))
    return bars


def _tokens(trace: Trace, node: str, number: int) -> tuple[int, int]:
    result, at = trace.result, number - 1
    if node == "reason" and at < len(result.attempts):
        usage = result.attempts[at].usage
    elif node == "feedback" and at < len(result.feedback):
        usage = result.feedback[at].usage
    elif node == "remember" and at < len(result.written):
        usage = result.written[at].usage
    else:
        return 0, 0
    return usage.input_tokens, usage.output_tokens

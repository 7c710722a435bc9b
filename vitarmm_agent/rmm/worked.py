"""A right solution becomes an entry with a worked example; and who may be asked for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vitarmm_agent.answers.steps import incomplete, is_final_line
from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.masking import general
from vitarmm_agent.memory_store.schema import (
    MAX_CONTENT,
    MAX_EXAMPLE_IMAGES,
    MAX_TITLE,
    Example,
    MemoryEntry,
    Provenance,
)
from vitarmm_agent.problem import Attempt, Feedback, Problem

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

CONFIDENCE = 0.8
"""Of an entry whose solution someone vouches for."""


@dataclass
class Teacher:
    """A stronger model, or a function, that is asked for a right solution.

    Attributes:
        source: a chat model, or a function from the problem to the text of a solution, or None where it knows none.
        name: how it signs what it taught.
        calls: how often it may be asked in all; None: as often as runs end without a pass.
    """

    source: BaseChatModel | Callable[[Problem], str | None]
    name: str
    calls: int | None = None
    _asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_call(self) -> bool:
        """Whether it may be asked once more; if so, that is counted."""
        with self._lock:
            if self.calls is not None and self._asked >= self.calls:
                return False
            self._asked += 1
            return True


def solved_in_the_end(verdicts: Sequence[Feedback], trusted: float) -> bool:
    """Whether a run passed what it had failed, by the word of someone who is right often enough.

    Args:
        verdicts: of its attempts, in order.
        trusted: precision of a pass from which it is believed; the gold answer and a person are.
    """
    *earlier, last = verdicts
    if last.verdict != "pass" or not any(verdict.verdict == "fail" for verdict in earlier):
        return False
    return last.source in ("reference", "human") or (last.precision or 0) >= trusted


def worked_entry(
    problem: Problem, solution: Attempt, *, verified_by: str, provenance: Provenance
) -> MemoryEntry:
    """The entry of a solution that is taken to be right.

    Its condition is the problem without names and numbers, so that those who read it see at once
    which problems it is for.

    Raises:
        InputError: the solution has no steps or no answer, was cut off, or is too long to be shown.
    """
    steps = [step.text for step in solution.steps if not is_final_line(step.text)]
    if (why := incomplete(solution)) or solution.answer is None:
        raise InputError(why)
    images = tuple(image.sha256 for image in problem.images if image.sha256)
    try:
        example = Example(
            problem=_stated(problem),
            steps=tuple(steps),
            answer=solution.answer,
            verified_by=verified_by[:MAX_TITLE],
            images=images if len(images) <= MAX_EXAMPLE_IMAGES else (),
        )
    except ValidationError as error:
        raise InputError(f"the solution cannot be kept: {error_lines(error)}") from None
    condition = general(problem.text)
    return MemoryEntry(
        entry_type="insight",
        title=_shortened(f"Worked example: {condition}", MAX_TITLE),
        applies_when=condition[:MAX_CONTENT],
        content=_shortened(example.solution, MAX_CONTENT),
        confidence=CONFIDENCE,
        provenance=provenance,
        example=example,
    )


def _stated(problem: Problem) -> str:
    """The text of a problem, with its choices, without which their letters would mean nothing."""
    if not problem.choices:
        return problem.text
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    lines = [f"({letters[i]}) {choice}" for i, choice in enumerate(problem.choices)]
    return "\n".join([problem.text, *lines])


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"

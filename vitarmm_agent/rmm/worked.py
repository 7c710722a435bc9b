"""A right solution becomes an entry with a worked example; and who may be asked for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vitarmm_agent.answers.choices import letter_of
from vitarmm_agent.answers.equation_tokens import without_notes
from vitarmm_agent.answers.steps import incomplete, is_final_line, without_answer
from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.schema import (
    MAX_EXAMPLE_IMAGES,
    MAX_TITLE,
    Example,
    MemoryEntry,
    Provenance,
)
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.rmm.key_words import key_words
from vitarmm_agent.rmm.schema import CONDITION, TITLE

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

WORKED = "Worked example"
CONFIDENCE = 0.8
"""Of an entry whose solution someone vouches for."""
TRUSTED = 0.95
"""Precision of a pass from which it is believed, unless the settings say otherwise."""


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
    failed = any(verdict.verdict == "fail" for verdict in earlier)
    return failed and believed(last, trusted)


def believed(verdict: Feedback, trusted: float) -> bool:
    """Whether a verdict is a pass by the word of someone who is right often enough."""
    known = verdict.source in ("reference", "human") or (verdict.precision or 0) >= trusted
    return verdict.verdict == "pass" and known


def worked_entry(
    problem: Problem,
    solution: Attempt,
    *,
    verified_by: str,
    provenance: Provenance,
) -> MemoryEntry:
    """The entry of a solution that is taken to be right: what is kept of one, whoever gave it.

    The solution is its worked example. Title and condition are key words of the problem, so that those who
    read it see at once which problems it is for, and nothing beside the example tells of this one.

    Args:
        problem: what was solved, without its reference.
        solution: with steps and an answer.
        verified_by: who says that it is right.
        provenance: where the entry comes from.

    Raises:
        InputError: the solution has no steps or no answer, was cut off, or is too long to be shown.
    """
    if (why := incomplete(solution)) or solution.answer is None:
        raise InputError(why)
    images = tuple(image.sha256 for image in problem.images if image.sha256)
    try:
        example = Example(
            problem=_stated(problem),
            steps=tuple(_as_shown(solution)),
            answer=solution.answer,
            verified_by=verified_by[:MAX_TITLE],
            images=images if len(images) <= MAX_EXAMPLE_IMAGES else (),
        )
    except ValidationError as error:
        raise InputError(f"the solution cannot be kept: {error_lines(error)}") from None
    title = key_words(problem.text, TITLE)
    return MemoryEntry(
        entry_type="insight",
        title=title or WORKED,
        applies_when=key_words(problem.text, CONDITION),
        content=f"{WORKED}: {title}." if title else f"{WORKED}.",
        confidence=CONFIDENCE,
        provenance=provenance,
        example=example,
    )


def _as_shown(solution: Attempt) -> Iterator[str]:
    """Steps without calculator notes, and without the answer, which is shown once."""
    for step in solution.steps:
        words = without_answer(without_notes(step.text)).strip()
        if words and not is_final_line(words):
            yield words


def _stated(problem: Problem) -> str:
    """The text of a problem, with its choices, without which their letters would mean nothing."""
    if not problem.choices:
        return problem.text
    lines = [f"({letter_of(i)}) {choice}" for i, choice in enumerate(problem.choices)]
    return "\n".join([problem.text, *lines])

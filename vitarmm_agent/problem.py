"""What flows round the graph: Problem, Attempt, Feedback, Result. Plain data, JSON round-trip."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from vitarmm_agent.data import Data, error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import ImageRef
from vitarmm_agent.numbers.reading import without_thousands_marks
from vitarmm_agent.prompts import render

AnswerType = Literal["text", "integer", "float", "list", "choice"]
Verdict = Literal["pass", "fail", "abstain"]
Opinion = Literal["right", "wrong", "unsure"]
Status = Literal["running", "passed", "failed", "abstained", "interrupted", "died"]
"""``passed``/``failed``/``abstained``: the last verdict when the run stopped."""
ErrorKind = Literal[
    "arithmetic",
    "wrong operation",
    "misread quantity",
    "unit",
    "missing step",
    "misread image",
    "wrong choice mapping",
    "format",
    "unsupported claim",
    "other",
]
MAX_TEXT = 100_000
MAX_IMAGES = 16
MAX_CHOICES = 26
"""One for each letter."""
_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-"})


class Problem(Data):
    """One problem to solve.

    Attributes:
        id: stable name; derived from the content when not given.
        text: the question, at most 100,000 characters; may be empty when there is an image.
        images: at most 16, in order; paths and data URLs are accepted and become :class:`ImageRef`.
        choices: options of a multiple-choice problem, at most 26, in order of their letters;
            together as long as a text at most.
        answer_type: what kind of answer is asked for.
        precision: decimal places of a float answer.
        unit: unit of the answer.
        reference: the gold answer. Never shown to reasoner, judge or RMM unless the run is an
            oracle run.
        metadata: anything else, carried along untouched.
    """

    id: str = ""
    text: str = ""
    images: tuple[ImageRef, ...] = Field(default=(), max_length=MAX_IMAGES)
    choices: tuple[str, ...] = Field(default=(), max_length=MAX_CHOICES)
    answer_type: AnswerType = "text"
    precision: int | None = Field(default=None, ge=0, le=12)
    unit: str | None = None
    reference: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @field_validator("images", mode="before")
    @classmethod
    def _coerce_images(cls, value: Any) -> Any:
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(
            {"source": str(item)} if isinstance(item, (str, Path)) else item for item in items
        )

    @field_validator("text")
    @classmethod
    def _bound_text(cls, value: str) -> str:
        if len(value) > MAX_TEXT:
            raise ValueError(f"has {len(value):,} characters; the limit is {MAX_TEXT:,}")
        return value

    @field_validator("choices")
    @classmethod
    def _bound_choices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        cls._bound_text("".join(value))
        return value

    @model_validator(mode="after")
    def _complete(self) -> Problem:
        if not self.text.strip() and not self.images:
            raise ValueError("it is empty; give a text or an image")
        if self.choices and self.answer_type == "text":
            object.__setattr__(self, "answer_type", "choice")
        if self.answer_type == "choice" and not self.choices:
            raise ValueError("answer_type is 'choice' but there are no choices")
        if not self.id:
            object.__setattr__(self, "id", f"p-{self.fingerprint[:12]}")
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the reasoner sees: text, images and choices."""
        images = [image.sha256 or image.source for image in self.images]
        seen = json.dumps([self.text, images, self.choices], ensure_ascii=False)
        return hashlib.sha256(seen.encode("utf-8", "surrogatepass")).hexdigest()

    def without_reference(self) -> Problem:
        """The same problem with nothing that may hold the gold answer."""
        return self.model_copy(update={"reference": None, "metadata": {}})

    def to_prompt(self) -> str:
        """The problem as every model sees it: text, choices, and the form of the answer."""
        return render(
            "problem",
            text=self.text,
            choices=self.choices,
            unit=self.unit,
            answer_type=self.answer_type,
            precision=self.precision,
        )

    @classmethod
    def parse(cls, value: str | dict[str, Any] | Problem) -> Problem:
        """A problem from text, a mapping, or itself.

        Raises:
            InputError: it is empty, too long, or has unknown or wrong fields.
        """
        if isinstance(value, Problem):
            return value
        try:
            return cls(text=value) if isinstance(value, str) else cls.model_validate(value)
        except ValidationError as error:
            raise InputError(f"problem cannot be used: {error_lines(error, subject='')}") from None


class Usage(Data):
    """Tokens of one or more model calls."""

    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Sum of both."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            calls=self.calls + other.calls,
        )

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class ModelCall(Data):
    """What a verifier or the memory writer asked of a model, and what came back.

    Attributes:
        model: its name.
        prompt: messages as sent, in the form of :attr:`Attempt.prompt`.
        reply: the response, without what was thought aloud.
        thought: that.
        metadata: what the model reported.
        seconds: wall time.
    """

    model: str = ""
    prompt: tuple[dict[str, Any], ...] = ()
    reply: str = ""
    thought: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    usage: Usage = Usage()
    seconds: float = 0.0


class Step(Data):
    """A numbered line of an attempt."""

    number: int = Field(ge=1)
    text: str


class Attempt(Data):
    """One go of the reasoner.

    Attributes:
        number: 1 for the first of the run.
        text: the response, without what was thought aloud.
        thought: that, which nothing else reads.
        silent: why the response holds no answer at all: it is empty, a refusal, a call of a tool, or
            thinking alone.
        steps: the response as numbered steps.
        answer: the final answer it commits to, or None when none could be extracted.
        prompt: messages as sent, text with images as ``{"type": "image", "sha256": …}``.
        prompt_hash: SHA-256 of ``prompt``.
        recalled: ids of the memory entries it was shown.
        kept: characters at the beginning of ``text`` that are not this call's: the attempt before, up
            to a value that was put right.
        seconds: wall time of the model call.
        metadata: what the model reported (image tiles, OCR, state marker, finish reason …).
    """

    number: int = Field(ge=1)
    text: str
    thought: str = ""
    silent: str = ""
    steps: tuple[Step, ...] = ()
    answer: str | None = None
    model: str = ""
    prompt: tuple[dict[str, Any], ...] = ()
    prompt_hash: str = ""
    recalled: tuple[str, ...] = ()
    kept: int = Field(default=0, ge=0)
    usage: Usage = Usage()
    seconds: float = 0.0
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def cut(self) -> bool:
        """Whether the response ended at the limit of new tokens, not by itself."""
        return bool(self.metadata.get("cut"))

    @property
    def kept_text(self) -> str:
        """What was kept of the attempt before."""
        return self.text[: self.kept]


def standing_attempt(answer: str | None, attempts: Sequence[Attempt]) -> Attempt:
    """The attempt whose answer the run gives: the latest that has it."""
    return next((a for a in reversed(attempts) if a.answer == answer), attempts[-1])


class StepError(Data):
    """One wrong step, as a verifier names it.

    Attributes:
        step: number of the step, or None for the attempt as a whole.
        kind: from the closed list :data:`ErrorKind`.
        message: what is wrong, in words fit to show the model.
        subject: the thing that is wrong in short ("3 * 4 = 13"); the signature is made of it.
    """

    step: int | None = None
    kind: ErrorKind = "other"
    message: str
    subject: str = ""

    @property
    def in_words(self) -> str:
        """The message, with the step it is about."""
        named = self.step is None or self.message.startswith("Step ")
        return self.message if named else f"Step {self.step}: {self.message}"

    @property
    def signature(self) -> str:
        """Stable name of the error: its kind and normalised subject.

        Case, spacing, thousands commas and the sign used to multiply or divide make no difference:
        ``3 × 4 = 1,200`` and ``3*4=1200`` are one error.
        """
        subject = unicodedata.normalize("NFKC", self.subject).lower().translate(_SIGNS)
        subject = without_thousands_marks(subject)
        subject = re.sub(r"[^\w+*/=().,%^<>-]+", " ", subject)
        subject = re.sub(r" ?([+*/=()%^<>]|(?<=[\d) ])-(?=[\d( ])) ?", r"\1", subject)
        return f"{self.kind}:{subject.strip(' .,')}"


class StepVerdict(Data):
    """What a judge thinks of one step: right, wrong or unsure, and what it did to find out."""

    step: int = Field(ge=1)
    verdict: Opinion
    check: str = ""


class Feedback(Data):
    """What a verifier says of an attempt.

    Attributes:
        verdict: pass, fail or abstain.
        score: 0 (surely wrong) to 1 (surely right), or None.
        errors: wrong steps, the first one first.
        message: grounds, fit to show the model.
        source: name of the verifier, or of the one that decided.
        precision: measured share of this verifier's such verdicts that are right, or None.
        solution: a right one, where a person gave it.
        advice: it was heard, and decided nothing.
        mended: the attempt up to its first wrong value, with the right one in its place, where a
            verifier is certain of both; the next attempt goes on from there.
        ticks: what a judge thinks of each step.
        calls: the model calls that it took; those of a combined feedback are in its parts.
        parts: what each verifier said, when several were combined.
        failure: why a verifier could not judge (garbage, refusal, time-out); then it abstains.
        oracle: the verdict used the gold answer.
    """

    verdict: Verdict
    source: str
    score: float | None = Field(default=None, ge=0, le=1)
    errors: tuple[StepError, ...] = ()
    message: str = ""
    precision: float | None = Field(default=None, ge=0, le=1)
    solution: str = ""
    advice: bool = False
    mended: str = ""
    ticks: tuple[StepVerdict, ...] = ()
    calls: tuple[ModelCall, ...] = ()
    parts: tuple[Feedback, ...] = ()
    failure: str | None = None
    oracle: bool = False
    usage: Usage = Usage()
    seconds: float = 0.0


class Taught(Data):
    """A solution that came from outside the run.

    Attributes:
        by: name of the teacher or the person.
        solution: what they wrote, read as an attempt; None when they were not asked.
        note: why it was not kept, in words.
        operations: memory operations carried out, as data.
        run: name under which they were, for ``undo``.
    """

    by: str = ""
    solution: Attempt | None = None
    note: str = ""
    operations: tuple[dict[str, Any], ...] = ()
    run: str = ""

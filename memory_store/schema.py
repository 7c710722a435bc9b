"""One memory entry, and the words for what can be done to it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vitarmm_agent.by_name import ByName

EntryType = Literal["correction", "insight", "fact"]
State = Literal["live", "expired", "quarantined", "superseded"]
SCHEMA_VERSION = 3
"""2: an entry may carry an example. 3: it may expire, and its example may have images.

Entries of earlier versions are read as they are.
"""
MAX_CONTENT = 4_000
MAX_TITLE = 200
MAX_METADATA = 16_384
MAX_LINKS = 64
MAX_EXAMPLE = 8_000
"""Characters of an example: problem, steps and answer together."""
MAX_EXAMPLE_IMAGES = 4
"""Images of an example. A problem with more is kept, and shown, as text alone."""


def new_id() -> str:
    """A new entry id."""
    return f"m-{uuid.uuid4().hex[:16]}"


def check_storable(text: str) -> str:
    """``text``, if every store and journal can hold it.

    Raises:
        ValueError: it has a NUL or half a character.
    """
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("contains a lone surrogate, which is no character") from None
    return text


def solution_text(steps: Iterable[str], answer: str) -> str:
    """A solution as the reasoner is asked to write it: numbered steps, and a line with the answer."""
    lines = [f"{number}. {step}" for number, step in enumerate(steps, start=1)]
    return "\n".join([*lines, f"Answer: {answer}"])


class Provenance(ByName, BaseModel):
    """Where an entry comes from.

    Attributes:
        run: LangGraph thread id of the run that wrote it.
        problem_id: problem it was learned on.
        attempt: number of the attempt, from 1; 0 when it was written by hand or by a client.
        verifier: source of the feedback it rests on.
        writer: model (or person) that wrote it.
        begun: when the run began, seconds since the epoch: threads without a lasting checkpointer use
            their ids again, and two runs of one id are two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = ""
    problem_id: str = ""
    attempt: int = 0
    verifier: str = ""
    writer: str = ""
    begun: float = 0.0

    @property
    def name(self) -> str:
        """Name of the attempt, which no other run's attempt has."""
        return f"{self.run}:{self.attempt}" + (f":{self.begun!r}" if self.begun else "")


class Example(BaseModel):
    """A problem with a right solution, as the reasoner is asked to write one.

    Attributes:
        problem: its text.
        steps: the solution, a line each, without numbers before them.
        answer: the final answer alone.
        verified_by: who says that it is right: a teacher's name, a person, a reference, a verifier.
        images: SHA-256 of the problem's images, in order. Their bytes lie in the
            :class:`~vitarmm_agent.media.MediaStore` of whoever solved it, and nowhere else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    problem: str = Field(min_length=1, max_length=MAX_EXAMPLE)
    steps: tuple[str, ...] = Field(min_length=1, max_length=MAX_LINKS)
    answer: str = Field(min_length=1, max_length=500)
    verified_by: str = Field(default="", max_length=MAX_TITLE)
    images: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = Field(
        default=(), max_length=MAX_EXAMPLE_IMAGES
    )

    @field_validator("problem", "answer", "verified_by", "steps")
    @classmethod
    def _storable(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in (value,) if isinstance(value, str) else value:
            check_storable(text)
        return value

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.size > MAX_EXAMPLE:
            raise ValueError(f"has {self.size:,} characters; the limit is {MAX_EXAMPLE:,}")
        return self

    @property
    def size(self) -> int:
        """Characters of problem, steps and answer."""
        return len(self.problem) + sum(map(len, self.steps)) + len(self.answer)

    @property
    def question(self) -> tuple[str, tuple[str, ...]]:
        """What was asked, text and images: two examples of one question solve the same problem."""
        return self.problem, self.images

    @property
    def solution(self) -> str:
        """The steps, numbered, and the line with the answer."""
        return solution_text(self.steps, self.answer)


class MemoryEntry(ByName, BaseModel):
    """One thing learned.

    Attributes:
        id: unique name.
        entry_type: correction (a mistake and its remedy), insight (a way to think) or fact.
        title: a few words.
        applies_when: the condition under which it helps; this, with the title, is embedded.
        content: what to do or know, in one to three sentences.
        confidence: 0 to 1, the writer's.
        related_to: ids of linked entries.
        used, helpful, harmful: how often it was shown, and what came of it.
        example: a worked problem, found by its text and shown to problems of its kind; the entry is
            then shown in no other way.
        superseded_by: id of the entry that replaced it; such an entry is never recalled.
        expires_at: when it is no longer recalled; None is never. It stays until it is removed.
        quarantined: it turned a pass into a fail or failed an audit; not recalled until reviewed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=new_id, min_length=1, max_length=200)
    entry_type: EntryType
    title: str = Field(default="", max_length=MAX_TITLE)
    applies_when: str = Field(default="", max_length=MAX_CONTENT)
    content: str = Field(min_length=1, max_length=MAX_CONTENT)
    confidence: float = Field(default=0.5, ge=0, le=1)
    related_to: tuple[str, ...] = Field(default=(), max_length=MAX_LINKS)
    metadata: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance = Provenance()
    example: Example | None = None
    used: int = Field(default=0, ge=0)
    helpful: int = Field(default=0, ge=0)
    harmful: int = Field(default=0, ge=0)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    expires_at: datetime | None = None
    superseded_by: str | None = None
    quarantined: bool = False
    schema_version: int = SCHEMA_VERSION

    @field_validator("id", "title", "applies_when", "content")
    @classmethod
    def _storable(cls, value: str) -> str:
        return check_storable(value)

    @field_validator("metadata")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            return value
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError:
            raise ValueError("contains a lone surrogate, which is no character") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"is not plain JSON: {error}") from None
        if size > MAX_METADATA:
            raise ValueError(f"has {size:,} bytes; the limit is {MAX_METADATA:,}")
        return cast("dict[str, Any]", json.loads(text))

    @field_validator("created_at", "updated_at", "expires_at")
    @classmethod
    def _zoned(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)

    @property
    def state(self) -> State:
        """Whether recall may return it until it expires, and if not, why; a store lists it by that."""
        if self.superseded_by is not None:
            return "superseded"
        return "quarantined" if self.quarantined else "live"

    def state_at(self, moment: datetime | None = None) -> State:
        """Whether recall may return it at ``moment`` (default: now), and if not, why."""
        return "expired" if self.live and self.expired(moment) else self.state

    @property
    def live(self) -> bool:
        """Whether recall may return it until it expires."""
        return self.state == "live"

    def expired(self, moment: datetime | None = None) -> bool:
        """Whether it is no longer recalled at ``moment`` (default: now), since its time is over."""
        return self.expires_at is not None and self.expires_at <= (moment or datetime.now(UTC))

    @property
    def index_text(self) -> str:
        """What is embedded: condition and title; the content when both are empty."""
        return "\n".join(part for part in (self.applies_when, self.title) if part) or self.content

    def __str__(self) -> str:
        """``[FACT] title: content (applies when …)``."""
        title = f"{self.title}: " if self.title else ""
        condition = f" (applies when {self.applies_when})" if self.applies_when else ""
        return f"[{self.entry_type.upper()}] {title}{self.content}{condition}"

"""Tags and notes that people put on runs. They are kept beside the checkpoints, and go with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vitarmm_agent.errors import InputError, no_run
from vitarmm_agent.graphs.any_checkpoints import Checkpoints

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

MAX_TAGS, MAX_TAG, MAX_NOTE = 20, 40, 4_000
_TAG = re.compile(r"[\w][\w .:/+#@-]*")


class Remark(BaseModel):
    """What people noted of a run.

    Attributes:
        tags: words that runs are found by, sorted.
        note: a text.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    tags: tuple[str, ...] = Field(default=(), max_length=MAX_TAGS)
    note: str = Field(default="", max_length=MAX_NOTE)

    @field_validator("tags")
    @classmethod
    def _plain(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        named = {" ".join(tag.split()) for tag in tags}
        for tag in named:
            if len(tag) > MAX_TAG or not _TAG.fullmatch(tag):
                raise ValueError(
                    f"a tag is a word or a few of up to {MAX_TAG} characters, got {tag!r:.100}"
                )
        return tuple(sorted(named))


def remark_on(checkpointer: BaseCheckpointSaver[str], thread_id: str) -> Remark:
    """What was noted of a run; nothing where that cannot be kept, or read."""
    if not isinstance(checkpointer, Checkpoints):
        return Remark()
    return read_remark(checkpointer.remarks(thread_id).get(thread_id, ""))


def all_remarks(checkpointer: BaseCheckpointSaver[str]) -> dict[str, str]:
    """What was noted of all runs, as it is kept."""
    return checkpointer.remarks() if isinstance(checkpointer, Checkpoints) else {}


def read_remark(text: str) -> Remark:
    """A remark as it is kept; the file may be someone else's."""
    try:
        return Remark.model_validate_json(text) if text else Remark()
    except ValidationError:
        return Remark()


def note_run(
    checkpointer: BaseCheckpointSaver[str],
    thread_id: str,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    tags: Iterable[str] | None = None,
    note: str | None = None,
) -> Remark:
    """Change the tags or the note of a run.

    Args:
        checkpointer: where the run is.
        thread_id: its thread.
        add: tags it gets.
        remove: tags it loses.
        tags: all that it has then, in place of those it had.
        note: another note; "" for none.

    Returns:
        What is noted of the run then.

    Raises:
        InputError: there is no such run, a tag or the note is too long, there are too many tags, or the
            checkpointer keeps none.
    """
    if not isinstance(checkpointer, Checkpoints):
        raise InputError(
            f"tags and notes are kept by this package's checkpointers, got {type(checkpointer).__name__}; "
            "use open_checkpoints(PATH), or a database"
        )
    if checkpointer.get_tuple({"configurable": {"thread_id": thread_id}}) is None:
        raise no_run(thread_id)
    before = remark_on(checkpointer, thread_id)
    without = {" ".join(tag.split()) for tag in remove}
    named = [*(before.tags if tags is None else tags), *add]
    try:
        now = Remark(
            tags=tuple(tag for tag in named if " ".join(tag.split()) not in without),
            note=before.note if note is None else note.strip(),
        )
    except ValidationError as error:
        words = "; ".join(
            f"{'.'.join(map(str, e['loc'][:1]))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors(include_input=False)
        )
        raise InputError(f"that cannot be noted: {words}") from None
    checkpointer.remark(thread_id, "" if now == Remark() else now.model_dump_json())
    return now

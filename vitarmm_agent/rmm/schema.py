"""The JSON a memory writer answers with, and how it becomes operations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitarmm_agent.errors import OutputError
from vitarmm_agent.memory_store.buffer import without_notes
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import EntryType, MemoryEntry, Provenance

Situation = Literal["success", "failure", "contrast"]
"""What a writer is asked to decide on; a contrast is a success after a failure."""
MAX_OPERATIONS = 3
TITLE, CONDITION, CONTENT = 80, 200, 400
"""Characters of each that a writer is asked for at most."""


class WrittenOperation(BaseModel):
    """One operation as the model writes it; ``target`` and ``related_to`` are shown numbers."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["add", "update", "supersede", "none"]
    target: int | None = None
    title: str = Field(default="", max_length=200)
    applies_when: str = Field(default="", max_length=400)
    content: str = Field(default="", max_length=800)
    entry_type: EntryType = "insight"
    confidence: float = Field(default=0.5, ge=0, le=1)
    related_to: list[int] = Field(default_factory=list)


class WriterOutput(BaseModel):
    """The whole answer of a memory writer; ``thought`` is never stored."""

    model_config = ConfigDict(extra="forbid")

    thought: str = Field(default="", max_length=2_000)
    operations: list[WrittenOperation] = Field(max_length=MAX_OPERATIONS)


def output_schema(
    related: int, max_operations: int = MAX_OPERATIONS, *, think: bool = False
) -> dict[str, Any]:
    """JSON schema of the answer when ``related`` entries were shown as 1 … ``related``.

    With ``think`` a free ``thought`` comes before the operations.
    """
    numbers = list(range(1, related + 1))
    kinds = ["add", "update", "supersede", "none"] if related else ["add", "none"]
    properties: dict[str, Any] = {
        "kind": {"type": "string", "enum": kinds},
        "title": {"type": "string", "maxLength": TITLE},
        "applies_when": {"type": "string", "maxLength": CONDITION},
        "content": {"type": "string", "maxLength": CONTENT},
        "entry_type": {"type": "string", "enum": ["correction", "insight", "fact"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    }
    if related:
        properties["target"] = {"anyOf": [{"type": "integer", "enum": numbers}, {"type": "null"}]}
        properties["related_to"] = {
            "type": "array",
            "items": {"type": "integer", "enum": numbers},
            "maxItems": 2,
        }
    operation = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    thought = {"thought": {"type": "string", "maxLength": 300}} if think else {}
    fields = {
        **thought,
        "operations": {
            "type": "array",
            "items": operation,
            "minItems": 1,
            "maxItems": max_operations,
        },
    }
    return {
        "title": "MemoryOperations",
        "description": "What to remember.",
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def parse_output(
    data: Any, related: Sequence[MemoryEntry], provenance: Provenance
) -> tuple[Operation, ...]:
    """Validate a writer's answer and turn it into operations.

    Raises:
        OutputError: it has not the form asked for, or names an entry that was not shown.
    """
    try:
        output = WriterOutput.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OutputError(f"{where or 'answer'}: {first['msg']}") from None
    operations = (_operation(written, related, provenance) for written in output.operations)
    return tuple(operation for operation in operations if operation.kind != "none")


def written_json(
    operations: Sequence[Operation], related: Sequence[MemoryEntry], thought: str = ""
) -> str:
    """The answer that asks for ``operations``, as :func:`output_schema` orders its fields.

    No operation at all is written as one of kind ``none``. Targets and links that were not shown
    are left out.
    """
    numbers = {entry.id: number for number, entry in enumerate(related, 1)}
    listed = [_written(operation, numbers) for operation in operations] or [_NONE]
    if numbers:
        listed = [{"target": None, "related_to": [], **fields} for fields in listed]
        listed = [{key: fields[key] for key in _ORDER} for fields in listed]
    data = {"thought": thought} if thought else {}
    return json.dumps(data | {"operations": listed}, ensure_ascii=False)


_NONE: dict[str, Any] = {
    "kind": "none",
    "title": "",
    "applies_when": "",
    "content": "",
    "entry_type": "insight",
    "confidence": 0.5,
}
_ORDER = (*_NONE, "target", "related_to")


def _written(operation: Operation, numbers: dict[str, int]) -> dict[str, Any]:
    entry = operation.entry
    if operation.kind == "none" or entry is None:
        return dict(_NONE)
    fields = {
        "kind": operation.kind,
        "title": entry.title,
        "applies_when": entry.applies_when,
        "content": entry.content,
        "entry_type": entry.entry_type,
        "confidence": entry.confidence,
    }
    if numbers:
        fields["target"] = numbers.get(operation.target or "")
        fields["related_to"] = [numbers[i] for i in entry.related_to if i in numbers][:2]
    return fields


def _operation(
    written: WrittenOperation, related: Sequence[MemoryEntry], provenance: Provenance
) -> Operation:
    if written.kind == "none":
        return Operation(kind="none", entry=None, target=None)
    content = without_notes(written.content.strip())
    if not content:
        raise OutputError(f"operation {written.kind!r} has an empty content")
    target = None
    if written.kind in ("update", "supersede"):
        if written.target is None:
            raise OutputError(f"operation {written.kind!r} names no target entry")
        target = _shown(written.target, related).id
    try:
        entry = MemoryEntry(
            entry_type=written.entry_type,
            title=written.title.strip(),
            applies_when=written.applies_when.strip(),
            content=content,
            confidence=written.confidence,
            related_to=tuple({_shown(n, related).id: None for n in written.related_to}),
            provenance=provenance,
        )
    except ValidationError as error:
        raise OutputError(error.errors()[0]["msg"]) from None
    return Operation(kind=written.kind, entry=entry, target=target)


def _shown(number: int, related: Sequence[MemoryEntry]) -> MemoryEntry:
    if not 1 <= number <= len(related):
        raise OutputError(f"entry number {number} was not shown; there are {len(related)}")
    return related[number - 1]

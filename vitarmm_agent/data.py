"""The base of all plain records, which flow round the graph and lie in checkpoints as JSON."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


def whole(value: Any) -> Any:
    r"""The same text or data without halves of surrogate pairs, which are no characters.

    JSON can name them (``"\ud800"``), and neither a database nor a model takes them.
    """
    try:
        orjson.dumps(value, default=lambda _: None)
    except orjson.JSONEncodeError:  # halves, or what JSON has no form for
        return _mended(value)
    return value


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) in (list, tuple):
        return type(value)(map(_mended, value))
    if type(value) is dict:
        return {_mended(key): _mended(part) for key, part in value.items()}
    return value


def listed(value: Any) -> list[Any]:
    """A list of a state, where whoever wrote it has not put something else."""
    return value if isinstance(value, list) else []


def error_lines(error: ValidationError, subject: str = "it", *, got: bool = True) -> str:
    """What is wrong with data, one part for each field.

    Args:
        error: of the data.
        subject: what the data is called where no field alone is at fault; "" where the words say so.
        got: say what was got in its place, too.
    """
    lines = []
    for fault in error.errors():
        name = ".".join(map(str, fault["loc"])) or subject
        words = fault["msg"].removeprefix("Value error, ")
        seen = f", got {fault['input']!r:.80}" if got and name else ""
        lines.append(f"{name}: {words}{seen}" if name else words)
    return "; ".join(lines)


class Data(BaseModel):
    """Base of all plain records: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, fields: Any) -> Any:
        try:
            return whole(fields)
        except RecursionError:
            raise ValueError("is nested too deeply") from None

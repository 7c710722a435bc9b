"""An export's file: its runs, and what is wrong with the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitarmm_agent.data import whole
from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.exports.opentelemetry import Spans
from vitarmm_agent.integrations.exports.platforms import (
    langfuse_run,
    langsmith_run,
    plain_run,
    rows_of,
)
from vitarmm_agent.integrations.exports.told import Told
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.memory_store.transfer import BadLine

MAX_FILE = 256 * 2**20
MAX_WHOLE = 64 * 2**20
MAX_LINE = 16 * 2**20
"""Bytes of a file, of one that is a single JSON document, and of one line of JSON Lines."""


@dataclass
class Export:
    """What a file holds.

    Attributes:
        sha256: of its bytes.
        runs: in the order of the file; those of OpenTelemetry come last, by time.
        bad: what cannot be read, and why.
        parts: rows that are parts of runs, and none themselves.
    """

    sha256: str
    runs: list[Told] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)
    parts: int = 0


def read_export(path: Path) -> Export:
    """The runs of a file: JSON Lines, a JSON list, or one JSON object, of any form that is known.

    Raises:
        InputError: the file cannot be read, or is too large.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise InputError(f"{str(path)!r} has more than {MAX_FILE:,} bytes; split it")
    export, spans = Export(hashlib.sha256(data).hexdigest()), Spans()
    for number, place, row in _rows(data):
        try:
            if isinstance(row, InputError):
                raise row
            told = _told(row, number, spans)
        except InputError as error:
            export.bad.append(BadLine(number=number, place=place, reason=str(error)))
            continue
        if isinstance(told, Told):
            export.runs.append(told)
        export.parts += told is None
    for found in spans.runs():
        if isinstance(found, Told):
            export.runs.append(found)
        else:
            export.bad.append(BadLine(number=found[0], reason=str(found[1])))
    return export


def _told(row: Any, number: int, spans: Spans) -> Told | bool | None:
    """The run of a row, None for a part of one; True for spans, which are read when all are there."""
    if not isinstance(row, Mapping):
        raise InputError(f"is a JSON {type(row).__name__}, not an object")
    if "resourceSpans" in row or "resourceLogs" in row:
        spans.take(row, number)
        return True
    if "messages" in row and "inputs" not in row:
        return plain_run(row, number)
    if "inputs" in row:
        return langsmith_run(row, number)
    if "input" in row or "trace" in row or "traceId" in row:
        return langfuse_run(row, number)
    raise InputError(
        f"is of no form that is known; it has {sorted(map(str, row))[:10]}. Known are messages with a "
        "verdict, OTLP's resourceSpans, runs of LangSmith and traces of Langfuse"
    )


def _rows(data: bytes) -> Iterator[tuple[int, str, Any]]:
    """Each row with its number and place, or with what is wrong with it."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    lines = [] if data.lstrip().startswith(b"[") else data.split(b"\n")
    first = next((line for line in lines if line.strip()), b"")
    document = None if lines and _is_json(first) else _json(data, MAX_WHOLE)
    if document is None or (lines and isinstance(document, InputError)):
        numbered = enumerate(lines, start=1)
        rows = [(number, "", _json(line)) for number, line in numbered if line.strip()]
        if len(rows) != 1 or isinstance(rows[0][2], InputError):
            yield from rows
            return
        document = rows[0][2]
    many = [document] if isinstance(document, InputError) else rows_of(document)
    for number, row in enumerate(many, start=1):
        yield number, f"record {number}", row


def _is_json(line: bytes) -> bool:
    return not isinstance(_json(line), InputError)


def _json(line: bytes, limit: int = MAX_LINE) -> Any:
    """JSON data, or what is wrong with it."""
    if len(line) > limit:
        return InputError(f"has {len(line):,} bytes; the limit is {limit:,}")
    try:
        return whole(parse_json(line.decode("utf-8")))
    except RecursionError:
        return InputError("is nested too deeply")
    except UnicodeDecodeError as error:
        return InputError(f"is not UTF-8, from byte {error.start} on")
    except ValueError as error:
        return InputError(f"is not JSON: {error}")

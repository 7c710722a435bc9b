"""How the values of checkpoints are written and read.

What a checkpoint may hold is plain data and LangChain's messages, and nothing that names other code: a file of
traces may come from someone else, and LangGraph's serializer, left to its default, calls whatever the
file names.

What the checkpoints of a thread have in common is kept once. A checkpoint holds the whole state: an image
that came in a message stands in each of them, and all attempts so far. Serialized, it is cut into parts; a part
that the thread has already is referred to. Where it is cut decides how much is saved, never what is read: the
parts joined are the bytes.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
import threading
from bisect import bisect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from vitarmm_agent.errors import InputError
from vitarmm_agent.redaction import redact

_KINDS = ("null", "bytes", "bytearray", "msgpack")
KIND = "parts"
SMALL = 2_000
"""Bytes of a value that is kept as it is."""
LEAST = 256
"""Bytes of a part that is kept apart."""
MAX_BYTES = 500_000_000
MAX_TEXTS = 10_000
SCHEMA = """
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY, thread_id TEXT NOT NULL, sha BLOB NOT NULL, data BLOB NOT NULL,
    UNIQUE (thread_id, sha)
)
"""
_RECORD = re.compile(rb"\xa6number")
"""The first key of an attempt, and of each other record of an iteration."""
_LONG = ((b"\xda", 2), (b"\xc5", 2), (b"\xdb", 4), (b"\xc6", 4))
"""How MessagePack begins longer texts and bytes, and how many bytes then tell the length."""
_DAMAGED = "a checkpoint refers to parts that are not there or too large: the file is damaged"

_read = threading.local()


class PlainDataSerializer(JsonPlusSerializer):
    """LangGraph's serializer, strict: what it does not know is refused, by name, and never called."""

    def __init__(self) -> None:
        """Know LangGraph's own list of harmless types, and no other."""
        super().__init__(allowed_msgpack_modules=None)
        _listen()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Write a value; of an error, its text without secrets."""
        return super().dumps_typed(redact(repr(obj)) if isinstance(obj, BaseException) else obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Read a value.

        Raises:
            InputError: it names a type that is not plain data, or cannot be read.
        """
        if data[0] not in _KINDS:
            raise InputError(f"a checkpoint holds data of kind {data[0]!r}, which is not read")
        _read.refused = []
        try:
            value = super().loads_typed(data)
        except RecursionError:
            raise InputError("a checkpoint holds data that is nested too deeply") from None
        finally:
            refused, _read.refused = list(dict.fromkeys(_read.refused)), None
        if refused:
            raise InputError(
                f"a checkpoint names {', '.join(refused[:5])}, which is no plain data; nothing of it "
                "was run. Do not trust where the file comes from"
            )
        return value


@cache
def _listen() -> None:
    register_serde_event_listener(_note)
    logging.getLogger(JsonPlusSerializer.__module__).addFilter(_not_ours)


def _note(event: SerdeEvent) -> None:
    """Note what is refused while this thread reads."""
    if event["kind"].endswith("blocked") and getattr(_read, "refused", None) is not None:
        names = (event["module"], event["name"], event.get("method", ""))
        _read.refused.append(".".join(filter(None, map(str, names))))


def _not_ours(record: logging.LogRecord) -> bool:
    """Leave out LangGraph's warning, whose advice is to allow it, where our error tells of it."""
    return getattr(_read, "refused", None) is None


class PartedSerializer(SerializerProtocol):
    """A serializer whose larger values are kept in parts, those of one thread once."""

    def __init__(self, inner: SerializerProtocol, connection: sqlite3.Connection) -> None:
        """Keep in the table ``parts`` of a file what ``inner`` writes."""
        self._inner, self._connection = inner, connection
        self._ready = threading.local()

    @contextmanager
    def kept(self, cursor: sqlite3.Cursor, thread_id: str, values: Sequence[Any]) -> Iterator[None]:
        """Store the parts of values that are about to be written, with ``cursor``."""
        self._ready.written = {id(v): self._parted(cursor, thread_id, v) for v in values}
        try:
            yield
        finally:
            self._ready.written = {}

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Write a value: with references to its parts where these are :meth:`kept`."""
        written: dict[int, tuple[str, bytes]] = getattr(self._ready, "written", {})
        return written.get(id(obj)) or self._inner.dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Read a value.

        Raises:
            InputError: a part is missing, or the whole is too large.
        """
        if data[0] != KIND:
            return self._inner.loads_typed(data)
        (kind, pieces), size = _unpacked(data[1]), 0
        whole = list[bytes]()
        for piece in pieces:
            whole.append(piece if isinstance(piece, bytes) else self._part(piece))
            size += len(whole[-1])
            if size > MAX_BYTES:
                raise InputError(_DAMAGED)
        return self._inner.loads_typed((kind, b"".join(whole)))

    def _parted(self, cursor: sqlite3.Cursor, thread_id: str, value: Any) -> tuple[str, bytes]:
        kind, data = self._inner.dumps_typed(value)
        if len(data) < SMALL:
            return kind, data
        pieces = [
            piece if len(piece) < LEAST else _stored(cursor, thread_id, piece)
            for piece in cut(data)
        ]
        return KIND, ormsgpack.packb([kind, pieces])

    def _part(self, number: Any) -> bytes:
        if type(number) is not int:
            raise InputError(_DAMAGED)
        try:
            found = self._connection.execute("SELECT data, sha FROM parts WHERE id = ?", (number,))
            row = found.fetchone()
        except sqlite3.Error as error:
            raise InputError(f"{_DAMAGED}: {error}") from None
        if row is None or not isinstance(row[0], bytes):
            raise InputError(_DAMAGED)
        if hashlib.sha256(row[0]).digest() != row[1]:
            raise InputError("a part of a checkpoint is not as it was written: the file is damaged")
        return row[0]


def cut(data: bytes) -> list[bytes]:
    """``data`` in pieces that are likely to come again: records, and long texts."""
    texts = _texts(data)
    places = {0, len(data), *(place for text in texts for place in text)}
    for record in _RECORD.finditer(data):
        at = bisect(texts, (record.start(), len(data))) - 1
        if at < 0 or texts[at][1] <= record.start():
            places.add(record.start())
    ends = sorted(places)
    return [data[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def _texts(data: bytes) -> list[tuple[int, int]]:
    """Where long texts stand, in order; the longest first of those that cross.

    What looks like the beginning of one may be part of a number, or stand inside another text.
    """
    found = [text for head, width in _LONG for text in islice(_begun(data, head, width), MAX_TEXTS)]
    chosen: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda text: (text[0] - text[1], text)):
        at = bisect(chosen, (start, end))
        free_before = at == 0 or chosen[at - 1][1] <= start
        if free_before and (at == len(chosen) or end <= chosen[at][0]):
            chosen.insert(at, (start, end))
    return chosen


def _begun(data: bytes, head: bytes, width: int) -> Iterator[tuple[int, int]]:
    """Texts of a thousand bytes and more that begin with ``head``."""
    at = data.find(head)
    while at >= 0:
        start = at + 1 + width
        length = int.from_bytes(data[at + 1 : start])
        if 1024 <= length <= len(data) - start:
            yield start, start + length
        at = data.find(head, at + 1)


def forget_parts(cursor: sqlite3.Cursor, thread_id: str) -> None:
    """Delete the parts of a thread that none of its checkpoints and writes refers to any more."""
    used = set[int]()
    for table, column in (("checkpoints", "checkpoint"), ("writes", "value")):
        rows = cursor.execute(
            f"SELECT {column} FROM {table} WHERE thread_id = ? AND type = ?", (thread_id, KIND)
        )
        for (data,) in rows.fetchall():
            used.update(piece for piece in _unpacked(data)[1] if isinstance(piece, int))
    known = cursor.execute("SELECT id FROM parts WHERE thread_id = ?", (thread_id,)).fetchall()
    cursor.executemany(
        "DELETE FROM parts WHERE id = ?", [row for row in known if row[0] not in used]
    )


def _stored(cursor: sqlite3.Cursor, thread_id: str, piece: bytes) -> int:
    key = (thread_id, hashlib.sha256(piece).digest())
    find = "SELECT id FROM parts WHERE thread_id = ? AND sha = ?"
    row = cursor.execute(find, key).fetchone()
    if row is None:
        cursor.execute(
            "INSERT OR IGNORE INTO parts (thread_id, sha, data) VALUES (?, ?, ?)", (*key, piece)
        )
        row = cursor.execute(find, key).fetchone()
    return int(row[0])


def _unpacked(data: bytes) -> tuple[str, list[Any]]:
    try:
        kind, pieces = ormsgpack.unpackb(data)
    except (ValueError, TypeError) as error:
        raise InputError(f"{_DAMAGED}: {error}") from None
    if not isinstance(kind, str) or kind == KIND or not isinstance(pieces, list):
        raise InputError(_DAMAGED)
    return kind, pieces

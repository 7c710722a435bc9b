"""Streams of a server's events: whether there is one at all, and whether it came to its end.

A server without streams answers with the whole, whatever it calls that; and a stream may break off in the
middle of a number without any client noticing.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Any

import openai

from vitarmm_agent.servers.bodies import FAILED, as_expected, fault

_http: Any = import_module(openai.DefaultAsyncHttpxClient.__base__.__module__.partition(".")[0])
BLANKS = b" \t\r\n\xef\xbb\xbf"
"""What may stand before an answer; the last three are a byte order mark."""
_FIELD = re.compile(rb"(data|event|id|retry)?:")
_LONGEST_FIELD = 6
_ENDED = re.compile(rb'^data:\s*\[DONE\]|"finish_reason"\s*:\s*"', re.MULTILINE)
_OVERLAP = 64
"""Bytes of what came before in which a sign of the end may begin."""


def are_events(body: bytes) -> bool:
    """Whether an answer is a stream of events, whatever its type says."""
    return bool(_FIELD.match(body.lstrip(BLANKS)))


def whole_as_events(path: str, body: bytes) -> bytes:
    """A whole answer as the stream that was asked for; one that is none as an error in a stream."""
    wrong = fault(path, body)
    if wrong is not None:
        return _error(wrong[0], f"HTTP 200 with {wrong[1]}")
    data = as_expected(path, body)
    choices = [{**choice, "delta": choice["message"]} for choice in data["choices"]]
    for choice in choices:
        del choice["message"]
    return _event({**data, "choices": choices}) + b"data: [DONE]\n\n"


class _Reader:
    """What the client may see of a stream, piece by piece."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._held, self._whole, self._begun = bytearray(), False, False
        self._last, self._ended = b"", False

    def feed(self, piece: bytes) -> bytes:
        if not self._begun:
            self._held += piece
            first = self._held.lstrip(BLANKS)
            if len(first) < _LONGEST_FIELD:
                return b""
            self._begun, self._whole = True, not _FIELD.match(first)
            piece = bytes(first)
        elif self._whole:
            self._held += piece
        if self._whole:
            return b""
        near = self._last + piece
        self._ended = self._ended or bool(_ENDED.search(near))
        self._last = near[-_OVERLAP:]
        return piece

    def end(self) -> bytes:
        if self._whole or not self._begun:
            return whole_as_events(self._path, bytes(self._held))
        if self._ended:
            return b""
        # Two line ends first: it may have broken off within an event.
        return b"\n\n" + _error(FAILED, "the stream ended before the reply did")


class CheckedStream(_http.SyncByteStream):  # type: ignore[misc]
    """A stream of bytes for threads, read by a :class:`_Reader`."""

    def __init__(self, source: Any, path: str) -> None:
        """Read ``source``, the answer to a request to ``path``."""
        self._source, self._path = source, path

    def __iter__(self) -> Iterator[bytes]:
        """What the client may see."""
        reader = _Reader(self._path)
        for piece in self._source:
            yield reader.feed(piece)
        yield reader.end()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class AsyncCheckedStream(_http.AsyncByteStream):  # type: ignore[misc]
    """The same for event loops."""

    def __init__(self, source: Any, path: str) -> None:
        """Read ``source``, the answer to a request to ``path``."""
        self._source, self._path = source, path

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """What the client may see."""
        reader = _Reader(self._path)
        async for piece in self._source:
            yield reader.feed(piece)
        yield reader.end()

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()


def _error(status: int, words: str) -> bytes:
    return _event({"error": {"message": words, "code": status}})


def _event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"

"""What a checkpoint may hold: plain data and LangChain's messages, and nothing that names other code.

A file of traces may come from someone else. LangGraph's serializer, left to its default, calls
whatever the file names.
"""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import Any

from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from vitarmm_agent.errors import InputError
from vitarmm_agent.redaction import redact

_KINDS = ("null", "bytes", "bytearray", "msgpack")
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

"""From a JSON schema to a grammar that llama.cpp keeps a reply to.

A schema with a keyword that its grammar library (llguidance) cannot keep would constrain nothing at all, and
nothing would say so. Such keywords are left out of the grammar, which the reply's metadata says; the
whole schema is checked when the reply is read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vitarmm_agent.errors import InputError

_SUBSCHEMAS = frozenset({"items", "additionalProperties"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_VALUES = frozenset(
    {
        "type", "const", "enum", "$ref", "required", "minItems", "maxItems", "minLength",
        "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    }
)  # fmt: skip
_NOTES = frozenset(
    {
        "title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated",
        "readOnly", "writeOnly", "discriminator", "strict", "name",
    }
)  # fmt: skip
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_BEYOND_REGULAR = re.compile(r"\(\?[=!<]|\\[bB1-9]")
"""Look-around, word boundaries and back-references, which no finite automaton has."""


@dataclass(frozen=True)
class Grammar:
    """What a reply is kept to.

    Attributes:
        text: the grammar.
        left_out: keywords of the schema that it does not keep.
    """

    text: str
    left_out: tuple[str, ...]


@lru_cache(maxsize=64)
def grammar_of(schema: str) -> Grammar:
    """The grammar of a JSON schema given as JSON text.

    Raises:
        InputError: it is no JSON schema.
    """
    import jsonschema

    data = json.loads(schema)
    try:
        jsonschema.Draft202012Validator.check_schema(data)
    except jsonschema.SchemaError as error:
        title = data.get("title", "the schema")
        raise InputError(f"{title} cannot constrain decoding: {error.message}") from None
    left_out: set[str] = set()
    kept = _kept(data, left_out)
    kept["x-guidance"] = {"whitespace_flexible": False}
    text = f"%llguidance {{}}\nstart: %json {json.dumps(kept)}\n"
    return Grammar(text, tuple(sorted(left_out)))


def _kept(schema: Any, left_out: set[str]) -> Any:
    """A schema with what the grammar can keep; what it cannot is added to ``left_out``.

    Properties that it does not name are not written, though most schemas would allow them.
    """
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    if "properties" in schema and "additionalProperties" not in schema and not _combined(schema):
        kept["additionalProperties"] = False
    for key, value in schema.items():
        if key in _VALUES:
            kept[key] = value
        elif key in _SUBSCHEMAS:
            kept[key] = _kept(value, left_out)
        elif key in _LISTS:
            kept[key] = [_kept(one, left_out) for one in value]
            if key == "allOf":
                for one in kept[key]:
                    one.pop("additionalProperties", None) if isinstance(one, dict) else None
        elif key in _MAPS:
            kept[key] = {name: _kept(one, left_out) for name, one in value.items()}
        elif (key == "pattern" and not _BEYOND_REGULAR.search(value)) or (
            key == "format" and value in _FORMATS
        ):
            kept[key] = value
        elif key not in _NOTES:
            left_out.add(key)
    return kept


def _combined(schema: dict[str, Any]) -> bool:
    """Whether other schemas add to what an object may hold."""
    return any(key in schema for key in ("allOf", "anyOf", "oneOf", "$ref", "patternProperties"))

"""From a JSON schema to a grammar that llama.cpp keeps a reply to.

A schema that its grammar library (llguidance) cannot keep would constrain nothing at all, and nothing
would say so. Keywords that it is known not to keep are left out of the grammar, which the reply's metadata
says; the whole schema is checked when the reply is read. What else it refuses is seen by a trial: a grammar
with a mark before the schema, asked for one token, which is the mark or the grammar was refused.
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
        "type", "const", "enum", "$ref", "$anchor", "required", "minItems", "maxItems", "minLength",
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
_BEYOND_REGULAR = re.compile(r"\(\?(?!:|P?<\w|[imsx-]+[:)])|\\[bB1-9]")
"""Look-around, conditions, word boundaries and back-references, which no finite automaton has, and other forms
that only some engines know."""
_ESCAPE = re.compile(r"\\.", re.DOTALL)
MARK = "~"
LOGGED = "llg error: "
_PLACE = re.compile(r"^at .*?: failed to compile JSON schema: ")
_AFTER_REASON = re.compile(r"\n +1 \||\n\n|\n\d+\.\d\d\.")
_SHOWN = 300


@dataclass(frozen=True)
class Grammar:
    """What a reply is kept to.

    Attributes:
        title: of the schema.
        text: the grammar.
        left_out: keywords of the schema that it does not keep.
    """

    title: str
    text: str
    left_out: tuple[str, ...]

    def trial(self) -> dict[str, Any]:
        """A request whose reply begins with the mark if llama.cpp keeps to the grammar."""
        marked = self.text.replace("start:", f'start: "{MARK}" schema\nschema:', 1)
        return {
            "prompt": "1 + 1 =", "n_predict": 1, "temperature": 0, "grammar": marked,
            "logit_bias": [[MARK, -100]], "cache_prompt": False,
        }  # fmt: skip

    def refused(self, log: str) -> InputError:
        """The error of a grammar that llama.cpp does not take, with the reason that it logged."""
        told = _AFTER_REASON.split(log.partition(LOGGED)[2])[0]
        reason = " ".join(_PLACE.sub("", told).split())[:_SHOWN] or "it does not say why"
        return InputError(f"{self.title} cannot constrain decoding: llama.cpp refuses it: {reason}")


@lru_cache(maxsize=64)
def grammar_of(schema: str) -> Grammar:
    """The grammar of a JSON schema given as JSON text.

    Raises:
        InputError: it is no JSON schema.
    """
    import jsonschema

    data = json.loads(schema)
    title = data.get("title", "the schema")
    try:
        jsonschema.Draft202012Validator.check_schema(data)
    except jsonschema.SchemaError as error:
        raise InputError(f"{title} cannot constrain decoding: {error.message}") from None
    left_out: set[str] = set()
    kept = _kept(data, left_out)
    kept["x-guidance"] = {"whitespace_flexible": False, "coerce_one_of": True}
    text = f"%llguidance {{}}\nstart: %json {json.dumps(kept)}\n"
    return Grammar(title, text, tuple(sorted(left_out)))


def _kept(schema: Any, left_out: set[str]) -> Any:
    """A schema with what the grammar can keep; what it cannot is added to ``left_out``.

    Properties that it does not name are not written, though most schemas would allow them.
    """
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    if "properties" in schema and "additionalProperties" not in schema and not _combined(schema):
        kept["additionalProperties"] = False
        beyond = [name for name in schema.get("required", ()) if name not in schema["properties"]]
        schema = schema | {"properties": schema["properties"] | dict.fromkeys(beyond, True)}
    if "oneOf" in schema and "discriminator" not in schema:
        left_out.add("oneOf")  # kept as anyOf where it cannot tell that no two fit
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
        elif key == "patternProperties" and any(map(_BEYOND_REGULAR.search, value)):
            left_out.add(key)
        elif key in _MAPS:
            kept[key] = {name: _kept(one, left_out) for name, one in value.items()}
        elif key == "pattern" and not _BEYOND_REGULAR.search(value):
            kept[key] = _ESCAPE.sub(_end, value)
        elif key == "format" and value in _FORMATS:
            kept[key] = value
        elif key not in _NOTES:
            left_out.add(key)
    return kept


def _end(found: re.Match[str]) -> str:
    r"""The grammar's word for ``\A``, ``\Z`` and ``\z``; any other escape as it is."""
    return {r"\A": "^", r"\Z": "$", r"\z": "$"}.get(found[0], found[0])


def _combined(schema: dict[str, Any]) -> bool:
    """Whether other schemas add to what an object may hold."""
    return any(key in schema for key in ("allOf", "anyOf", "oneOf", "$ref", "patternProperties"))

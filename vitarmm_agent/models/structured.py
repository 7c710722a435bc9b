"""Structured output: from a schema to constrained JSON, and from JSON to the schema's type."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache, partial
from typing import Any, TypeGuard

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel, ValidationError

from vitarmm_agent.clip import clip
from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError, OutputError
from vitarmm_agent.json_text import json_in
from vitarmm_agent.models.replies import FILTERED, cut_off, filtered, said_and_thought
from vitarmm_agent.prompts import render

Schema = type | dict[str, Any]
"""A pydantic class, a TypedDict, or a JSON schema."""

METHODS = ("json_schema", "json_mode", "function_calling")
MAX_DEPTH = 100
"""How deep a schema may be nested, counted in JSON; llama.cpp's grammars hold little more."""
_SHOWN = 200
_NO_CHARACTER = "\ufffd"
"""What a tokenizer puts in the place of bytes that form no character."""


def json_schema_of(schema: Schema) -> dict[str, Any]:
    """The JSON schema of ``schema``.

    Raises:
        InputError: it is none of the kinds that are understood, or nested too deeply.
    """
    if _is_model(schema):
        return deepcopy(_class_schema(schema))
    if isinstance(schema, dict) and schema.keys() & _keywords():
        if _deeper_than(MAX_DEPTH, schema):
            raise InputError(f"the schema is nested more than {MAX_DEPTH} levels deep; use $ref")
        return schema
    from langchain_core.utils.function_calling import convert_to_json_schema

    try:
        return convert_to_json_schema(schema)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{schema!r} is no schema: give a pydantic class, a TypedDict or a JSON schema"
        ) from error


@cache
def _keywords() -> frozenset[str]:
    """The words of JSON Schema that ask something of a value."""
    import jsonschema

    return frozenset(jsonschema.Draft202012Validator.VALIDATORS)


def _deeper_than(most: int, data: Any) -> bool:
    level = [data]
    for _ in range(most):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [each for held in inner for each in held if isinstance(each, dict | list)]
    return bool(level)


def _is_model(schema: Schema) -> TypeGuard[type[BaseModel]]:
    return isinstance(schema, type) and issubclass(schema, BaseModel)


@cache
def _class_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """Made once per class: it takes pydantic milliseconds."""
    return schema.model_json_schema()


def structured(
    bound: Runnable[Any, AIMessage], schema: Schema, *, include_raw: bool
) -> Runnable[Any, Any]:
    """``bound`` followed by strict parsing of its reply.

    With ``include_raw`` the result is ``{"raw", "parsed", "parsing_error"}`` and a reply that
    cannot be used is data; without, it raises :class:`OutputError`.
    """
    reader = partial(read_with_raw if include_raw else read_reply, schema)

    async def asynchronous(message: BaseMessage) -> Any:
        return reader(message)  # given nothing asynchronous, LangChain would call it in a thread

    return bound | RunnableLambda(reader, asynchronous, name="read_structured")


def asked_in_words(model: BaseChatModel, schema: Schema) -> Runnable[Any, Any]:
    """The same for a model that has no structured output of its own: the schema is in the prompt."""
    words = render("in_json", schema=json.dumps(json_schema_of(schema), ensure_ascii=False))

    def add(messages: list[BaseMessage]) -> list[BaseMessage]:
        last = messages[-1]
        content: Any = f"{last.content}\n\n{words}"
        if isinstance(last.content, list):
            content = [*last.content, {"type": "text", "text": words}]
        return [*messages[:-1], last.model_copy(update={"content": content})]

    async def adding(messages: list[BaseMessage]) -> list[BaseMessage]:
        return add(messages)

    return structured(
        RunnableLambda(add, adding, name="schema_in_prompt") | model, schema, include_raw=True
    )


def check_options(method: str | None, unknown: dict[str, Any]) -> None:
    """Refuse options of ``with_structured_output`` that mean nothing here.

    Raises:
        InputError: an unknown method or option.
    """
    if method is not None and method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if unknown:
        raise InputError(f"with_structured_output does not know {', '.join(sorted(unknown))}")


def read_reply(schema: Schema, message: BaseMessage) -> Any:
    """Data of the form of ``schema`` from a reply: JSON, behind thinking and with words round it or not.

    Raises:
        OutputError: it is cut off, no JSON, or of another form.
    """
    text, _ = said_and_thought(message)
    if cut_off(message):
        raise OutputError(f"the reply was cut off at max_tokens: …{_tail(text)}")
    if filtered(message):
        raise OutputError(f"{FILTERED}: …{_tail(text)}")
    try:
        # A grammar with maxLength lets raw control characters into strings, and bytes such as half
        # a surrogate pair, which it counts as one character though they form none.
        data = json_in(text.replace(_NO_CHARACTER, ""), strict=False)
    except ValueError as error:
        raise OutputError(f"the reply is not JSON ({error}): {_head(text)}") from None
    if not _is_model(schema):
        data = _wrapped(data, json_schema_of(schema))
        if _was_constrained(message) and (complaint := _complaint(json_schema_of(schema), data)):
            raise OutputError(f"the reply is not of the schema ({complaint}): {_head(text)}")
        return data
    try:
        return schema.model_validate(_wrapped(data, _class_schema(schema)))
    except ValidationError as error:
        faults = error_lines(error, got=False)
        raise OutputError(f"the reply is no {schema.__name__} ({faults}): {_head(text)}") from None


def _wrapped(data: Any, schema: dict[str, Any]) -> Any:
    """``data`` as the schema's object: out of one round it, and in the one list that the model left out."""
    fields, required = schema.get("properties", {}), schema.get("required", ())
    if fields and isinstance(data, dict) and len(data) == 1 and not fields.keys() & data.keys():
        (inner,) = data.values()
        data = inner if isinstance(inner, dict | list) else data
    lists = [name for name, field in fields.items() if _is_list(field)]
    if isinstance(data, dict) and len(lists) == 1 and isinstance(data.get(lists[0]), dict):
        data = data | {lists[0]: [data[lists[0]]]}
    bare = isinstance(data, list) or (isinstance(data, dict) and not fields.keys() & data.keys())
    if not bare or len(lists) != 1 or set(required) - set(lists):
        return data
    return {lists[0]: data if isinstance(data, list) else [data]}


def _is_list(field: Any) -> bool:
    return isinstance(field, dict) and field.get("type") == "array"


def _was_constrained(message: BaseMessage) -> bool:
    """Whether a model of this machine was to keep to the schema: its grammar may hold less than that."""
    return bool(message.response_metadata.get("decoding", {}).get("constrained"))


def _complaint(schema: dict[str, Any], data: Any) -> str:
    """What is wrong with data of a JSON schema, or nothing."""
    import jsonschema
    from referencing.exceptions import Unresolvable

    try:
        jsonschema.Draft202012Validator(schema).validate(data)
    except jsonschema.ValidationError as error:
        return f"{'.'.join(map(str, error.absolute_path)) or 'it'}: {error.message}"
    except (RecursionError, Unresolvable) as error:
        return f"its references cannot be followed: {error}"
    return ""


def read_with_raw(schema: Schema, message: BaseMessage) -> dict[str, Any]:
    """The reply, what was read from it, and why nothing was."""
    try:
        return {"raw": message, "parsed": read_reply(schema, message), "parsing_error": None}
    except OutputError as error:
        return {"raw": message, "parsed": None, "parsing_error": error}


def _head(text: str) -> str:
    return repr(clip(text, _SHOWN))


def _tail(text: str) -> str:
    return repr(text[-_SHOWN:])

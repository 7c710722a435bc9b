"""Answers with status 200 that are none: an error object, no choices, a login page, nothing at all.

Routers and proxies send them, and a client that believes the status fails anywhere in its own code. What
is told here of a body is the status that it should have come with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vitarmm_agent.json_text import parse_json

FAILED = 502
"""Status of an answer that cannot be used and says no more than that: it may pass."""
CHAT = "/chat/completions"
CONTENT = {
    CHAT: "choices",
    "/completions": "choices",
    "/embeddings": "data",
    "/responses": "output",
}
"""By the end of a path: the field of the answer that holds what was asked for, a list."""
_WORDS = (
    (401, r"invalid_?api_?key|incorrect_api_key|authenticat|unauthori[sz]ed"),
    (403, r"permission|forbidden|access_denied"),
    (402, r"payment|insufficient_credits|billing"),
    (404, r"not_?found|does_not_exist|no_such_model"),
    (429, r"rate_?limit|too_?many|quota|resource_?exhausted|throttl"),
    (503, r"overloaded|unavailable|capacity"),
    (504, r"timed?_?out|timeout|deadline"),
    (400, r"invalid_?request|invalid_?argument|bad_request|context_length|content_(filter|policy)"),
)
_STATUS_OF_WORDS = [(status, re.compile(words, re.IGNORECASE)) for status, words in _WORDS]


def fault(path: str, body: bytes) -> tuple[int, str] | None:
    """The status that an answer should have had, and what is wrong with it; None for a good one.

    Args:
        path: of the request's address.
        body: the whole answer, which came with status 200.
    """
    field = next((name for end, name in CONTENT.items() if path.endswith(end)), None)
    try:
        data = _read(body)
    except ValueError:
        shown = body[:200].decode("utf-8-sig", "replace")
        return FAILED, f"no JSON: {shown!r}" if shown.strip() else "an empty body"
    told = error_inside(data)
    if told is not None:
        return told
    content = data.get(field) if isinstance(data, dict) and field else None
    if field is None or (isinstance(content, list) and (content or field == "output")):
        return _faulty_choice(content[0]) if content and field == "choices" else None
    if isinstance(data, dict) and field in data:
        return FAILED, f"{field!r}: {content!r}"
    return FAILED, f"no {field!r}: {str(data)[:200]}"


def as_expected(path: str, body: bytes) -> Any:
    """The data of an answer without a fault, as the OpenAI client and LangChain expect it.

    A reply is the assistant's, whatever role it is said to have; and the text that servers of the older
    protocol give is a message.
    """
    data = _read(body)
    for choice in data["choices"] if path.endswith(CHAT) else ():
        if isinstance(choice, dict):
            message = choice.get("message")
            said = message if isinstance(message, dict) else {"content": choice.get("text")}
            choice["message"] = said | {"role": "assistant"}
    return data


def _read(body: bytes) -> Any:
    """JSON, perhaps behind a byte order mark."""
    return parse_json(body.decode("utf-8-sig", "replace"))


def error_inside(data: Any) -> tuple[int, str] | None:
    """Status and words of the error that an answer holds, if it does."""
    if isinstance(data, list) and data:
        data = data[0]  # Google wraps it so
    told = data.get("error") if isinstance(data, Mapping) else None
    return (status_of(told), f"an error inside: {_words_of(told)}") if told else None


def status_of(told: Any) -> int:
    """The status that an error object means: its number, else what its words say."""
    if not isinstance(told, Mapping):
        return _status_of_words(str(told))
    for name in ("code", "status", "status_code", "http_code"):
        number = str(told.get(name))
        if len(number) == 3 and number.isdecimal() and 400 <= int(number) < 600:
            return int(number)
    if isinstance(nested := told.get("error"), Mapping):
        return status_of(nested)
    names = (str(told.get(name) or "") for name in ("code", "type", "status"))
    return _status_of_words(" ".join(names))


def _faulty_choice(choice: Any) -> tuple[int, str] | None:
    """What is wrong with the first choice: routers put the error of a model's host there."""
    told = error_inside(choice)
    if told is not None:
        return told
    if not isinstance(choice, Mapping):
        return FAILED, f"choices[0]: {choice!r}"
    if "text" not in choice and not isinstance(choice.get("message"), Mapping):
        return FAILED, f"choices[0]['message']: {choice.get('message')!r}"
    return (FAILED, "finish_reason 'error'") if choice.get("finish_reason") == "error" else None


def _status_of_words(words: str) -> int:
    return next((status for status, known in _STATUS_OF_WORDS if known.search(words)), FAILED)


def _words_of(told: Any) -> str:
    message = told.get("message") if isinstance(told, Mapping) else None
    return str(message or told)[:500]

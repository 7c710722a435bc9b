"""Failures of a hosted model's server, told apart from bugs without importing its client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType

from vitarmm_agent.clip import one_line
from vitarmm_agent.errors import InternalError, ModelServerError, VitaRMMError
from vitarmm_agent.redaction import holds_secret, redact
from vitarmm_agent.servers.bodies import FAILED, status_of

_CONNECTION_CLASSES = frozenset(
    {
        "APIConnectionError",
        "APITimeoutError",
        "TransportError",  # httpx: refused, reset, timed out, cut off
        "ConnectionError",
        "ConnectTimeout",
        "ReadTimeout",
        "Timeout",
        "TimeoutError",
    }
)
_RESUME = "the run can be resumed"
_UNREADABLE = re.compile(
    r"JSONDecodeError|No generations found in stream|null value for 'choices'|Missing 'choices'"
    r"|Unexpected response type from OpenAI-compatible|No embedding data received",
    re.IGNORECASE,
)
"""What clients say, with the name of the error's class before it, of an answer that is none."""
_READERS = ("langchain_openai.", "openai.", "langchain_core.language_models.chat_models")
"""Modules that take answers apart."""
_READING = frozenset(
    {
        "_create_chat_result",
        "_convert_chunk_to_generation_chunk",
        "_construct_lc_result_from_responses_api",
        "_convert_responses_chunk_to_generation_chunk",
    }
)
"""Functions of theirs that do nothing else, so that whatever is raised there is about the answer."""


@contextmanager
def server_errors() -> Iterator[None]:
    """Raise what a model server caused as a :class:`ModelServerError`, and repeat no secret."""
    try:
        yield
    except Exception as error:
        server_error = as_server_error(error)
        if server_error is not None:
            raise server_error from None  # what the server said may hold the key that it was sent
        if holds_secret(str(error)) and not isinstance(error, VitaRMMError):
            raise InternalError(f"a model raised {type(error).__name__}: {error}") from None
        raise


def as_server_error(error: BaseException) -> ModelServerError | None:
    """The clear form of an error that a model server caused, or None when it did not.

    Recognised by class name (httpx, openai, anthropic, requests and their kin) or by an HTTP
    ``status_code``, along the chain of causes; also where the answer said 200 and held an error or nothing.
    """
    if isinstance(error, ModelServerError):
        return error
    for link in _chain(error):
        if (status := _status(link)) is not None:
            refusal = ModelServerError(_status_message(status, redact(str(error))))
            refusal.status_code = status
            return refusal
        if any(cls.__name__ in _CONNECTION_CLASSES for cls in type(link).__mro__):
            return ModelServerError(
                f"the model server cannot be reached or stopped answering "
                f"({type(error).__name__}: {_short(redact(str(error)))}); "
                f"check that it runs: {_RESUME}"
            )
    return None


def _status(error: BaseException) -> int | None:
    """The status of a refusal: the answer's, or that of the error object inside an answer.

    Clients raise for such an object with what it says: ``ValueError({"message": …, "code": 429})``, or
    with the ``body`` that came in a stream.
    """
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600:
        return status
    told = getattr(error, "body", None) or next(iter(error.args), None)
    if isinstance(told, Mapping) and ("message" in told or "error" in told):
        return status_of(told)
    unreadable = _UNREADABLE.search(f"{type(error).__name__}: {error}") or _in_a_reader(error)
    return FAILED if unreadable else None


def _in_a_reader(error: BaseException) -> bool:
    """Whether a client looked in an answer for what is not there, and did not expect that."""
    if not isinstance(error, (LookupError, AttributeError, TypeError, ValueError)):
        return False
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if any(frame.f_code.co_name in _READING for frame in frames if _is_reader(frame)):
        return True
    looked = isinstance(error, (LookupError, AttributeError))
    return looked and bool(frames) and _is_reader(frames[-1])


def _is_reader(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_READERS)


def _status_message(status: int, reason: str) -> str:
    if status in (401, 403):
        remedy = "check the API key"
    elif status == 404:
        remedy = "check the model name and base_url"
    elif status == 429:
        remedy = "it is busy or the quota is used up: wait a little"
    elif status < 500:
        remedy = "it did not accept the request"
    else:
        remedy = "it failed"
    return f"the model server answered {status} ({_short(reason)}); {remedy}; {_RESUME}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _short(text: str) -> str:
    return one_line(text, 200) or "no reason given"

"""Failures of a hosted model's server, told apart from bugs without importing its client."""

from __future__ import annotations

from collections.abc import Iterator

from vitarmm_agent.errors import ModelServerError
from vitarmm_agent.redaction import redact

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


def as_server_error(error: BaseException) -> ModelServerError | None:
    """The clear form of an error that a model server caused, or None when it did not.

    Recognised by class name (httpx, openai, anthropic, requests and their kin) or by an HTTP
    ``status_code``, along the chain of causes.
    """
    if isinstance(error, ModelServerError):
        return error
    for link in _chain(error):
        status = getattr(link, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
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


def _short(text: str, limit: int = 200) -> str:
    line = " ".join(text.split()) or "no reason given"
    return line if len(line) <= limit else f"{line[: limit - 1]}…"

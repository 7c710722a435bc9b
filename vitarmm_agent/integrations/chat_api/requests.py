"""What clients send to the chat completions, read with suspicion; and errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from vitarmm_agent.errors import InputError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.memory_store.namespaces import MAX_LABEL, check_text
from vitarmm_agent.models.blocks import ImageSource, read_block
from vitarmm_agent.problem import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

MODEL = "vitarmm"
"""The one model that is served: the agent as the operator set it up."""
MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request: room for two of the largest images, or for many of the usual size."""
UNMET = ("tools", "functions", "audio", "logprobs", "top_logprobs", "logit_bias", "prediction",
         "stop", "web_search_options")  # fmt: skip
"""What would change what a reply is, and cannot be had here: refused unless it asks for nothing."""
LEFT = "the client closed the request"
USER_HEADER = "x-openwebui-user-id"
"""Where Open WebUI says who asks, when it is told to."""


class ApiError(Exception):
    """What goes wrong for a client: a status, and a body in the shape of OpenAI's errors."""

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is wrong, with what it concerns."""
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """As data."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        shown = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": shown}

    @property
    def response(self) -> Response:
        """As an answer."""
        return JSONResponse(self.body, self.status, self.headers)


@dataclass(frozen=True)
class ChatRequest:
    """One chat completion.

    Attributes:
        problem: the last message of the user; its images are data URLs.
        stream: answer in server-sent events.
        include_usage: tell tokens at the end of the stream.
        user: who asks, as the client says; fills the namespace.
    """

    problem: Problem
    stream: bool = False
    include_usage: bool = False
    user: str = ""


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        ApiError: there is none, it is too large or nested too deeply.
    """
    read = bytearray()
    try:
        async for part in request.stream():
            read += part
            if len(read) > MAX_BODY:
                limit = MAX_BODY // 2**20
                raise ApiError(f"a request may have {limit} MiB; send less", 413)
    except ClientDisconnect:
        raise ApiError(LEFT, 499) from None
    try:
        sent = parse_json(bytes(read))
    except ValueError as error:  # no UTF-8 is one too
        raise ApiError(f"the request is no JSON: {error}") from None
    if not isinstance(sent, dict):
        raise ApiError(f"the request must be a JSON object, got {sent!r:.100}")
    return sent


def read_chat(sent: Mapping[str, Any], forwarded_user: str = "") -> ChatRequest:
    """A chat completion as it was asked for.

    Sampling (temperature, max_tokens …) is the operator's, and what is asked for of it is passed over,
    since chat pages send it always.

    Raises:
        ApiError: a field cannot be used, the model is another, or something is asked for that cannot
            be had.
        InputError: the message cannot be used as a problem.
    """
    _check_model(sent.get("model"))
    for name in UNMET:
        if sent.get(name):
            raise ApiError(
                f"{name} cannot be had of this server; leave it out",
                param=name,
                code="unsupported_parameter",
            )
    if sent.get("n") not in (None, 1):
        raise ApiError(f"n must be 1, got {sent['n']!r:.50}", param="n")
    if sent.get("modalities") not in (None, ["text"]):
        raise ApiError("modalities: only text is answered", param="modalities")
    form = sent.get("response_format")
    if form is not None and not (isinstance(form, dict) and form.get("type") == "text"):
        raise ApiError("response_format: only text is answered", param="response_format")
    options = _field(sent, "stream_options", dict, {})
    return ChatRequest(
        problem=_problem(_field(sent, "messages", list, [])),
        stream=_field(sent, "stream", bool, False),
        include_usage=options.get("include_usage") is True,
        user=read_user(sent, forwarded_user),
    )


def read_user(sent: Mapping[str, Any], forwarded_user: str = "") -> str:
    """Who asks, as the client says; a label of a namespace.

    Raises:
        ApiError: it is no text, or no label.
    """
    user = _field(sent, "user", str, "") or forwarded_user
    try:
        return check_text(user, "user", MAX_LABEL) if user else ""
    except InputError as error:
        raise ApiError(str(error), param="user") from None


def _check_model(model: Any) -> None:
    if not isinstance(model, str):
        raise ApiError(f"model must be {MODEL!r}, got {model!r:.100}", param="model")
    if model != MODEL:
        raise ApiError(
            f"there is no model {model[:100]!r} here; this server has {MODEL!r}",
            404,
            param="model",
            code="model_not_found",
        )


def _field(sent: Mapping[str, Any], name: str, kind: type[Any], default: Any) -> Any:
    value = sent.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ApiError(f"{name} must be {kind.__name__}, got {value!r:.100}", param=name)
    return value


def _problem(messages: list[Any]) -> Problem:
    """The last message of the user; what stands before it is not read."""
    asked = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    if not asked:
        raise ApiError("messages hold none of the role 'user'", param="messages")
    content = asked[-1].get("content")
    blocks = content if isinstance(content, list) else [content]
    read = [part for block in blocks if (part := read_block(block)) is not None]
    images = [part.source for part in read if isinstance(part, ImageSource)]
    if any(image[:5].lower() != "data:" for image in images):
        raise InputError("this server fetches nothing; send each image as a data: URL")
    texts = [part for part in read if isinstance(part, str)]
    return Problem.parse({"text": "\n".join(texts), "images": images})

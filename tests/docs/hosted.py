"""A hosted model, as its clients see it: OpenAI's chat completions, whole or streamed, by a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.docs.conftest import ATTEMPT, JUDGEMENT, LESSON, opening

SOLVER = "solve_problem"


def hosted_model(*, busy: int = 0) -> tuple[Starlette, list[dict[str, Any]]]:
    """A server over the script's roles, and what it was sent.

    Whoever has the tool :data:`SOLVER` is told to use it before the answer. The first ``busy`` requests are
    answered 503.
    """
    asked: list[dict[str, Any]] = []

    async def complete(request: Request) -> Response:
        body = await request.json()
        asked.append(body)
        if len(asked) <= busy:
            return JSONResponse({"error": {"message": "still loading"}}, 503)
        if body.get("stream"):
            return StreamingResponse(_pieces(body), media_type="text/event-stream")
        return JSONResponse(_whole(body))

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])]), asked


def _message(body: dict[str, Any]) -> dict[str, Any]:
    messages = body["messages"]
    tools = [tool["function"]["name"] for tool in body.get("tools", ())]
    if SOLVER in tools and messages[-1]["role"] == "user":
        problem = json.dumps({"problem": messages[-1]["content"]})
        call = {"name": SOLVER, "arguments": problem}
        calls = [{"index": 0, "id": "call-1", "type": "function", "function": call}]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    prompt = str(messages)
    if opening("judge") in prompt:
        return {"role": "assistant", "content": json.dumps(JUDGEMENT)}
    if opening("remember_system") in prompt:
        return {"role": "assistant", "content": json.dumps(LESSON)}
    return {"role": "assistant", "content": ATTEMPT}


def _finish(message: dict[str, Any]) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _whole(body: dict[str, Any]) -> dict[str, Any]:
    message = _message(body)
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(message)}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _pieces(body: dict[str, Any]) -> Iterator[str]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    message = _message(body)
    for delta, finish in ((message, None), ({}, _finish(message))):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    yield "data: [DONE]\n\n"

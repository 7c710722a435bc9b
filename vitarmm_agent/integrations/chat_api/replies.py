"""What the chat completions answer: pure shapes, from the events and the result of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from vitarmm_agent.integrations.chat_api.requests import MODEL
from vitarmm_agent.nodes.events import Event
from vitarmm_agent.problem import standing_attempt
from vitarmm_agent.result import Result

PREFIX = "chatcmpl-"
DONE = b"data: [DONE]\n\n"
BEAT = b": still here\n\n"


def run_of(completion_id: str) -> str:
    """The thread of the run that a completion was."""
    return completion_id.removeprefix(PREFIX)


class Thinking:
    """What a run does before its answer stands, as text: its attempts, and what speaks against them.

    An attempt may be taken back, so that its text is no answer while the run goes on. Where there is one
    attempt only, ``certain``, its text is the answer at once.
    """

    def __init__(self, *, certain: bool) -> None:
        """Begin a run."""
        self._certain = certain

    def delta(self, event: Event) -> dict[str, str]:
        """What an event adds to the reply; nothing for most."""
        if event["event"] == "attempt_token":
            answer = self._certain and not event["thinking"]
            return {"content" if answer else "reasoning_content": event["text"]}
        if event["event"] == "verdict" and not self._certain:
            grounds = f": {event['message']}" if event["message"] else ""
            return {"reasoning_content": f"\n({event['verdict']} by {event['source']}{grounds})\n"}
        return {}


def message_of(result: Result, reasoning: str) -> dict[str, Any]:
    """The message that answers: the text of the attempt that stands; a refusal where it holds no answer."""
    attempt = standing_attempt(result.answer, result.attempts)
    message: dict[str, Any] = {"role": "assistant", "content": attempt.text, "refusal": None}
    if attempt.silent:
        message |= {"content": None, "refusal": attempt.silent}
    return message | ({"reasoning_content": reasoning} if reasoning else {})


def completion(result: Result, reasoning: str) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {"index": 0, "message": message_of(result, reasoning), "logprobs": None,
              "finish_reason": _finish(result)}  # fmt: skip
    head = _head(result.thread_id, "chat.completion")
    return {**head, "choices": [choice], "usage": _usage(result), "vitarmm": _told(result)}


def chunk(thread: str, delta: dict[str, Any]) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return _event({**_head(thread, "chat.completion.chunk"), "choices": [choice]})


def last_chunks(result: Result, *, answered: bool, include_usage: bool) -> Iterator[bytes]:
    """The end of a stream: the answer, line by line, unless it was sent; how it ended; what it cost."""
    message = message_of(result, "")
    if message["refusal"]:
        yield chunk(result.thread_id, {"refusal": message["refusal"]})
    elif not answered:
        for line in message["content"].splitlines(keepends=True):
            yield chunk(result.thread_id, {"content": line})
    head = _head(result.thread_id, "chat.completion.chunk")
    choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish(result)}
    yield _event({**head, "choices": [choice], "vitarmm": _told(result)})
    if include_usage:
        yield _event({**head, "choices": [], "usage": _usage(result)})
    yield DONE


def error_event(body: dict[str, Any]) -> bytes:
    """An error in the middle of a stream, which ends by it."""
    return _event(body)


def models() -> dict[str, Any]:
    """The models of this server."""
    return {"object": "list", "data": [model()]}


def model() -> dict[str, Any]:
    """The one there is."""
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": "vitarmm-agent"}


def _head(thread: str, kind: str) -> dict[str, Any]:
    return {"id": PREFIX + thread, "object": kind, "created": int(time.time()), "model": MODEL}


def _finish(result: Result) -> str:
    return "length" if standing_attempt(result.answer, result.attempts).cut else "stop"


def _usage(result: Result) -> dict[str, int]:
    return {
        "prompt_tokens": result.usage.input_tokens,
        "completion_tokens": result.usage.output_tokens,
        "total_tokens": result.usage.total_tokens,
    }


def _told(result: Result) -> dict[str, Any]:
    """What OpenAI's shape has no word for."""
    return {
        "run": result.thread_id,
        "status": result.status,
        "answer": result.answer,
        "stopped_because": result.stopped_because,
    }


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"

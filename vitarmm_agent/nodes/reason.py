"""reason: one attempt, in numbered steps, with a final answer."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from vitarmm_agent.answers import parse_steps, read_answer
from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.buffer import MemoryBuffer
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.models.calls import Reply, ask, cut_off, unwrapped
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.events import TokenEmitter
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.prompts import render
from vitarmm_agent.state import (
    ReasoningState,
    all_attempts,
    all_feedback,
    current_problem,
    record_of,
)


def reason(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Ask the reasoner once."""
    problem = current_problem(state)
    number = state["iteration"]
    recalled = record_of(state.get("recalls"), number) or {}
    entries = [MemoryEntry.model_validate(r["entry"]) for r in recalled.get("entries", [])]
    tail = attempt_text(entries, all_attempts(state, last=1), all_feedback(state, last=1))
    prompt = prompt_data(problem, tail)
    tokens = TokenEmitter(run.emit, run.name, number)
    listener = tokens.handler(force=run.stream_tokens)
    if problem.images:
        messages = yield from in_thread(prompt_messages, prompt, problem, deps.media)
    else:
        messages = prompt_messages(prompt, problem, deps.media)
    reply = yield from ask(deps.reasoner, messages, callbacks=[listener])
    tokens.finish(reply.message.text)
    attempt = read_attempt(problem, number, reply).model_copy(
        update={
            "model": model_name(deps.reasoner),
            "prompt": tuple(prompt),
            "prompt_hash": prompt_hash(prompt),
            "recalled": tuple(entry.id for entry in entries),
        }
    )
    return {"attempts": [attempt.model_dump(mode="json")]}


def attempt_text(
    entries: list[MemoryEntry], attempts: list[Attempt], feedback: list[Feedback]
) -> str:
    """What changes between attempts: memory, then the last attempt and what is wrong with it."""
    failed = bool(feedback) and feedback[-1].verdict == "fail"
    return render(
        "attempt",
        memory=MemoryBuffer(entries).to_prompt(),
        previous=attempts[-1].text if failed else "",
        feedback=grounds(feedback[-1]) if failed else "",
    )


def grounds(feedback: Feedback) -> str:
    """Why an attempt failed, in words for the model."""
    errors = [e.in_words for e in feedback.errors if e.message not in feedback.message]
    return "\n".join(dict.fromkeys(part for part in (feedback.message, *errors) if part))


def prompt_data(problem: Problem, tail: str) -> list[dict[str, Any]]:
    """The prompt as data: what stays the same first, so that its key-value cache can be reused."""
    images = [{"type": "image", "sha256": i.sha256, "mime": i.mime} for i in problem.images]
    return [
        {"role": "system", "content": render("reason_system")},
        {"role": "user", "content": [*images, {"type": "text", "text": problem.to_prompt()},
                                     {"type": "text", "text": tail}]},
    ]  # fmt: skip


def prompt_messages(
    prompt: list[dict[str, Any]], problem: Problem, media: MediaStore
) -> list[BaseMessage]:
    """The prompt as LangChain messages, its images filled in."""
    system, user = prompt
    texts = [part["text"] for part in user["content"] if part["type"] == "text"]
    images = [_image_block(image.sha256, media) for image in problem.images]
    text = "\n\n".join(texts)
    content: Any = [*images, {"type": "text", "text": text}] if images else text
    return [SystemMessage(system["content"]), HumanMessage(content)]


def prompt_hash(prompt: list[dict[str, Any]]) -> str:
    """SHA-256 of the prompt data."""
    return hashlib.sha256(
        json.dumps(prompt, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).hexdigest()


def read_attempt(problem: Problem, number: int, reply: Reply) -> Attempt:
    """Steps and final answer of a reply.

    One that was cut off at the limit of new tokens answers only by what it commits to in so many
    words; ``metadata["cut"]`` is then true.
    """
    text, cut = reply.message.text, cut_off(reply.message)
    return Attempt(
        number=number,
        text=text,
        steps=parse_steps(text),
        answer=read_answer(problem, text, cut=cut),
        usage=reply.usage,
        seconds=round(reply.seconds, 4),
        metadata=_plain(reply.message) | ({"cut": True} if cut else {}),
    )


def model_name(model: Any) -> str:
    """Name of a chat model, as it calls itself."""
    model = unwrapped(model)
    for attribute in ("model_name", "model", "name"):
        value = getattr(model, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(model).__name__


def _image_block(sha256: str, media: MediaStore) -> dict[str, Any]:
    data, mime = media.read(sha256)
    return {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": mime}


def _plain(message: AIMessage) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(message.response_metadata, default=str))
    return plain

"""The problem of a run, from either form of input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage

from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.problem import Problem
from vitarmm_agent.state import ReasoningState


def problem_of(state: ReasoningState, media: MediaStore, *, again: bool = False) -> Flow[Problem]:
    """The problem in ``state``, its images stored by content hash.

    Args:
        state: the input, on top of what the thread holds already.
        media: where images are kept.
        again: the thread has had a run; then a human message that came last is the new problem, and
            the one in state is the old.

    Raises:
        InputError: there is neither a problem nor a human message, or one that cannot be used.
    """
    messages = state.get("messages")
    spoken = bool(again and messages and isinstance(messages[-1], HumanMessage))
    if state.get("problem") and not spoken:
        problem = Problem.parse(state["problem"])
    elif messages:
        problem = _from_messages(messages)
    else:
        raise InputError(
            "the input has neither a problem nor messages; "
            'pass {"problem": {"text": "…"}} or {"messages": [HumanMessage("…")]}'
        )
    if not problem.images:
        return problem
    return (yield from in_thread(store_images, problem, media))


def store_images(problem: Problem, media: MediaStore) -> Problem:
    """The same problem with its images in ``media`` and referred to by hash."""
    if not problem.images:
        return problem
    images = tuple(media.put(image) for image in problem.images)
    derived = problem.id == f"p-{problem.fingerprint[:12]}"
    return Problem.model_validate(
        {**problem.model_dump(), "images": images, "id": "" if derived else problem.id}
    )


def _from_messages(messages: Sequence[AnyMessage]) -> Problem:
    human = next((m for m in reversed(messages) if isinstance(m, HumanMessage)), None)
    if human is None:
        kinds = ", ".join(message.type for message in messages)
        raise InputError(f"messages hold no human message, only: {kinds}; add a HumanMessage")
    texts: list[str] = []
    images: list[str] = []
    for block in human.content_blocks:
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "image":
            images.append(_image_source(dict(block)))
        else:
            raise InputError(
                f"content block of type {block['type']!r} cannot be used; use text and image blocks"
            )
    return Problem.parse({"text": "\n".join(texts), "images": images})


def _image_source(block: dict[str, Any]) -> str:
    if "base64" in block:
        return f"data:{block.get('mime_type', 'image/png')};base64,{block['base64']}"
    if "url" in block:
        return str(block["url"])
    raise InputError(f"image block has neither base64 data nor a url; it has: {sorted(block)}")

"""The problem of a run, from either form of input."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import AnyMessage, HumanMessage

from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.models.blocks import ImageSource, read_block
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
    blocks = [human.content] if isinstance(human.content, str) else human.content
    read = [part for block in blocks if (part := read_block(block)) is not None]
    texts = [part for part in read if isinstance(part, str)]
    images = [part.source for part in read if isinstance(part, ImageSource)]
    return Problem.parse({"text": "\n".join(texts), "images": images})

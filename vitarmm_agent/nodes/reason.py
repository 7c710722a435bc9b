"""reason: one attempt, in numbered steps, with a final answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from vitarmm_agent.answers import parse_steps, read_answer
from vitarmm_agent.answers.steps import is_final_line, is_numbered
from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.buffer import MemoryBuffer, example_turns
from vitarmm_agent.memory_store.ranking import Candidate, fitting
from vitarmm_agent.memory_store.schema import MAX_EXAMPLE_IMAGES, MemoryEntry
from vitarmm_agent.models.calls import Reply, ask
from vitarmm_agent.models.recorded import model_name, prompt_messages, reported
from vitarmm_agent.models.replies import cut_off, unfinished
from vitarmm_agent.models.retried import continues_reply, sampling
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.events import TokenEmitter
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.prompts import render
from vitarmm_agent.state import (
    ReasoningState,
    all_feedback,
    current_problem,
    record_of,
)
from vitarmm_agent.verifiers.policy import FACTORIES

MAX_IMAGE_BYTES = 8 * 1024 * 1024
"""Bytes of all images of examples in one prompt."""


def reason(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Ask the reasoner once."""
    problem = current_problem(state)
    number = state["iteration"]
    entries, examples = shown_entries(state)
    failed = next((f for f in all_feedback(state, last=1) if f.verdict == "fail"), None)
    kept, model = failed.mended if failed else "", deps.reasoner
    prefilled = kept if continues_reply(model) else ""
    tail = attempt_text(entries, failed, kept=kept if not prefilled else "")
    if any(entry.example and entry.example.images for entry in examples):
        examples = yield from in_thread(pictured, examples, problem, deps.media)
    prompt = prompt_data(problem, tail, examples, prefilled)
    if failed and not kept:
        model = sampling(model, deps.retry_temperature, f"{run.name}/{number}")
    tokens = TokenEmitter(run.emit, run.name, number)
    tokens.piece(prefilled, kept=True)
    listener = tokens.handler(force=run.stream_tokens)
    if problem.images:
        messages = yield from in_thread(prompt_messages, prompt, deps.media)
    else:
        messages = prompt_messages(prompt, deps.media)
    reply = yield from ask(model, messages, callbacks=[listener])
    tokens.finish(reply)
    kept = prefilled or joined(kept, reply.said)
    attempt = read_attempt(problem, number, reply, kept).model_copy(
        update={
            "model": model_name(deps.reasoner),
            "prompt": tuple(prompt),
            "prompt_hash": prompt_hash(prompt),
            "recalled": tuple(entry.id for entry in (*examples, *entries)),
        }
    )
    return {"attempts": [attempt.model_dump(mode="json")]}


def shown_entries(state: ReasoningState) -> tuple[list[MemoryEntry], list[MemoryEntry]]:
    """What this iteration recalled: what is shown as text, and what as worked examples."""
    record = record_of(state.get("recalls"), state["iteration"]) or {}
    texts: list[MemoryEntry] = []
    examples: list[MemoryEntry] = []
    for found in record.get("entries", []):
        entry = MemoryEntry.model_validate(found["entry"])
        (examples if found.get("as_example") and entry.example else texts).append(entry)
    return texts, examples


def pictured(
    examples: Sequence[MemoryEntry], problem: Problem, media: MediaStore
) -> list[MemoryEntry]:
    """The examples as they can be shown, best first: without images that are not there or do not fit.

    An example is shown its images whole or not at all, and only to a problem that has images itself:
    another may be before a model that reads text only.
    """
    shown: list[MemoryEntry] = []
    room, size = (MAX_EXAMPLE_IMAGES, MAX_IMAGE_BYTES) if problem.images else (0, 0)
    for entry in examples:
        images = entry.example.images if entry.example else ()
        if images:
            bytes_of = _bytes_of(images, media) if len(images) <= room else size + 1
            if bytes_of <= size:
                room, size = room - len(images), size - bytes_of
            else:
                entry = _as_text(entry)
        shown.append(entry)
    return shown


def _bytes_of(images: Sequence[str], media: MediaStore) -> int:
    """Bytes of stored images; more than are ever shown where one is missing or damaged."""
    try:
        return sum(len(media.read(sha256)[0]) for sha256 in images)
    except InputError:
        return MAX_IMAGE_BYTES + 1


def _as_text(entry: MemoryEntry) -> MemoryEntry:
    assert entry.example is not None
    return entry.model_copy(update={"example": entry.example.model_copy(update={"images": ()})})


def attempt_text(
    entries: list[MemoryEntry], failed: Feedback | None = None, *, kept: str = ""
) -> str:
    """What changes between attempts: memory, then what is known since the last one failed.

    The failed attempt itself is not shown: a model repeats what it sees. ``kept`` is what is right of it,
    for a model that cannot go on by itself.
    """
    hint = hints(failed) if failed else ""
    return render("attempt", memory=MemoryBuffer(entries).to_prompt(), kept=kept, hint=hint)


def hints(failed: Feedback) -> str:
    """What a person, or a check of the caller's own, says of a failed attempt.

    What the verifiers of this package say is about the text of the attempt, which is not shown.
    """
    parts = (p for p in failed.parts or (failed,) if p.verdict == "fail" and not p.mended)
    told = [part for part in parts if part.source == "human" or part.source not in FACTORIES]
    words = [words for part in told for words in (part.message, *(e.message for e in part.errors))]
    return "\n".join(dict.fromkeys(filter(None, words)))


def prompt_data(
    problem: Problem, tail: str, examples: Sequence[MemoryEntry] = (), prefilled: str = ""
) -> list[dict[str, Any]]:
    """The prompt as data: what stays the same first, so that its key-value cache can be reused.

    Args:
        problem: what is asked.
        tail: what changes between attempts.
        examples: entries with worked examples, best first: earlier turns of the conversation, the
            best of them last.
        prefilled: the beginning of the reply, from which the model goes on.
    """
    own = [{"type": "image", "sha256": i.sha256, "mime": i.mime} for i in problem.images]
    turns: list[dict[str, Any]] = [{"role": "system", "content": render("reason_system")}]
    for entry in reversed(examples):
        question, solution = example_turns(entry)
        asked = [_like(problem, question).to_prompt(), attempt_text([])]
        images = entry.example.images if entry.example else ()
        pictures = [{"type": "image", "sha256": sha256} for sha256 in images]
        parts = [*pictures, *({"type": "text", "text": text} for text in asked)]
        turns += [{"role": "user", "content": parts}, {"role": "assistant", "content": solution}]
    texts = [{"type": "text", "text": text} for text in (problem.to_prompt(), tail)]
    turns.append({"role": "user", "content": [*own, *texts]})
    return [*turns, *([{"role": "assistant", "content": prefilled}] if prefilled else [])]


def prompt_shown(
    problem: Problem, entries: Sequence[MemoryEntry], media: MediaStore
) -> list[dict[str, Any]]:
    """The prompt of a first attempt to which these entries alone are recalled.

    Those with a worked example are shown by it, where it is not too long, and others as text.
    """
    worked = [Candidate(entry, 1.0) for entry in entries if entry.example]
    examples = [found.entry for found in fitting(problem.text, worked, len(worked))]
    texts = [entry for entry in entries if entry.example is None]
    return prompt_data(problem, attempt_text(texts), pictured(examples, problem, media))


def _like(problem: Problem, text: str) -> Problem:
    """Another problem, asked as this one is."""
    update = {"text": text, "images": (), "choices": ()}
    if problem.answer_type == "choice":
        update["answer_type"] = "text"
    return problem.model_copy(update=update)


def prompt_hash(prompt: list[dict[str, Any]]) -> str:
    """SHA-256 of the prompt data."""
    return hashlib.sha256(
        json.dumps(prompt, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).hexdigest()


def read_attempt(problem: Problem, number: int, reply: Reply, kept: str = "") -> Attempt:
    """Steps and final answer of a reply that goes on from ``kept``.

    One that was cut off at the limit of new tokens answers only by what it commits to in so many
    words; ``metadata["cut"]`` is then true.
    """
    text, cut = kept + reply.said, cut_off(reply.message)
    answer = None
    if not reply.silent:
        answer = read_answer(problem, text, cut=cut, unfinished=unfinished(reply.message))
    return Attempt(
        number=number,
        text=text,
        thought=reply.thought,
        silent=reply.silent,
        kept=len(kept),
        steps=parse_steps(text),
        answer=answer,
        usage=reply.usage,
        seconds=round(reply.seconds, 4),
        metadata=reported(reply.message) | ({"cut": True} if cut else {}),
    )


def joined(kept: str, reply: str) -> str:
    """What a reply goes on from that was asked for in the prompt, up to the reply itself.

    Nothing, where the model wrote it all again.
    """
    if not kept or reply.lstrip().startswith(kept.split("\n", 1)[0].strip()):
        return ""
    new_line = is_numbered(reply) or is_final_line(reply.strip().split("\n", 1)[0])
    return f"{kept}\n" if new_line and not reply.startswith("\n") else kept

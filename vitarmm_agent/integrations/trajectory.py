"""The messages of a tool-calling agent as an attempt, and what memory adds to what its model sees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from vitarmm_agent.clip import clip
from vitarmm_agent.memory_store.buffer import MemoryBuffer, example_turns
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.models.calls import Reply, usage_of
from vitarmm_agent.models.replies import said_and_thought, silent_because
from vitarmm_agent.nodes.reason import (
    attempt_text,
    hints,
    prompt_data,
    prompt_hash,
    read_attempt,
    shown_entries,
)
from vitarmm_agent.problem import Attempt, Feedback, Step, Usage
from vitarmm_agent.prompts import render
from vitarmm_agent.state import (
    ReasoningState,
    all_feedback,
    current_problem,
    records_of,
)

MAX_CALLS = 40
"""Calls of tools that an attempt tells of."""
MAX_WORDS = 600
"""Characters of one of them: its arguments, its result."""


class TrajectoryState(ReasoningState, total=False):
    """What a middleware knows of the problem an agent is at work on.

    Attributes:
        question: id of the message that asks.
        after: id of the last message before the attempt under way.
    """

    question: str
    after: str


def attempt_of(
    state: TrajectoryState, messages: Sequence[AnyMessage], structured: Any = None
) -> Attempt:
    """All that was said and done since :attr:`TrajectoryState.after`, as one attempt.

    Its text and answer are those of the last message, whose steps are numbered behind the calls of
    tools: see :func:`with_calls`.

    Args:
        state: problem, iteration, and what was recalled.
        messages: of the agent.
        structured: its structured response, which stands for a last message that says nothing.
    """
    problem, number = current_problem(state), state["iteration"]
    begun = place_of(messages, state.get("after", ""), state.get("question", ""))
    own = list(messages[begun + 1 :])
    calls = _calls(own)
    reply = _reply(own, structured)
    attempt = read_attempt(problem, number, reply)
    texts, examples = shown_entries(state)
    prompt = prompt_data(problem, attempt_text(texts), examples)[1:]
    steps = (step.model_copy(update={"number": step.number + len(calls)}) for step in attempt.steps)
    return attempt.model_copy(
        update={
            "steps": tuple(steps),
            "model": str(reply.message.response_metadata.get("model_name", "")),
            "prompt": tuple(prompt),
            "prompt_hash": prompt_hash(prompt),
            "recalled": tuple(entry.id for entry in (*examples, *texts)),
            "metadata": attempt.metadata | {"tool_calls": calls},
        }
    )


def with_calls(attempt: Attempt) -> Attempt:
    """The attempt with its calls of tools as its first steps, for lessons about tools.

    Verifiers see it without: a tool's result is no claim of the model's.
    """
    called = enumerate(attempt.metadata.get("tool_calls", []), start=1)
    steps = [
        Step(number=number, text=f"called {call['name']}({call['args']}): {call['result']}")
        for number, call in called
    ]
    return attempt.model_copy(update={"steps": (*steps, *attempt.steps)})


def with_memory(state: TrajectoryState, messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The messages as the model sees them: with what was recalled, and what is known of a fail.

    Worked examples are earlier turns before the question; entries stand behind its text. What spoke
    against the attempt before stands where that attempt began.
    """
    shown = list(messages)
    texts, examples = shown_entries(state)
    question = place_of(shown, state.get("question", ""))
    if question < 0:
        return shown
    if hint := _hint(state):
        _say(shown, place_of(shown, state.get("after", ""), state.get("question", "")), hint)
    if texts:
        _say(shown, question, MemoryBuffer(texts).to_prompt())
    shown[question:question] = [turn for one in reversed(examples) for turn in _turns(one)]
    return shown


def place_of(messages: Sequence[AnyMessage], *ids: str) -> int:
    """Index of the first of these messages that is there, else of the last human one, else -1."""
    places = {message.id: index for index, message in enumerate(messages) if message.id}
    known = next((places[name] for name in ids if name in places), None)
    if known is not None:
        return known
    human = (i for i in range(len(messages) - 1, -1, -1) if isinstance(messages[i], HumanMessage))
    return next(human, -1)


def _hint(state: TrajectoryState) -> str:
    """What is said of the attempt before, which failed; the model does not see its last message."""
    failed = next(iter(all_feedback(state, last=1)), None)
    if failed is None or len(records_of(state, "feedback")) >= state["iteration"]:
        return ""
    return render("again", kept=failed.mended, hint=_grounds(failed))


def _grounds(failed: Feedback) -> str:
    return hints(failed) or failed.message


def _say(messages: list[AnyMessage], at: int, text: str) -> None:
    """Add ``text`` to the human message there, or behind a message of another kind."""
    message = messages[at]
    if not isinstance(message, HumanMessage):
        messages.insert(at + 1, HumanMessage(text))
        return
    content = message.content
    added: Any = (
        f"{content}\n\n{text}"
        if isinstance(content, str)
        else [*content, {"type": "text", "text": text}]
    )
    messages[at] = message.model_copy(update={"content": added})


def _turns(entry: MemoryEntry) -> list[AnyMessage]:
    question, solution = example_turns(entry)
    return [HumanMessage(question), AIMessage(solution)]


def _calls(messages: Sequence[AnyMessage]) -> list[dict[str, str]]:
    results = {m.tool_call_id: m for m in messages if isinstance(m, ToolMessage)}
    found: list[dict[str, str]] = []
    for message in messages:
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            result = results.get(call["id"] or "")
            failed = result is not None and result.status == "error"
            said = "no result" if result is None else result.text
            found.append(
                {
                    "name": call["name"][:MAX_WORDS],
                    "args": clip(
                        json.dumps(call["args"], ensure_ascii=False, default=str), MAX_WORDS
                    ),
                    "result": clip(f"error: {said}" if failed else said, MAX_WORDS),
                }
            )
    return found[:MAX_CALLS]


def _reply(messages: Sequence[AnyMessage], structured: Any) -> Reply:
    """The last message as a reply, with what all of them cost."""
    usage = sum((usage_of(m) for m in messages if isinstance(m, AIMessage)), Usage())
    last: AnyMessage = messages[-1] if messages else AIMessage("")
    said, thought = said_and_thought(last)
    if not isinstance(last, AIMessage) or last.tool_calls:
        said = said if structured is None else _in_words(structured)
        last = AIMessage(said)
    return Reply(last, said, thought, silent_because(last, said, thought), usage, 0.0)


def _in_words(structured: Any) -> str:
    """A structured response as a line for each field, and its answer: ``answer``, or its only one."""
    data = structured.model_dump(mode="json") if isinstance(structured, BaseModel) else structured
    if not isinstance(data, dict) or not data:
        return f"Answer: {data}"
    answer = data["answer"] if "answer" in data else next(iter(data.values()))
    lines = [f"{name}: {value}" for name, value in data.items()]
    return "\n".join([*lines, f"Answer: {answer}"] if "answer" in data or len(data) == 1 else lines)

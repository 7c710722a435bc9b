"""The memory writer: a chat model asked, in constrained JSON, what to remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import OutputError
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.models.calls import ask_structured
from vitarmm_agent.problem import Attempt, Feedback, Problem, Usage
from vitarmm_agent.prompts import render
from vitarmm_agent.rmm.generalise import own_numbers, without_numbers
from vitarmm_agent.rmm.schema import MAX_OPERATIONS, output_schema, parse_output

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True)
class Decision:
    """What to remember of one attempt.

    Attributes:
        operations: at most three; empty when nothing is worth keeping.
        failure: why the model's answer could not be used, or None. Never a silent nothing.
        raw: the model's last answer as it came.
        usage: tokens of all calls.
        seconds: wall time of all calls.
    """

    operations: tuple[Operation, ...]
    failure: str | None
    raw: str
    usage: Usage
    seconds: float


class MemoryWriter:
    """Decides what to remember; storing it is the caller's."""

    def __init__(self, model: BaseChatModel, *, repairs: int = 1) -> None:
        """Ask ``model``, and again at most ``repairs`` times when its answer cannot be used."""
        self.model = model
        self.repairs = repairs

    def decide(
        self,
        problem: Problem,
        attempts: Sequence[Attempt],
        feedback: Sequence[Feedback],
        related: Sequence[MemoryEntry],
        provenance: Provenance,
    ) -> Flow[Decision]:
        """Decide on the last of ``attempts``, whose feedback is the last of ``feedback``.

        ``related`` are the entries shown by number, which operations may name as targets.
        """
        messages = decision_messages(problem, attempts, feedback, related)
        schema = output_schema(len(related))
        numbers = own_numbers(problem, attempts[-1])
        usage, seconds, failure, raw = Usage(), 0.0, "no answer", ""
        for _ in range(self.repairs + 1):
            reply = yield from ask_structured(self.model, schema, messages)
            usage, seconds, raw = usage + reply.usage, seconds + reply.seconds, reply.text
            try:
                if reply.error is not None:
                    raise OutputError(reply.error)
                written = parse_output(reply.parsed, related, provenance)
                operations = tuple(_in_general_terms(one, numbers) for one in written)
            except OutputError as error:
                failure = str(error)
                messages = _with_repair(messages, raw, failure)
            else:
                return Decision(operations, None, raw, usage, seconds)
        return Decision((), failure, raw, usage, seconds)


def decision_messages(
    problem: Problem,
    attempts: Sequence[Attempt],
    feedback: Sequence[Feedback],
    related: Sequence[MemoryEntry],
) -> list[BaseMessage]:
    """The messages a writer decides on; the gold answer is in none of them."""
    from langchain_core.messages import HumanMessage, SystemMessage

    attempt, verdict = attempts[-1], feedback[-1]
    failed_before = [f for f in feedback[:-1] if f.verdict == "fail"]
    text = render(
        "remember",
        problem=problem.to_prompt(),
        images=len(problem.images),
        attempt_number=attempt.number,
        steps=attempt.steps,
        answer=attempt.answer or "none given",
        verdict=verdict.verdict,
        source=verdict.source,
        message=verdict.message,
        errors=verdict.errors,
        earlier=failed_before[-1].message if failed_before and verdict.verdict == "pass" else "",
        related=[str(entry) for entry in related],
        max_operations=MAX_OPERATIONS,
    )
    return [SystemMessage(render("remember_system")), HumanMessage(text)]


def _in_general_terms(operation: Operation, numbers: frozenset[str]) -> Operation:
    if operation.entry is None:
        return operation
    entry = without_numbers(operation.entry, numbers)
    if entry is None:
        raise OutputError(
            f"the content of {operation.entry.title!r} is about this problem's own numbers; "
            "write the rule in words, without them"
        )
    return operation.model_copy(update={"entry": entry})


def _with_repair(messages: list[BaseMessage], raw: str, failure: str) -> list[BaseMessage]:
    from langchain_core.messages import AIMessage, HumanMessage

    return [*messages[:2], AIMessage(raw or "{}"), HumanMessage(render("repair", reason=failure))]

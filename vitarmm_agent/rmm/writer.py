"""The memory writer: a chat model asked, in constrained JSON, what to remember."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import OutputError
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.memory_store.untrusted import neutralise
from vitarmm_agent.models.calls import ask_structured
from vitarmm_agent.models.recorded import model_name, recorded_call
from vitarmm_agent.problem import Attempt, Feedback, ModelCall, Problem, StepError, Usage
from vitarmm_agent.prompts import render
from vitarmm_agent.rmm.generalise import own_numbers, without_numbers
from vitarmm_agent.rmm.novelty import only_news
from vitarmm_agent.rmm.schema import MAX_OPERATIONS, Situation, output_schema, parse_output

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True)
class WriterDecision:
    """What to remember of one attempt.

    Attributes:
        operations: at most three; empty when nothing is worth keeping. One of kind ``none`` says in
            its ``reason`` what was refused.
        failure: why the model's answer could not be used, or None. Never a silent nothing.
        raw: the model's last answer as it came.
        usage: tokens of all calls.
        seconds: wall time of all calls.
        situation: what was decided on.
        thought: what the model wrote before it decided, if it was asked to.
        calls: what it was asked, and what it said each time.
    """

    operations: tuple[Operation, ...]
    failure: str | None
    raw: str
    usage: Usage
    seconds: float
    situation: Situation
    thought: str = ""
    calls: tuple[ModelCall, ...] = ()


class MemoryWriter:
    """Decides what to remember; storing it is the caller's."""

    def __init__(self, model: BaseChatModel, *, repairs: int = 1, think: bool = False) -> None:
        """Ask ``model``, and again at most ``repairs`` times when its answer cannot be used.

        With ``think`` it writes a thought before it decides; the thought is not stored.
        """
        self.model = model
        self.repairs = repairs
        self.think = think

    @property
    def name(self) -> str:
        """By which its entries are signed."""
        return model_name(self.model)

    def decide(
        self,
        problem: Problem,
        attempts: Sequence[Attempt],
        feedback: Sequence[Feedback],
        related: Sequence[MemoryEntry],
        provenance: Provenance,
        *,
        recalled: Sequence[MemoryEntry] = (),
        solution: Attempt | None = None,
        worked: Sequence[Operation] = (),
    ) -> Flow[WriterDecision]:
        """Decide on the last of ``attempts``, whose feedback is the last of ``feedback``.

        Args:
            problem: what was attempted; its reference is not read.
            attempts: all attempts so far.
            feedback: one per attempt; the last is no abstention.
            related: entries shown by number, which operations may name as targets.
            provenance: where new entries come from.
            recalled: entries that the attempts were shown; neither these nor ``related`` may be
                written again as new.
            solution: a right one of what failed, where someone gave it.
            worked: what keeps a right solution already; a model's lesson is written beside it.

        Raises:
            ModelServerError: the model server refused, timed out or died.
            ValueError: the last feedback is no verdict.
        """
        messages = decision_messages(
            problem, attempts, feedback, related, solution=solution, think=self.think
        )
        schema = output_schema(len(related), think=self.think)
        known = (attempts[-1], solution) if solution else (attempts[-1],)
        numbers, shown = own_numbers(problem, *known), (*related, *recalled)
        usage, seconds, failure, raw = Usage(), 0.0, "no answer", ""
        asked: list[ModelCall] = []
        situation = situation_of(feedback)
        for _ in range(self.repairs + 1):
            reply = yield from ask_structured(self.model, schema, messages)
            usage, seconds, raw = usage + reply.usage, seconds + reply.seconds, reply.said
            asked.append(recorded_call(self.model, messages, reply))
            try:
                if reply.error is not None:
                    raise OutputError(reply.error)
                operations = usable_operations(reply.parsed, related, provenance, numbers, shown)
            except OutputError as error:
                failure = str(error)
                messages = _with_repair(messages, raw, failure)
            else:
                thought = str(reply.parsed.get("thought", ""))
                return WriterDecision(
                    operations, None, raw, usage, seconds, situation, thought, tuple(asked)
                )
        return WriterDecision((), failure, raw, usage, seconds, situation, calls=tuple(asked))


def usable_operations(
    data: Any,
    related: Sequence[MemoryEntry],
    provenance: Provenance,
    numbers: frozenset[str] = frozenset(),
    shown: Sequence[MemoryEntry] = (),
) -> tuple[Operation, ...]:
    """A writer's answer as operations: checked, in general terms, and only what is new.

    Args:
        data: the parsed answer.
        related: the entries that were shown by number.
        provenance: where new entries come from.
        numbers: the problem's own, which no entry keeps.
        shown: entries that may not be added again.

    Raises:
        OutputError: it has not the form asked for, names an entry that was not shown, or says
            nothing beyond this problem's own numbers.
    """
    written = parse_output(data, related, provenance)
    general = (_in_general_terms(one, numbers) for one in written)
    return tuple(only_news(operation, shown) for operation in general)


def decision_messages(
    problem: Problem,
    attempts: Sequence[Attempt],
    feedback: Sequence[Feedback],
    related: Sequence[MemoryEntry],
    *,
    solution: Attempt | None = None,
    think: bool = False,
) -> list[BaseMessage]:
    """The messages a writer decides on; the gold answer is in none, but for a solution that holds it."""
    from langchain_core.messages import HumanMessage, SystemMessage

    situation = situation_of(feedback)
    attempt, verdict = attempts[-1], feedback[-1]
    shown: dict[str, Any] = {
        "problem": problem.to_prompt(),
        "images": len(problem.images),
        "attempt_number": attempt.number,
        "steps": attempt.steps,
        "answer": attempt.answer or "none given",
        "source": verdict.source,
        "related": [neutralise(str(entry)) for entry in related],
        "max_operations": MAX_OPERATIONS,
        "think": think,
    }
    if situation == "failure":
        shown |= {"message": verdict.message, "errors": _reasons(verdict.errors, verdict.message)}
        shown["solution"] = [s.text for s in solution.steps] if solution else []
    elif situation == "contrast":
        shown |= _wrong_attempt(attempts, feedback)
    text = render(f"remember_{situation}", **shown)
    return [SystemMessage(render("remember_system")), HumanMessage(text)]


def _wrong_attempt(attempts: Sequence[Attempt], feedback: Sequence[Feedback]) -> dict[str, Any]:
    index = failed_before(feedback) or 0
    wrong, verdict = attempts[index], feedback[index]
    return {
        "wrong_number": wrong.number,
        "wrong_steps": wrong.steps,
        "wrong_answer": wrong.answer or "none given",
        "wrong_source": verdict.source,
        "wrong_message": verdict.message or "no grounds given",
        "wrong_errors": _reasons(verdict.errors, verdict.message),
    }


def _reasons(errors: Sequence[StepError], message: str) -> list[str]:
    """What is wrong with each step, where the message does not say it already."""
    return list(dict.fromkeys(e.in_words for e in errors if e.message not in message))


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


def situation_of(feedback: Sequence[Feedback]) -> Situation:
    """The situation after the last verdict: a pass after a fail is a contrast.

    Raises:
        ValueError: there is no verdict, or the last is an abstention, which teaches nothing.
    """
    if not feedback or feedback[-1].verdict == "abstain":
        raise ValueError("there is nothing to decide on without a verdict")
    if feedback[-1].verdict == "fail":
        return "failure"
    return "contrast" if failed_before(feedback) is not None else "success"


def failed_before(feedback: Sequence[Feedback]) -> int | None:
    """Index of the latest failed attempt before the last one, or None."""
    failed = [i for i, item in enumerate(feedback[:-1]) if item.verdict == "fail"]
    return failed[-1] if failed else None

"""A person who judges, through LangGraph's interrupt."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from vitarmm_agent.effects import Call, Flow
from vitarmm_agent.problem import Attempt, Data, ErrorKind, Feedback, Problem, StepError, Verdict

QUESTION = "Is this attempt right? Reply with a verdict (pass, fail or abstain), and why."


class HumanReply(Data):
    """What a person answers. A bare ``"pass"``, ``"fail"`` or ``"abstain"`` is taken as well.

    Attributes:
        verdict: pass, fail or abstain.
        message: grounds; shown to the model when it fails.
        step: number of the wrong step, or None.
        kind: kind of the error.
        solution: a right one, steps and a last line ``Answer: …``; kept as a worked example.
    """

    verdict: Verdict
    message: str = Field("", max_length=4_000)
    step: int | None = Field(None, ge=1)
    kind: ErrorKind = "other"
    solution: str = Field("", max_length=8_000)


class Human:
    """Interrupts the run and waits, in the checkpoint, for a person's reply.

    The run can be resumed with the reply from any process; until then it is listed as interrupted.
    A reply that cannot be read is asked for again, with the reason. Outside a graph it raises what
    LangGraph's ``interrupt`` raises there.
    """

    name = "human"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Ask, and read the reply."""
        fault = ""
        while True:
            request = human_request(problem, attempt, fault)
            reply = yield from _interrupt(request)
            try:
                return self._feedback(_parse(reply))
            except ValidationError as error:
                fault = "; ".join(
                    f"{'.'.join(map(str, e['loc'])) or 'reply'}: {e['msg']}, got {e['input']!r}"
                    for e in error.errors()
                )

    def _feedback(self, reply: HumanReply) -> Feedback:
        errors = (
            (
                StepError(
                    step=reply.step,
                    kind=reply.kind,
                    message=reply.message or "A person marked this as wrong.",
                    subject=reply.message[:120],
                ),
            )
            if reply.verdict == "fail"
            else ()
        )
        return Feedback(
            verdict=reply.verdict,
            source=self.name,
            errors=errors,
            message=reply.message,
            solution=reply.solution,
        )


def human_request(problem: Problem, attempt: Attempt, fault: str = "") -> dict[str, Any]:
    """What a person is shown, as plain data: problem, attempt, and the reply that is expected.

    Args:
        problem: shown without its reference.
        attempt: shown with steps and answer, without its prompt.
        fault: why the last reply could not be read.
    """
    shown = problem.without_reference()
    return {
        "kind": "feedback",
        "question": QUESTION,
        "problem": shown.model_dump(
            mode="json", include={"id", "text", "images", "choices", "unit"}
        ),
        "attempt": {
            "number": attempt.number,
            "steps": [step.model_dump(mode="json") for step in attempt.steps],
            "text": attempt.text,
            "answer": attempt.answer,
        },
        "reply": {
            "verdict": "pass | fail | abstain",
            "message": "why (optional)",
            "step": "number of the wrong step (optional)",
        },
        **({"fault": fault} if fault else {}),
    }


def _interrupt(request: dict[str, Any]) -> Call[Any]:
    from langgraph.types import interrupt

    async def asynchronous() -> Any:
        return interrupt(request)

    return Call(lambda: interrupt(request), asynchronous)


def _parse(reply: Any) -> HumanReply:
    return HumanReply.model_validate(
        {"verdict": reply.strip()} if isinstance(reply, str) else reply
    )

"""A person who judges, through LangGraph's interrupt."""

from __future__ import annotations

from typing import Any

from vitarmm_agent.effects import Call, Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Attempt, Feedback, Problem, StepError
from vitarmm_agent.verifiers.person_reply import HumanReply, read_reply
from vitarmm_agent.verifiers.solution import objection_to, solution_of

QUESTION = "Is this attempt right? Reply with a verdict (pass, fail or abstain), and why."

ACTION = "judge_attempt"


class Human:
    """Interrupts the run and waits, in the checkpoint, for a person's reply.

    The run can be resumed with the reply from any process; until then it is listed as interrupted.
    A reply that cannot be read, or whose solution is wrong, is asked for again, with the reason.
    Outside a graph it raises what LangGraph's ``interrupt`` raises there.
    """

    name = "human"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Ask, and read the reply."""
        fault = ""
        while True:
            request = human_request(problem, attempt, fault)
            reply = yield from _interrupt(request)
            try:
                said = read_reply(reply)
            except InputError as error:
                fault = str(error)
                continue
            fault = yield from _solution_fault(problem, said.solution)
            if not fault:
                return feedback_of(said)


def feedback_of(reply: HumanReply) -> Feedback:
    """What a person says, as a verifier says it."""
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
        source=Human.name,
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
            "solution": "a right one: steps, a line each, and a last line 'Answer: …' (optional)",
        },
        **({"fault": fault} if fault else {}),
        **inbox_forms(attempt, fault),
    }


def inbox_forms(attempt: Attempt, fault: str = "") -> dict[str, Any]:
    """The same request as Agent Inbox and LangChain's middleware for human review show one.

    What can be edited is the solution: an edited one is taken as a right one.
    """
    question = f"{QUESTION}\n\n{fault}" if fault else QUESTION
    args = {"solution": attempt.text}
    allowed = ("ignore", "respond", "edit", "accept")
    return {
        "action_request": {"action": ACTION, "args": args},
        "config": {f"allow_{what}": True for what in allowed},
        "description": question,
        "action_requests": [{"name": ACTION, "args": args, "description": question}],
        "review_configs": [
            {"action_name": ACTION, "allowed_decisions": ["approve", "edit", "reject", "respond"]}
        ],
    }


def _solution_fault(problem: Problem, text: str) -> Flow[str]:
    if not text:
        return ""
    bare = problem.without_reference()
    return (yield from objection_to(bare, solution_of(bare, text)))


def _interrupt(request: dict[str, Any]) -> Call[Any]:
    from langgraph.types import interrupt

    async def asynchronous() -> Any:
        return interrupt(request)

    return Call(lambda: interrupt(request), asynchronous)

"""What a memory writer is asked to decide on: a success, a failure, or a contrast of both. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vitarmm_agent.problem import Feedback

Situation = Literal["success", "failure", "contrast"]


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

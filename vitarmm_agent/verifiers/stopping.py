"""The stop rule: retry, vote or stop; and which answer stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vitarmm_agent.answers.normalise import fold
from vitarmm_agent.data import Data
from vitarmm_agent.problem import Attempt, Feedback
from vitarmm_agent.verifiers.policy import ANSWER
from vitarmm_agent.verifiers.precision import MIN_PRECISION

Action = Literal["retry", "stop", "vote"]
MIN_VOTES = 3


class NextStep(Data):
    """What comes next, and why.

    Attributes:
        action: ``retry`` (another attempt), ``stop``, or ``vote`` (stop; the answer that most
            attempts share stands).
        reason: in words, for the trace.
    """

    action: Action
    reason: str


def decide_next(
    feedback: Sequence[Feedback],
    *,
    iteration: int,
    max_iterations: int,
    tokens_used: int = 0,
    max_tokens: int | None = None,
    seconds_used: float = 0.0,
    max_seconds: float | None = None,
) -> NextStep:
    """Decide from the verdicts so far and the budget.

    Only a fail is a ground to retry. An abstention never is, and neither is a fail of a verifier
    whose measured precision is under one half.

    Args:
        feedback: one per attempt, in order.
        iteration: attempts made, from 1.
        max_iterations: attempts allowed.
        tokens_used: tokens of the run so far.
        max_tokens: token budget, or None.
        seconds_used: wall time of the run so far.
        max_seconds: time budget, or None.
    """
    if not feedback:
        return NextStep(action="stop", reason="there is no verdict to act on")
    last = feedback[-1]
    if last.verdict == "pass":
        return NextStep(action="stop", reason=f"passed by {_spoken(last)}")
    if last.verdict == "abstain":
        return NextStep(action="stop", reason=_abstained(last, len(feedback)))
    if not grounded(last):
        return NextStep(
            action="stop",
            reason=f"{_spoken(last)} failed it, which is right less than half of the time: "
            "no ground for another attempt",
        )
    spent = _spent(iteration, max_iterations, tokens_used, max_tokens, seconds_used, max_seconds)
    if spent is None:
        on = "; the next attempt goes on from the value put right" if last.mended else ""
        return NextStep(action="retry", reason=f"failed by {_spoken(last)}: {_grounds(last)}{on}")
    if sum(item.verdict == "fail" for item in feedback) >= MIN_VOTES:
        why = f"no attempt passed, so the attempts vote; the last failed: {_grounds(last)}"
        return NextStep(action="vote", reason=f"{spent}; {why}")
    return NextStep(
        action="stop",
        reason=f"{spent}; the last verdict was a fail by {last.source}: {_grounds(last)}",
    )


def grounded(feedback: Feedback) -> bool:
    """Whether a fail is a ground to act on: of unknown precision, or of at least one half."""
    return feedback.verdict == "fail" and (
        feedback.precision is None or feedback.precision >= MIN_PRECISION
    )


def is_slip(feedback: Feedback) -> bool:
    """Whether nothing speaks against the attempt but a wrong value, which holds no lesson.

    What a person puts right is none: the verifiers found nothing there.
    """
    parts = [part for part in feedback.parts or (feedback,) if not part.advice]
    failing = [part for part in parts if part.verdict == "fail"]
    if feedback.verdict != "fail" or not failing:
        return False
    return all(
        (part.mended and part.source != "human")
        or (part.errors and all(e.kind == "arithmetic" for e in part.errors))
        for part in failing
    )


def standing_answer(attempts: Sequence[Attempt], feedback: Sequence[Feedback]) -> int:
    """Index of the attempt whose answer stands.

    The last attempt that passed; without one, the first on which no fail stands (it was abstained
    on, or failed without grounds); when all failed, the answer shared by most attempts if at least
    two share it (the latest attempt that gives it), else the last attempt that has an answer.

    Raises:
        ValueError: there is no attempt.
    """
    if not attempts:
        raise ValueError("no attempt was made, so no answer stands")
    verdicts = list(feedback[: len(attempts)])
    passing = [i for i, item in enumerate(verdicts) if item.verdict == "pass"]
    if passing:
        return passing[-1]
    open_ones = [
        i
        for i in range(len(attempts))
        if (i >= len(verdicts) or not grounded(verdicts[i])) and attempts[i].answer is not None
    ]
    return open_ones[0] if open_ones else vote(attempts)


def vote(attempts: Sequence[Attempt]) -> int:
    """Index of the latest attempt with the most frequent answer; a tie goes to the latest."""
    answered = [i for i, attempt in enumerate(attempts) if attempt.answer is not None]
    if not answered:
        return len(attempts) - 1
    keys = {i: fold(attempts[i].answer or "") for i in answered}
    return max(answered, key=lambda i: (list(keys.values()).count(keys[i]), i))


def _spent(
    iteration: int,
    max_iterations: int,
    tokens_used: int,
    max_tokens: int | None,
    seconds_used: float,
    max_seconds: float | None,
) -> str | None:
    if iteration >= max_iterations:
        return (
            f"all {max_iterations} attempts are used"
            if max_iterations > 1
            else "one attempt was allowed"
        )
    if max_tokens is not None and tokens_used >= max_tokens:
        return f"the token budget is spent ({tokens_used:,} of {max_tokens:,})"
    if max_seconds is not None and seconds_used >= max_seconds:
        return f"the time budget is spent ({seconds_used:.0f} of {max_seconds:.0f} s)"
    return None


def _spoken(feedback: Feedback) -> str:
    if feedback.precision is None:
        return feedback.source
    return f"{feedback.source} (measured precision {feedback.precision:.2f})"


def _grounds(feedback: Feedback) -> str:
    if feedback.errors:
        return feedback.errors[0].message
    return feedback.message or "no grounds given"


def _abstained(feedback: Feedback, count: int) -> str:
    if feedback.source == ANSWER:
        return f"there is no answer ({feedback.failure}), and no ground for another attempt"
    why = f" ({feedback.failure})" if feedback.failure else ""
    which = "the first answer" if count == 1 else "the first answer without a fail"
    return (
        f"{feedback.source} abstained{why}: there is no ground for another attempt; {which} stands"
    )

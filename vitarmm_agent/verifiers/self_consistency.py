"""Several more samples at equal settings, and a vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.answers import answers_equal, read_answer
from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError, OutputError, RefusalError
from vitarmm_agent.models.calls import ask
from vitarmm_agent.models.recorded import prompt_messages, recorded_call
from vitarmm_agent.models.replies import cut_off, unfinished
from vitarmm_agent.problem import Attempt, Feedback, ModelCall, Problem, Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from vitarmm_agent.media import MediaStore


class SelfConsistency:
    """Sends the attempt's own prompt again, and compares the answers.

    The attempt votes too. Its answer passes when at least ``share`` of all votes are for it, and
    fails when as many are for one other answer; else, or with fewer than two other answers, it
    abstains. Samples only differ when the model samples: with temperature 0 they are one vote.
    """

    name = "self_consistency"

    def __init__(
        self,
        model: BaseChatModel,
        *,
        samples: int = 4,
        share: float = 0.6,
        media: MediaStore | None = None,
    ) -> None:
        """Draw ``samples`` more answers from ``model``.

        Raises:
            InputError: ``samples`` is under 2, or ``share`` not over one half and at most 1.
        """
        if samples < 2 or not 0.5 < share <= 1:
            raise InputError(
                f"self-consistency needs samples ≥ 2 and 0.5 < share ≤ 1, got {samples} and {share}"
            )
        self.model, self.samples, self.share, self.media = model, samples, share, media

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Sample and vote.

        Raises:
            ModelServerError: the model server refused, timed out or died.
        """
        messages = _asked(problem, attempt, self.media)
        answers: list[str | None] = [attempt.answer]
        usage, seconds, failures, asked = Usage(), 0.0, 0, list[ModelCall]()
        for _ in range(self.samples):
            try:
                reply = yield from ask(self.model, messages, aside=True)
            except (OutputError, RefusalError):
                failures += 1
                continue
            usage, seconds = usage + reply.usage, seconds + reply.seconds
            asked.append(recorded_call(self.model, messages, reply))
            ends = {"cut": cut_off(reply.message), "unfinished": unfinished(reply.message)}
            answers.append(None if reply.silent else read_answer(problem, reply.said, **ends))
        feedback = self._verdict(problem, answers)
        failure = f"{failures} of {self.samples} samples gave no output" if failures else None
        cost = {"usage": usage, "seconds": seconds, "calls": tuple(asked)}
        return feedback.model_copy(update={"failure": failure, **cost})

    def _verdict(self, problem: Problem, answers: list[str | None]) -> Feedback:
        groups = group_answers(problem, answers)
        votes, total = max((len(group) for group in groups), default=0), len(answers)
        own = len(groups[0]) if groups and 0 in groups[0] else 0
        if sum(answer is not None for answer in answers[1:]) < 2:
            return Feedback(verdict="abstain", source=self.name, score=None)
        if own >= self.share * total:
            message = f"{own} of {total} independent attempts give this answer."
            return Feedback(verdict="pass", source=self.name, score=own / total, message=message)
        if votes >= self.share * total and votes > own:
            message = (
                f"{votes} of {total} independent attempts agree on another answer than this one."
            )
            return Feedback(verdict="fail", source=self.name, score=own / total, message=message)
        return Feedback(verdict="abstain", source=self.name, score=own / total)


def group_answers(problem: Problem, answers: list[str | None]) -> list[list[int]]:
    """Indices of answers that are the same, in order of first appearance; None is in no group."""
    groups: list[list[int]] = []
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        for group in groups:
            if answers_equal(problem, answers[group[0]], answer):
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _asked(problem: Problem, attempt: Attempt, media: MediaStore | None) -> list[BaseMessage]:
    """The attempt's prompt again; one without a stored prompt is asked with the problem's text alone.

    A reply that the prompt begins is left out: a sample stands on its own.
    """
    from langchain_core.messages import HumanMessage

    prompt = attempt.prompt
    if not prompt:
        return [HumanMessage(problem.without_reference().to_prompt())]
    return prompt_messages(prompt[:-1] if prompt[-1]["role"] == "assistant" else prompt, media)

"""The agent as an ``inspect_ai`` solver, so that any Inspect task runs on it (extra ``inspect``).

    from inspect_ai import eval
    from vitarmm_agent.evals.inspect import vitarmm_solver

    eval("task.py", solver=vitarmm_solver(reasoner="local:…"), model="mockllm/model")

or ``inspect eval task.py --solver vitarmm_agent/vitarmm_solver -S reasoner=local:…``. The solver asks the agent, not the model that Inspect was given. What the task's target says never
reaches the agent. A run that fails is Inspect's sample error, not an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.answers.choices import choice_index
from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.media import ImageRef
from vitarmm_agent.problem import AnswerType, Attempt, Problem
from vitarmm_agent.result import Result

try:
    from inspect_ai.log import transcript
    from inspect_ai.model import ChatMessage, ContentImage, ContentText, ModelOutput, ModelUsage
    from inspect_ai.solver import Generate, Solver, TaskState, solver
except ImportError:
    raise MissingExtraError("the Inspect solver", "inspect") from None

METADATA = "vitarmm"
"""Key of the sample's metadata under which the run is kept."""


@solver
def vitarmm_solver(
    agent: ReasoningAgent | None = None,
    *,
    reasoner: str | None = None,
    feedback: str | list[str] | None = None,
    rmm: str | None = None,
    memory: str | bool | None = None,
    max_iterations: int | None = None,
    answer_type: AnswerType | None = None,
    completion: Literal["attempt", "answer"] = "attempt",
) -> Solver:
    """A solver that gives each sample to a :class:`~vitarmm_agent.agent.ReasoningAgent`.

    The sample's messages become the problem: text, images, and its choices. The output is the attempt
    whose answer stands, ended by a line ``ANSWER: …`` as Inspect's own templates ask for; of a
    multiple-choice sample the choice is marked for Inspect's ``choice()`` scorer. ``metadata`` gets
    ``vitarmm``: thread id, status, verdicts, entries shown, tokens.

    Args:
        agent: an open agent. Else one is opened with the options below, when the first sample comes.
        reasoner: see :meth:`ReasoningAgent.open`, as for those that follow.
        feedback: verifiers by name.
        rmm: the model that decides what to remember.
        memory: folder, URL, or ``off`` (which Inspect's command line reads as false).
        max_iterations: attempts per sample at most.
        answer_type: what kind of answer the task asks for; default: a choice where there are
            choices, else a text.
        completion: ``attempt``, or ``answer`` for scorers that compare the whole completion.

    Raises:
        InputError: an agent and options for another were given.
    """
    options = {
        name: value
        for name, value in {
            "reasoner": reasoner,
            "feedback": ",".join(feedback) if isinstance(feedback, list) else feedback,
            "rmm": rmm,
            "memory": "off" if memory is False else memory,
            "max_iterations": max_iterations,
        }.items()
        if value is not None
    }
    if agent is not None and options:
        raise InputError(f"an open agent takes no {', '.join(options)}; give either of them")
    opened = [agent] if agent is not None else []

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if not opened:
            opened.append(ReasoningAgent.open(**options))  # type: ignore[arg-type]
        result = await opened[0].asolve(problem_of(state, answer_type))
        return answered(state, result, whole=completion == "attempt")

    return solve


def problem_of(state: TaskState, answer_type: AnswerType | None = None) -> Problem:
    """The problem that a sample's messages pose. Its target is left out.

    One user message, with system messages above it, is the text as it stands; a longer conversation
    is written out with its roles.

    Raises:
        InputError: a message holds something other than text and images, or there is nothing in it.
    """
    shown = [message for message in state.messages if message.role != "system"]
    named = len(shown) > 1
    texts: list[str] = []
    images: list[ImageRef] = []
    for message in state.messages:
        text, found = _content_of(message)
        role = f"{message.role}: " if named and message.role != "system" else ""
        texts += [f"{role}{text}"] if text else []
        images += found
    choices = tuple(choice.value for choice in state.choices)
    kind: AnswerType = answer_type or ("choice" if choices else "text")
    return Problem.parse(
        {
            "id": f"inspect-{state.sample_id}-{state.epoch}",
            "text": "\n\n".join(texts),
            "images": images,
            "choices": choices,
            "answer_type": kind,
        }
    )


def _content_of(message: ChatMessage) -> tuple[str, Sequence[ImageRef]]:
    if isinstance(message.content, str):
        return message.content.strip(), ()
    texts: list[str] = []
    images: list[ImageRef] = []
    for part in message.content:
        if isinstance(part, ContentText):
            texts.append(part.text.strip())
        elif isinstance(part, ContentImage):
            images.append(ImageRef(source=part.image))
        else:
            raise InputError(f"a sample with {part.type} cannot be given to the agent")
    return "\n".join(text for text in texts if text), images


def answered(state: TaskState, result: Result, *, whole: bool = True) -> TaskState:
    """The state with the run's answer as output, its choice marked, and the run as metadata.

    Args:
        state: of the sample.
        result: of the run.
        whole: put the whole attempt into the output, not its answer alone.
    """
    standing = _standing(result)
    answer = result.answer or ""
    said = answer
    if whole and standing is not None:
        said = f"{standing.text}\n\nANSWER: {answer}" if answer else standing.text
    name = standing.model if standing is not None else ""
    output = ModelOutput.from_content(model=name or str(state.model), content=said)
    output.usage = ModelUsage(
        input_tokens=result.usage.input_tokens,
        output_tokens=result.usage.output_tokens,
        total_tokens=result.usage.total_tokens,
    )
    output.time = result.seconds
    state.output = output
    state.messages.append(output.message)
    if len(state.choices):
        chosen = choice_index([choice.value for choice in state.choices], answer)
        for index in range(len(state.choices)):
            state.choices.mark_choice(index, index == chosen)
    told = run_of(result)
    state.metadata[METADATA] = told
    transcript().info(told, source=METADATA)
    return state


def _standing(result: Result) -> Attempt | None:
    """The attempt whose answer stands: the last that gave it."""
    if not result.attempts:
        return None
    given = [attempt for attempt in result.attempts if attempt.answer == result.answer]
    return given[-1] if given else result.attempts[-1]


def run_of(result: Result) -> dict[str, Any]:
    """A run in short, as plain data: what the sample's metadata keep of it."""
    return {
        "thread_id": result.thread_id,
        "status": result.status,
        "stopped_because": result.stopped_because,
        "answer": result.answer,
        "verdicts": [
            {"attempt": number, "verdict": said.verdict, "source": said.source}
            for number, said in enumerate(result.feedback, start=1)
        ],
        "answers": [attempt.answer for attempt in result.attempts],
        "recalled": [list(attempt.recalled) for attempt in result.attempts],
        "tokens": result.usage.total_tokens,
        "calls": result.usage.calls,
        "seconds": result.seconds,
    }

"""A chat model that judges step by step, and may abstain."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from vitarmm_agent.answers.steps import is_final_line, parse_steps
from vitarmm_agent.clip import one_line
from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import ModelServerError, OutputError, RefusalError
from vitarmm_agent.models.calls import StructuredReply, ask_structured
from vitarmm_agent.models.recorded import recorded_call
from vitarmm_agent.problem import (
    Attempt,
    ErrorKind,
    Feedback,
    Opinion,
    Problem,
    Step,
    StepError,
    StepVerdict,
)
from vitarmm_agent.prompts import render

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from vitarmm_agent.media import MediaStore

MAX_STEPS = 20
MAX_STEP_TEXT = 600


class StepOpinion(BaseModel):
    """The judge's opinion of one step.

    The check comes before the verdict, and the verdict before the mistake: a small model that must
    fill in a mistake first invents one.
    """

    step: int = Field(ge=1, le=200)
    check: str = Field(max_length=100, description="The step done again, with its result.")
    verdict: Opinion
    mistake: str = Field(default="", max_length=300, description="What is wrong, of a wrong step.")
    kind: ErrorKind = "other"


class Judgement(BaseModel):
    """The judge's opinion of an attempt."""

    steps: list[StepOpinion] = Field(max_length=MAX_STEPS)
    verdict: Opinion = Field(description="Of the final answer; unsure when you cannot tell.")

    @property
    def first_wrong(self) -> StepOpinion | None:
        """The first step that is wrong."""
        return next((opinion for opinion in self.steps if opinion.verdict == "wrong"), None)


class Judge:
    """Asks a chat model for a verdict per step, the first wrong step, and one for the answer.

    It never sees the reference. Output that cannot be used, a refusal, a time-out, a contradiction,
    or a fail without grounds is an abstention with ``failure`` set; a model server that died raises.
    """

    name = "judge"

    def __init__(self, model: BaseChatModel, *, media: MediaStore | None = None) -> None:
        """Judge with ``model``; with ``media`` it is shown the problem's images as well."""
        self.model = model
        self.media = media

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Ask the model.

        Raises:
            ModelServerError: the model server refused or died (not: timed out).
        """
        problem = problem.without_reference()
        steps = judged_steps(attempt)
        messages = judge_messages(problem, attempt, steps, self.media)
        try:
            reply = yield from ask_structured(self.model, judgement_schema(len(steps)), messages)
        except (OutputError, RefusalError, TimeoutError) as error:
            return self._abstain(_failure(error))
        except ModelServerError as error:
            if not _timed_out(error):
                raise
            return self._abstain("the judge timed out")
        call = recorded_call(self.model, messages, reply)
        return self._feedback(reply, steps).model_copy(
            update={"calls": (call,), "usage": reply.usage, "seconds": reply.seconds}
        )

    def _feedback(self, reply: StructuredReply, steps: tuple[Step, ...]) -> Feedback:
        judgement = _judgement(reply)
        if isinstance(judgement, str):
            return self._abstain(judgement)
        ticks = _ticks(judgement, steps)
        fault = _contradiction(judgement)
        if fault or judgement.verdict == "unsure":
            return self._abstain(fault).model_copy(update={"ticks": ticks})
        wrong = judgement.first_wrong
        error = _step_error(wrong, steps) if wrong else None
        return Feedback(
            verdict="fail" if wrong else "pass",
            source=self.name,
            score=_score(judgement),
            errors=(error,) if error else (),
            message=error.message if error else "",
            ticks=ticks,
        )

    def _abstain(self, failure: str | None) -> Feedback:
        return Feedback(verdict="abstain", source=self.name, failure=failure)


def judged_steps(attempt: Attempt) -> tuple[Step, ...]:
    """The steps that are judged: at most 20, without lines that only state the final answer."""
    steps = attempt.steps or parse_steps(attempt.text)
    return tuple(step for step in steps if not is_final_line(step.text))[:MAX_STEPS]


def judgement_schema(count: int) -> dict[str, Any]:
    """JSON schema of :class:`Judgement` with one opinion for each of ``count`` steps."""
    schema = deepcopy(_judgement_schema())
    schema["properties"]["steps"] |= {"minItems": count, "maxItems": count}
    return schema


@cache
def _judgement_schema() -> dict[str, Any]:
    """Only a wrong step has a mistake and a kind. Made once: pydantic takes milliseconds for it."""
    schema = Judgement.model_json_schema()
    opinion = schema.pop("$defs")["StepOpinion"]
    fields = opinion["properties"]
    common = {name: fields[name] for name in ("step", "check")}
    wrong = {name: fields[name] for name in ("mistake", "kind")}
    schema["properties"]["steps"]["items"] = {
        "anyOf": [
            _object(common | {"verdict": {"type": "string", "enum": ["right", "unsure"]}}),
            _object(common | {"verdict": {"type": "string", "enum": ["wrong"]}} | wrong),
        ]
    }
    return schema


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    plain = {
        name: {key: value for key, value in field.items() if key not in ("default", "title")}
        for name, field in properties.items()
    }
    return {
        "type": "object",
        "properties": plain,
        "required": list(plain),
        "additionalProperties": False,
    }


def judge_messages(
    problem: Problem, attempt: Attempt, steps: tuple[Step, ...], media: MediaStore | None = None
) -> list[BaseMessage]:
    """What the judge is sent: the problem without its reference, the steps and the answer."""
    from langchain_core.messages import HumanMessage

    problem = problem.without_reference()
    text = render(
        "judge",
        problem=problem.to_prompt(),
        steps=[
            step.model_copy(update={"text": one_line(step.text, MAX_STEP_TEXT)}) for step in steps
        ],
        answer="none given" if attempt.answer is None else attempt.answer,
        hidden_images=0 if media else len(problem.images),
    )
    if media is None or not problem.images:
        return [HumanMessage(text)]
    images = [
        {"type": "image_url", "image_url": {"url": media.data_url(media.put(image).sha256)}}
        for image in problem.images
    ]
    return [HumanMessage([*images, {"type": "text", "text": text}])]


def _judgement(reply: StructuredReply) -> Judgement | str:
    """The judgement, or why there is none."""
    if isinstance(reply.parsed, Judgement):
        return reply.parsed
    if reply.parsed is None:
        return (
            "the judge's output could not be used"
            if reply.said.strip()
            else "the judge said nothing"
        )
    try:
        return Judgement.model_validate(reply.parsed)
    except ValidationError:
        return "the judge's output does not have the form asked for"


def _contradiction(judgement: Judgement) -> str | None:
    wrong = judgement.first_wrong
    if judgement.verdict == "right" and wrong:
        return "the judge contradicts itself: a step is wrong but the answer is right"
    if judgement.verdict == "wrong" and wrong and not wrong.mistake.strip():
        return "the judge gives no grounds for its fail"
    if judgement.verdict == "wrong" and not wrong:
        return "the judge fails the answer but finds no wrong step"
    return None


def _step_error(opinion: StepOpinion, steps: tuple[Step, ...]) -> StepError:
    mistake = opinion.mistake.strip()
    known = any(step.number == opinion.step for step in steps)
    return StepError(
        step=opinion.step if known else None,
        kind=opinion.kind,
        message=f"Step {opinion.step}: {mistake}" if known else mistake,
        subject=mistake[:120],
    )


def _ticks(judgement: Judgement, steps: tuple[Step, ...]) -> tuple[StepVerdict, ...]:
    """The opinions of steps that there are."""
    known = {step.number for step in steps}
    return tuple(
        StepVerdict(step=one.step, verdict=one.verdict, check=one.check)
        for one in judgement.steps
        if one.step in known
    )


def _score(judgement: Judgement) -> float:
    values = {"right": 1.0, "unsure": 0.5, "wrong": 0.0}
    opinions = [values[item.verdict] for item in judgement.steps] + [values[judgement.verdict]]
    return sum(opinions) / len(opinions)


def _failure(error: Exception) -> str:
    if isinstance(error, RefusalError):
        return "the judge refused"
    if isinstance(error, TimeoutError):
        return "the judge timed out"
    return "the judge's output could not be used"


def _timed_out(error: BaseException) -> bool:
    """Whether a time-out is the cause of a server error."""
    link: BaseException | None = error.__cause__ or error.__context__
    for _ in range(10):
        if link is None:
            return False
        if any("Timeout" in cls.__name__ for cls in type(link).__mro__):
            return True
        link = link.__cause__ or link.__context__
    return False

"""A model that answers any prompt, the same one always alike, and what an evaluation needs of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

from vitarmm_agent.evals.datasets.records import Benchmark
from vitarmm_agent.evals.run.agents import Models
from vitarmm_agent.evals.run.arms import choose_arms
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.evals.run.plan import EvaluationPlan
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.models.structured import json_schema_of, structured
from vitarmm_agent.problem import Problem
from vitarmm_agent.rmm.writer import MemoryWriter
from vitarmm_agent.settings import Settings

TEXTS = (
    "A square has a perimeter of 20 cm. What is its area in square centimeters?",
    "The area of a square garden is asked; a fence of 36 m goes all around it.",
    "Anna walks once around a square field and counts 48 steps. How many square steps is it?",
    "Which area has a square tile whose four sides together are 8 cm long?",
    "A carpet is square. Its border is 12 m long. How much floor does the carpet cover?",
    "A rectangle is twice as long as wide and has a perimeter of 30 cm. Find its area.",
    "A ribbon of 28 cm frames a square picture exactly. What is the area of the picture?",
    "The outline of a square pool measures 60 m; how large is the surface of the water?",
)
LESSONS = (
    "Divide the perimeter of a square by four before squaring the side.",
    "Write down the side length first and check that it is shorter than the border.",
    "The surface comes from the side multiplied by itself, never from the border.",
    "A rectangle needs both of its sides; halve the outline and split it by the ratio.",
)


def answer_to(messages: str, schema: str | None) -> str:
    """What the pupil says: decided by the prompt alone."""
    number = int(hashlib.sha256(messages.encode()).hexdigest()[:8], 16)
    if schema is None:
        side = number % 9 + 2
        shown = side * side if number % 5 else side * side + 1
        return f"1. The side is {side}.\n2. The area is {side} * {side} = {shown}.\nAnswer: {shown}"
    if schema == "Judgement":
        verdict = "right" if number % 3 == 0 else "wrong"
        step = {"step": 1, "check": "done again", "verdict": verdict, "mistake": "The side is off."}
        return json.dumps({"steps": [step], "verdict": verdict})
    if number % 7 == 0:
        return '{"operations": "broken"}'
    lesson = {
        "kind": "add",
        "title": f"Lesson {'abcdefgh'[number % 8]}",
        "applies_when": "the perimeter of a square is given and its area is asked for",
        "content": f"{LESSONS[number % 4]} Note {'abcdefghijklmnop'[number // 8 % 16] * 3}.",
        "entry_type": "insight",
        "confidence": 0.8,
    }
    return json.dumps({"operations": [lesson]})


class Pupil(BaseChatModel):
    """The pupil as a chat model; ``interrupt_at`` calls a hook before that call is answered."""

    _calls: int = PrivateAttr(default=0)
    _hook: Any = PrivateAttr(default=None)
    _prompts: list[tuple[str | None, str]] = PrivateAttr(default_factory=list)

    @property
    def calls(self) -> int:
        return self._calls

    @property
    def prompts(self) -> list[tuple[str | None, str]]:
        return self._prompts

    def on_call(self, hook: Any) -> None:
        self._hook = hook

    @property
    def _llm_type(self) -> str:
        return "pupil"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise AssertionError("evaluations are asynchronous")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self._calls += 1
        prompt = "\n".join(message.text for message in messages)
        schema = kwargs.get("schema_title")
        self._prompts.append((schema, prompt))
        if self._hook is not None:
            await self._hook(self._calls, prompt)
        text = answer_to(prompt, schema)
        usage: Any = {"input_tokens": len(prompt.split()), "output_tokens": len(text.split())}
        usage["total_tokens"] = sum(usage.values())
        message = AIMessage(text, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        title = json_schema_of(schema)["title"]
        return structured(self.bind(schema_title=title), schema, include_raw=include_raw)


def models_of(pupil: BaseChatModel) -> Models:
    return Models(pupil, pupil, MemoryWriter(pupil), lambda number: pupil)


def problems_of(texts: Sequence[str] = TEXTS, prefix: str = "p") -> tuple[Problem, ...]:
    return tuple(
        Problem(id=f"{prefix}{n}", text=text, reference="25", answer_type="integer")
        for n, text in enumerate(texts)
    )


def benchmark_of(problems: Sequence[Problem]) -> Benchmark:
    return Benchmark(
        name="problems", split="test", problems=tuple(problems), source="made", sha256="0"
    )


def plan_of(folder: Path, arms: str, **changes: Any) -> EvaluationPlan:
    options: dict[str, Any] = {
        "benchmarks": (benchmark_of(problems_of()),),
        "settings": Settings.load(
            feedback="arithmetic,judge", judge_pass_precision=0.9, judge_fail_precision=0.9
        ),
        "orders": 2,
        "workers": 4,
        "first_wait": 0.001,
    }
    return EvaluationPlan(
        folder=EvaluationFolder(folder), arms=choose_arms(arms), **options | changes
    )


def timeless(samples: Sequence[Sample]) -> dict[str, Any]:
    """Samples by key, without what the clock decides."""
    return {sample.key: _timeless(sample.model_dump(mode="json")) for sample in samples}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k != "seconds"}
    return [_timeless(item) for item in value] if isinstance(value, list) else value

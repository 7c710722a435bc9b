"""An evaluation whose model is on a server, as the tests of a cluster run it here and there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from tests.evals.pupil import TEXTS, answer_to, benchmark_of, plan_of, problems_of
from vitarmm_agent.evals.run.plan import EvaluationPlan
from vitarmm_agent.evals.speed.server import ScriptedServer, asked_for, running

ARMS = "single,within,frozen,online,consistency"


def pupil(request: dict[str, Any]) -> str:
    """What the pupil says: decided by the prompt alone."""
    prompt = "\n".join(str(message["content"]) for message in request["messages"])
    return answer_to(prompt, asked_for(request))


@contextmanager
def served_plan(
    folder: Path, arms: str = ARMS, reply: Any = pupil, **choices: Any
) -> Iterator[EvaluationPlan]:
    """A plan for three problems, while its server runs."""
    with running(ScriptedServer(reply)) as url:
        plan = plan_of(folder, arms, learning=benchmark_of(problems_of(TEXTS[6:], "t")))
        settings = plan.settings.model_copy(update={"reasoner": "openai:pupil", "base_url": url})
        given = {"benchmarks": (benchmark_of(problems_of(TEXTS[:3])),)} | choices
        yield replace(plan, settings=settings, **given)


def rays() -> list[psutil.Process]:
    """All processes that Ray has begun for this one."""
    return psutil.Process().children(recursive=True)


def actors() -> list[psutil.Process]:
    """The processes of our actors."""
    return [p for p in rays() if "ray::Actor" in "".join(p.cmdline())]

"""What a verifier is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from vitarmm_agent.effects import Flow
from vitarmm_agent.problem import Attempt, Feedback, Problem


@runtime_checkable
class Verifier(Protocol):
    """Judges one attempt: it may pass, fail or abstain.

    ``check`` is a :data:`~vitarmm_agent.effects.Flow`, so that one body serves sync and async runs;
    a verifier that calls nothing outside is a generator that yields nothing.
    """

    name: str

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Say whether ``attempt`` solves ``problem``, and which steps are wrong."""
        ...

"""Verifiers: each may pass, fail or abstain; a policy combines them; a rule says when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.verifiers.arithmetic import Arithmetic
    from vitarmm_agent.verifiers.base import Verifier
    from vitarmm_agent.verifiers.borrowed import Borrowed
    from vitarmm_agent.verifiers.choice import ChoiceIsValid
    from vitarmm_agent.verifiers.follows import AnswerFollows
    from vitarmm_agent.verifiers.function import Function
    from vitarmm_agent.verifiers.human import Human
    from vitarmm_agent.verifiers.judge import Judge
    from vitarmm_agent.verifiers.policy import FeedbackPolicy, build_policy
    from vitarmm_agent.verifiers.reference import Reference
    from vitarmm_agent.verifiers.self_consistency import SelfConsistency
    from vitarmm_agent.verifiers.stopping import NextStep, decide_next, standing_answer

__all__ = [
    "AnswerFollows",
    "Arithmetic",
    "Borrowed",
    "ChoiceIsValid",
    "NextStep",
    "FeedbackPolicy",
    "Function",
    "Human",
    "Judge",
    "Reference",
    "SelfConsistency",
    "Verifier",
    "build_policy",
    "decide_next",
    "standing_answer",
]

__getattr__ = lazy_names(
    __name__,
    {
        "AnswerFollows": "follows",
        "Arithmetic": "arithmetic",
        "Borrowed": "borrowed",
        "ChoiceIsValid": "choice",
        "NextStep": "stopping",
        "FeedbackPolicy": "policy",
        "Function": "function",
        "Human": "human",
        "Judge": "judge",
        "Reference": "reference",
        "SelfConsistency": "self_consistency",
        "Verifier": "base",
        "build_policy": "policy",
        "decide_next": "stopping",
        "standing_answer": "stopping",
    },
)

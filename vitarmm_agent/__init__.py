"""An agent that learns from its own mistakes.

from vitarmm_agent import ReasoningAgent

agent = ReasoningAgent.open()
print(agent.solve("A square has a perimeter of 20 cm. What is its area?").answer)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.agent import ReasoningAgent
    from vitarmm_agent.memory_store.schema import MemoryEntry
    from vitarmm_agent.problem import Attempt, Feedback, Problem, Step, StepError, Usage
    from vitarmm_agent.result import Result
    from vitarmm_agent.settings import Settings

__version__ = "0.1.0"
__all__ = [
    "Attempt",
    "Feedback",
    "MemoryEntry",
    "Problem",
    "ReasoningAgent",
    "Result",
    "Settings",
    "Step",
    "StepError",
    "Usage",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Attempt": "problem",
        "Feedback": "problem",
        "MemoryEntry": "memory_store.schema",
        "Problem": "problem",
        "ReasoningAgent": "agent",
        "Result": "result",
        "Settings": "settings",
        "Step": "problem",
        "StepError": "problem",
        "Usage": "problem",
    },
)

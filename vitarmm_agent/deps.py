"""Live objects of a graph, frozen; they never reach a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitarmm_agent.media import MediaStore

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.rmm.writer import MemoryWriter
    from vitarmm_agent.verifiers.policy import FeedbackPolicy


@dataclass(frozen=True)
class Limits:
    """When a run stops at the latest; a run may set its own in its context.

    Attributes:
        max_iterations: attempts per problem.
        max_seconds: wall time of a run, checked between iterations.
        max_tokens: tokens of all model calls of a run, checked between iterations.
        use_memory: recall from memory and write to it.
    """

    max_iterations: int = 3
    max_seconds: float | None = None
    max_tokens: int | None = None
    use_memory: bool = True


@dataclass(frozen=True)
class Deps:
    """What the nodes work with.

    Attributes:
        reasoner: solves.
        policy: judges.
        writer: decides what to remember; None: nothing is written.
        memory: what was named; None: memory is off, or nothing was named.
        media: where images lie.
        limits: in force unless a run sets its own.
        namespace: whose memory it is; may be a template that each run fills.
        default_memory: opens the memory of the settings, where nothing was named; the store of the
            graph that runs (a parent's, say) comes before it.
    """

    reasoner: BaseChatModel
    policy: FeedbackPolicy
    writer: MemoryWriter | None
    memory: ReasoningMemory | None
    media: MediaStore
    limits: Limits = Limits()
    namespace: tuple[str, ...] = ()
    default_memory: Callable[[], ReasoningMemory | None] | None = None

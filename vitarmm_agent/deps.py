"""Live objects of a graph, frozen; they never reach a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from vitarmm_agent.media import MediaStore

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.rmm.worked import Teacher
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

    max_iterations: Annotated[int, Field(ge=1)] = 3
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
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
        trusted_precision: measured precision of a pass from which a run's own solution, after a fail,
            is kept as a worked example.
        retry_temperature: of another attempt that has nothing to go on from; see
            :func:`~vitarmm_agent.models.retried.sampling`.
        limits: in force unless a run sets its own.
        limits_are_most: a run may set lower ones only, since it is a client's.
        namespace: whose memory it is; may be a template that each run fills.
        default_memory: opens the memory of the settings, where nothing was named; the store of the
            graph that runs (a parent's, say) comes before it.
        teacher: asked for a right solution where a run ends without a pass.
    """

    reasoner: BaseChatModel
    policy: FeedbackPolicy
    writer: MemoryWriter | None
    memory: ReasoningMemory | None
    media: MediaStore
    trusted_precision: float = 0.95
    retry_temperature: float = 0.7
    limits: Limits = Limits()
    limits_are_most: bool = False
    namespace: tuple[str, ...] = ()
    default_memory: Callable[[], ReasoningMemory | None] | None = None
    teacher: Teacher | None = None

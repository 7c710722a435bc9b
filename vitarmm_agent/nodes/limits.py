"""When a run stops at the latest."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.deps import Deps, Limits
from vitarmm_agent.errors import InputError

_READ = TypeAdapter(Limits)


def limits_in_force(kept: Any, deps: Deps) -> Limits:
    """The limits that a run asks for; none above the graph's own where those are the most.

    Args:
        kept: limits by name, as a run's context sets them or its state keeps them; whoever may begin
            the run or write its state may have written them.
        deps: of the graph.

    Raises:
        InputError: they are no limits.
    """
    try:
        asked = _READ.validate_python(kept)
    except ValidationError as error:
        faults = error_lines(error, got=False)
        raise InputError(
            f"the limits of this run cannot be used, {kept!r:.200}: {faults}"
        ) from None
    if not deps.limits_are_most:
        return asked
    most = deps.limits
    return Limits(
        max_iterations=min(asked.max_iterations, most.max_iterations),
        max_seconds=_least(asked.max_seconds, most.max_seconds),
        max_tokens=_least(asked.max_tokens, most.max_tokens),
        use_memory=asked.use_memory and most.use_memory,
    )


def limits_to_begin_with(overrides: dict[str, Any], deps: Deps) -> dict[str, Any]:
    """The limits of a new run, as data: the graph's own with what the run's context sets."""
    return asdict(limits_in_force(asdict(deps.limits) | overrides, deps))


def _least(*limits: float | None) -> Any:
    return min((limit for limit in limits if limit is not None), default=None)

"""Fuzz targets: whatever comes in, what comes out is a value or an error that says who must act.

The default run is short and always the same; ``make fuzz`` goes on for an hour with fresh examples.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Of each target; 0 is the short run."""


def fuzzed(short: int) -> settings:
    """How often a target is tried: ``short`` times by default."""
    return settings(
        max_examples=EXAMPLES or short,
        derandomize=not EXAMPLES,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        **({} if EXAMPLES else {"database": None}),  # type: ignore[arg-type]
    )

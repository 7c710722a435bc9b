"""How sure a share is that was counted: Wilson's score interval."""

from __future__ import annotations

import math


def wilson_bounds(successes: float, n: float, z: float) -> tuple[float, float]:
    """Lower and upper bound of a share; 0 and 1 without trials.

    Counts need not be whole: an effective sample size may be given.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).

    Args:
        successes: 0 to ``n``.
        n: trials.
        z: quantile of the normal distribution, such as 1.96.
    """
    if n <= 0:
        return 0.0, 1.0
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return low, high

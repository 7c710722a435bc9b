"""Measured precision of verdicts, as ``vitarmm eval verifiers`` prints it.

By (verifier, verdict): the share of its fails that stand on a wrong final answer, or of its passes on
a right one, pooled over GSM8K and MATH-Vision solutions of real models. ``docs/feedback.md`` has the
table by data set, with base rates and intervals. A verdict that was not measured is not here.
"""

from __future__ import annotations

MIN_PRECISION = 0.5
"""A fail of a verifier that is right less often than this is no ground for another attempt, and what a
judge says decides nothing."""
MEASURED: dict[tuple[str, str], float] = {
    ("arithmetic", "fail"): 0.89,
    ("arithmetic", "pass"): 0.31,
    ("answer_follows", "fail"): 1.0,
    ("answer_follows", "pass"): 0.36,
    ("choice", "fail"): 1.0,
    ("choice", "pass"): 0.20,
}

"""Measured precision of verdicts, as ``vitarmm eval verifiers`` prints it.

By (verifier, verdict): the share of its fails that stand on a wrong final answer, or of its passes on
a right one. ``docs/feedback.md`` has the table, its intervals and the data. A verdict that was not
measured is not here.
"""

from __future__ import annotations

MEASURED: dict[tuple[str, str], float] = {}

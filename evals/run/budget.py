"""What an evaluation may spend: tokens, dollars or time."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Literal

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.run.samples import Sample

Unit = Literal["tokens", "dollars", "seconds"]
_FORM = re.compile(
    r"(?P<dollar>\$)?\s*+(?P<amount>\d+(?:[.,_]\d+)*)\s*+(?P<scale>[kKM])?\s*+(?P<unit>[a-z]*)"
)
_UNITS: dict[str, tuple[Unit, float]] = {
    "tokens": ("tokens", 1),
    "dollars": ("dollars", 1),
    "s": ("seconds", 1),
    "min": ("seconds", 60),
    "h": ("seconds", 3600),
}
_SCALES = {"k": 1e3, "K": 1e3, "M": 1e6}


@dataclass(frozen=True)
class Budget:
    """An amount in one unit. Tokens and dollars count all sessions, seconds only the present one."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Budget:
        """A budget from words: ``2M tokens``, ``$5`` or ``5 dollars``, ``90 s``, ``30 min``, ``8h``.

        Raises:
            InputError: the words have another form, or the amount is 0.
        """
        match = _FORM.fullmatch(text.strip())
        unit = "dollars" if match and match["dollar"] else match["unit"] if match else ""
        if match is None or unit not in _UNITS or (match["dollar"] and match["unit"]):
            raise InputError(
                f"budget {text!r} cannot be read; write it like '2M tokens', '$5', '30 min' or '8h'"
            )
        name, factor = _UNITS[unit]
        number = float(re.sub(r"[,_]", "", match["amount"]))
        amount = number * _SCALES.get(match["scale"] or "", 1) * factor
        if amount <= 0:
            raise InputError(f"budget {text!r} must be more than nothing")
        return cls(amount, name)

    def __str__(self) -> str:
        """``2,000,000 tokens``."""
        return (
            f"{self.amount:,g} {self.unit}"
            if self.amount < 1e6
            else f"{self.amount:,.0f} {self.unit}"
        )


class Meter:
    """Counts what is spent against a budget."""

    def __init__(self, budget: Budget | None) -> None:
        """Start the clock; without a budget nothing is ever over."""
        self.budget = budget
        self.started = time.monotonic()
        self.tokens, self.dollars = 0, 0.0

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        self.tokens += sample.usage.total_tokens
        self.dollars += sample.cost or 0.0

    def over(self) -> str | None:
        """Why no further sample may be begun, or None."""
        if self.budget is None:
            return None
        spent = {
            "tokens": self.tokens,
            "dollars": self.dollars,
            "seconds": time.monotonic() - self.started,
        }[self.budget.unit]
        return f"the budget of {self.budget} is spent" if spent >= self.budget.amount else None

"""What entries are tried on, and what came of it. Plain data."""

from __future__ import annotations

from typing import Literal

from vitarmm_agent.data import Data
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.problem import Problem

Effect = Literal["fixes", "breaks", "nothing"]


class Probe(Data):
    """A problem that entries are tried on.

    Attributes:
        placebo: an entry of another kind of problem, which is tried in their place as a control.
    """

    problem: Problem
    placebo: MemoryEntry | None = None


class Trial(Data):
    """One problem attempted without an entry and with it.

    Attributes:
        without: for each sample, whether the attempt with an empty memory was right.
        shown: for each sample, whether the attempt that was shown the entry was right.
        placebo: for each sample, whether the attempt that was shown the placebo was right.
    """

    problem_id: str
    without: tuple[bool, ...]
    shown: tuple[bool, ...]
    placebo: tuple[bool, ...] = ()

    @property
    def effect(self) -> Effect:
        """``breaks`` when fewer attempts are right with the entry than with an empty memory.

        ``fixes`` when more are: than with an empty memory, and than with the placebo, if there is one.
        """
        right = sum(self.shown)
        if right < sum(self.without):
            return "breaks"
        return "fixes" if right > max(sum(self.without), sum(self.placebo)) else "nothing"

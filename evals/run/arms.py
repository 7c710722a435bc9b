"""The arms of an evaluation: what each one may do, and the orders in which it meets the problems."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from vitarmm_agent.errors import InputError

Keeps = Literal["off", "nothing", "own", "learned", "stream", "taught", "lessons", "shown"]
"""What an arm's memory holds.

``off``: there is none, and no memory writer is asked. ``nothing``: the writer is asked, and what it
writes is thrown away. ``own``: what the run itself wrote. ``learned``: what was learned from other
problems beforehand; nothing is added. ``stream``: what the problems before this one taught.
``taught``: a worked example of each group of recurring problems; nothing is added. ``lessons``: the
same, as text alone. ``shown``: nothing, but recall is made to show one given example.
"""
T = TypeVar("T")


@dataclass(frozen=True)
class Arm:
    """One configuration that is compared with others.

    Attributes:
        keeps: what its memory holds.
        loop: it may try again; else it has one pass.
        votes: it makes several independent passes, and the most frequent answer stands.
        ordered: the problems must follow one another, so it is run in several orders.
        oracle: its feedback sees the gold answer.
        recurs: it needs recurring problems: groups of which one problem is taught.
        summary: what it is, in words for a report.
    """

    name: str
    keeps: Keeps
    summary: str
    loop: bool = True
    votes: bool = False
    ordered: bool = False
    oracle: bool = False
    recurs: bool = False


ARMS = {
    arm.name: arm
    for arm in (
        Arm("single", "off", "one pass, no feedback, no memory", loop=False),
        Arm("empty", "nothing", "an empty memory: same prompts, same calls"),
        Arm(
            "consistency",
            "off",
            "independent passes at the cost of a loop; the most frequent answer stands",
            loop=False,
            votes=True,
        ),
        Arm("within", "own", "the loop with a fresh memory for each problem"),
        Arm(
            "frozen", "learned", "the loop with a memory learned from training problems, read only"
        ),
        Arm(
            "online", "stream", "the loop with a memory that grows over the problems", ordered=True
        ),
        Arm(
            "oracle",
            "stream",
            "ORACLE: as online, but the feedback sees the gold answer; no fair comparison",
            ordered=True,
            oracle=True,
        ),
        Arm(
            "form",
            "shown",
            "as empty, shown one fixed worked example, the same for every problem",
            recurs=True,
        ),
        Arm(
            "placebo",
            "shown",
            "as empty, shown a worked example of another group in place of its own",
            recurs=True,
        ),
        Arm(
            "taught",
            "taught",
            "as empty, with a memory of one worked example of each group, read only",
            recurs=True,
        ),
        Arm("lessons", "lessons", "as taught, with the solutions as text lessons", recurs=True),
    )
}
LEARNING = Arm("learning", "stream", "the stream that the frozen arm's memory is learned from")
TEACHING = Arm("teaching", "off", "one pass of the teacher over the problems taught", loop=False)
COST_REFERENCES = ("online", "within", "frozen", "empty", "oracle")
"""Arms whose cost self-consistency is given, the first of them that was run."""


def choose_arms(names: str) -> tuple[Arm, ...]:
    """Arms by comma-separated names, each once.

    Raises:
        InputError: a name is unknown, or there is none.
    """
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in ARMS]
    if unknown or not wanted:
        raise InputError(
            f"unknown arm {', '.join(map(repr, unknown)) or repr(names)}; "
            f"use some of: {', '.join(ARMS)}"
        )
    return tuple(ARMS[name] for name in wanted)


def in_order(problems: Sequence[T], order: int, seed: int) -> list[T]:
    """The problems in one task order: 0 is the order of the file, the others are shuffled."""
    found = list(problems)
    if order:
        random.Random(f"{seed}/order/{order}").shuffle(found)
    return found


def votes_at_equal_cost(loop_tokens: Sequence[int], pass_tokens: Sequence[int]) -> int:
    """How many passes cost what the loop costs, on the mean; at least 1.

    Args:
        loop_tokens: tokens of each run of the loop.
        pass_tokens: tokens of each single pass.
    """
    if not loop_tokens or not sum(pass_tokens):
        return 1
    loop = sum(loop_tokens) / len(loop_tokens)
    return max(1, round(loop * len(pass_tokens) / sum(pass_tokens)))

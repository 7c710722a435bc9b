"""What makes a decision one to learn from: what its entries did when they were tried. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, permutations

from vitarmm_agent.training.rows import DecisionRow, Effect, Label, PreferenceRow


def combined(effects: Iterable[Effect]) -> Effect:
    """What several entries did together: one that breaks spoils a decision, one that fixes makes it."""
    found = set(effects)
    for effect in ("breaks", "fixes", "nothing"):
        if effect in found:
            return effect
    return "untried"


def label_of(own: Effect, similar: Effect) -> Label:
    """``chosen`` when it fixes without breaking, ``rejected`` when it breaks or does nothing.

    Args:
        own: what the entries did to the problem they come from.
        similar: what they did to a similar one; ``untried`` where there is none.
    """
    whole = combined((own, similar))
    if whole == "untried":
        return "unlabelled"
    return "chosen" if whole == "fixes" else "rejected"


def preferences(rows: Sequence[DecisionRow]) -> list[PreferenceRow]:
    """Pairs of decisions on one prompt: what helped over what did not, nothing over harm.

    Rows of one prompt must follow one another.
    """
    pairs = []
    for _, same in groupby(rows, key=lambda row: row.prompt):
        for better, worse in permutations(same, 2):
            if _preferred(better, worse):
                pairs.append(_pair(better, worse))
    return pairs


def _preferred(better: DecisionRow, worse: DecisionRow) -> bool:
    if better.label == "chosen":
        return worse.label == "rejected"
    return better.keeps_nothing and "breaks" in (worse.effect_own, worse.effect_similar)


def _pair(better: DecisionRow, worse: DecisionRow) -> PreferenceRow:
    return PreferenceRow(
        prompt=better.prompt,
        chosen=better.completion,
        rejected=worse.completion,
        benchmark=better.benchmark,
        problem_id=better.problem_id,
        key=f"{better.key}>{worse.key}",
    )

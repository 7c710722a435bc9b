"""A chart of what came of an entry: the share of attempts that passed, as it became known."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from vitarmm_agent.viewer.entry_view import Count
from vitarmm_agent.wilson import wilson_bounds

WIDTH, HEIGHT = 440, 190
LEFT, RIGHT, TOP, LOW = 46, 430, 12, 154
HALF = 0.5
Z = 1.96
MOST_MARKS = 60
"""Marks that can be told apart; of more, only the line is drawn."""
_MARKS = {"pass": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "fail": "M-4 -4L4 4M-4 4L4 -4"}


def share_chart(counts: Sequence[Count]) -> Markup:
    """The share that passed after each verdict, with its 95 % interval; nothing for fewer than two."""
    counts = [count for count in counts if count.used]
    if len(counts) < 2:
        return Markup("")
    line, low, high, marks = [], [], [], []
    for place, count in enumerate(counts):
        x = LEFT + (RIGHT - LEFT) * place / (len(counts) - 1)
        passed = min(count.helpful, count.used)
        y, bounds = _y(passed / count.used), wilson_bounds(passed, count.used, Z)
        line.append(f"{x:.1f} {y:.1f}")
        low.append(f"{x:.1f} {_y(bounds[0]):.1f}")
        high.append(f"{x:.1f} {_y(bounds[1]):.1f}")
        if count.verdict in _MARKS and len(counts) <= MOST_MARKS:
            marks.append(
                Markup(
                    '<path class="mark {}" transform="translate({:.1f} {:.1f})" d="{}"/>'
                ).format(count.verdict, x, y, _MARKS[count.verdict])
            )
    last = counts[-1]
    words = f"{last.helpful} of {last.used} attempts that were shown it passed by {_day(last)}"
    return Markup(
        '<svg class="shares" viewBox="0 0 {w} {h}" role="img" aria-label="{words}">{grid}'
        '<path class="band" d="M{low}L{high}z"/><path class="share" d="M{line}"/>{marks}'
        '<text x="{left}" y="{below}">{first}</text>'
        '<text class="at-end" x="{right}" y="{below}">{end}</text></svg>'
    ).format(
        w=WIDTH,
        h=HEIGHT,
        words=words,
        grid=Markup("").join(_rule(share) for share in (0.0, HALF, 1.0)),
        low="L".join(low),
        high="L".join(reversed(high)),
        line="L".join(line),
        marks=Markup("").join(marks),
        left=LEFT,
        right=RIGHT,
        below=LOW + 24,
        first=_day(counts[0]),
        end=_day(last),
    )


def _rule(share: float) -> Markup:
    y = _y(share)
    return Markup(
        '<path class="{}" d="M{} {:.1f}H{}"/><text class="at-end" x="{}" y="{:.1f}">{:.0f} %</text>'
    ).format("half" if share == HALF else "grid", LEFT, y, RIGHT, LEFT - 7, y + 4, share * 100)


def _y(share: float) -> float:
    return LOW - (LOW - TOP) * share


def _day(count: Count) -> str:
    return count.at.date().isoformat()

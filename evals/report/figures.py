"""The figures of a report: which numbers go into which plot. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vitarmm_agent.evals.metrics import ArmMetrics, Estimate
from vitarmm_agent.evals.metrics.answers import CurvePoint
from vitarmm_agent.evals.report.build import Report
from vitarmm_agent.evals.report.drawing import (
    Axis,
    Bar,
    Dot,
    Matrix,
    Series,
    axis,
    chart,
    forest,
    matrices,
)

SLANT = 0.045


@dataclass(frozen=True)
class Figure:
    """A plot with its words.

    Attributes:
        name: id on the page.
        caption: how to read it.
        legend: index and name of each series shown.
    """

    name: str
    title: str
    caption: str
    svg: Markup
    legend: tuple[tuple[int, str], ...] = ()


def all_figures(report: Report) -> list[Figure]:
    """Every figure for which there is something to draw."""
    arms = list(enumerate(report.metrics.arms))
    found = [
        _accuracy(arms),
        _differences(report, arms),
        _iterations(arms),
        _curve(report, arms),
        _gain(report, arms),
        _price(arms),
        _confusion(arms),
        _calibration(arms),
    ]
    return [figure for figure in found if figure is not None]


Arms = Sequence[tuple[int, ArmMetrics]]


def _accuracy(arms: Arms) -> Figure | None:
    bars = [
        Bar(m.arm, i, e.value, e.low, e.high, e.text(digits=0))
        for i, m in arms
        if (e := m.accuracy).value is not None and e.low is not None and e.high is not None
    ]
    if not bars:
        return None
    ends = [bound for bar in bars for bound in (bar.low, bar.high)]
    x = axis(ends, percent, label="right answers", least=0.0, most=1.0, parts=4)
    title = "Accuracy of each arm"
    svg = forest("accuracy", title, _told(bars), bars, x)
    return Figure("accuracy", title, "Of the runs that ended, with 95 % intervals.", svg)


def _differences(report: Report, arms: Arms) -> Figure | None:
    control = report.metrics.control
    index = {m.arm: i for i, m in arms}
    bars = [
        Bar(c.first, index[c.first], d.value, d.low, d.high, points(d))
        for c in report.metrics.comparisons
        if c.second == control
        and (d := c.difference).value is not None
        and d.low is not None
        and d.high is not None
    ]
    if not bars or control is None:
        return None
    ends = [bound for bar in bars for bound in (bar.low, bar.high, 0.0)]
    x = axis(ends, signed, label="percentage points", parts=4)
    title = f"Difference to {control}, on the same problems"
    svg = forest("difference", title, _told(bars), bars, x, zero=True)
    return Figure(
        "difference", title,
        "Right of the dashed line is better. An interval that crosses it is no gain.", svg,
    )  # fmt: skip


def _iterations(arms: Arms) -> Figure | None:
    shown = [(i, m) for i, m in arms if m.iterations]
    most = max((len(m.iterations) for _, m in shown), default=0)
    if most < 2:
        return None
    series = []
    for place, (i, m) in enumerate(shown):
        off = (place - (len(shown) - 1) / 2) * SLANT
        passed = tuple(Dot(p.k + off, p.pass_at_k.value or 0.0) for p in m.iterations)
        stands = tuple(_dot(p.k + off, p.accuracy) for p in m.iterations)
        series += [Series(m.arm, i, passed, "dotted"), Series(m.arm, i, stands)]
    y = axis(_heights(series), percent, least=0.0, most=1.0)
    x = Axis(0.8, most + 0.2, tuple(range(1, most + 1)), whole, "attempts allowed")
    title = "Accuracy per number of attempts"
    words = "; ".join(
        f"{m.arm}: {', '.join(p.accuracy.text(digits=0) for p in m.iterations)}" for _, m in shown
    )
    return Figure(
        "iterations", title,
        "Lines: the answer that stands. Dotted: a right answer among those made (pass@k), which no "
        "system that has to choose can exceed.",
        chart("iterations", title, words, series, x, y), _legend(shown),
    )  # fmt: skip


def _curve(report: Report, arms: Arms) -> Figure | None:
    shown = [(i, m) for i, m in arms if len(m.curve) > 1 and _learns(m)]
    if not shown:
        return None
    base = [(i, m) for i, m in arms if m.arm == report.metrics.control and len(m.curve) > 1]
    series = [
        Series(m.arm, i, tuple(Dot(_middle(p), p.accuracy.value or 0.0) for p in m.curve), "dotted")
        for i, m in base
    ]
    series += [
        Series(m.arm, i, tuple(_dot(_middle(p), p.accuracy) for p in m.curve), "band")
        for i, m in shown
    ]
    y = axis(_heights(series), percent, least=0.0, most=1.0)
    x = axis([1, max(p.last for _, m in shown for p in m.curve)], whole, label="problem number")
    title = "Learning curve over the stream"
    words = "; ".join(
        f"{m.arm}: {', '.join(p.accuracy.text(digits=0) for p in m.curve)}" for _, m in shown
    )
    return Figure(
        "curve", title,
        "Mean over the orders of the problems, with 95 % bands. Dotted: the control at the same "
        "places of its own order.",
        chart("curve", title, words, series, x, y), _legend([*shown, *base]),
    )  # fmt: skip


def _gain(report: Report, arms: Arms) -> Figure | None:
    series = [
        Series(
            m.arm, i, tuple(_dot(_middle(p), p.gain) for p in m.curve if p.gain is not None), "band"
        )
        for i, m in arms
        if len(m.curve) > 1 and _learns(m) and any(p.gain for p in m.curve)
    ]
    control = report.metrics.control
    if not series or control is None:
        return None
    shown = [(i, m) for i, m in arms if m.arm in {item.name for item in series}]
    y = axis([*_heights(series), 0.0], signed)
    x = axis([1, max(p.last for _, m in shown for p in m.curve)], whole, label="problem number")
    title = f"Gain over {control} along the stream"
    words = "; ".join(
        f"{m.arm}: {', '.join(points(p.gain) for p in m.curve if p.gain)}" for _, m in shown
    )
    return Figure(
        "gain", title,
        f"Against {control} on the very same problems, in percentage points: memory that helps "
        "rises from zero to the right.",
        chart("gain", title, words, series, x, y, zero=True), _legend(shown),
    )  # fmt: skip


def _price(arms: Arms) -> Figure | None:
    priced = all(m.price.cost.value is not None for _, m in arms)
    series = []
    for i, m in arms:
        spent = 1000 * (m.price.cost.value or 0.0) if priced else m.price.tokens.value
        if spent is not None and m.accuracy.value is not None:
            series.append(Series(m.arm, i, (_dot(spent, m.accuracy),), "dots"))
    if not series:
        return None
    y = axis(_heights(series), percent, least=0.0, most=1.0)
    label = "dollars per 1,000 problems" if priced else "tokens per problem"
    spent_on = [0.0, *(item.dots[0].x * 1.05 for item in series)]
    x = axis(spent_on, dollars if priced else whole, label=label, parts=4)
    words = "; ".join(
        f"{m.arm}: {m.accuracy.text(digits=0)} at {m.price.tokens.text(percent=False, digits=0)} tokens"
        for _, m in arms
    )
    title = "Accuracy against cost"
    return Figure(
        "cost", title, "Up is better, left is cheaper.",
        chart("cost", title, words, series, x, y), _legend(arms),
    )  # fmt: skip


def _confusion(arms: Arms) -> Figure | None:
    verdicts = ("pass", "fail", "abstain")
    items = [
        Matrix(
            m.arm,
            tuple(tuple(m.confusion.counts[v][t] for t in ("right", "wrong")) for v in verdicts),
            ((True, False), (False, True), (False, False)),
        )
        for _, m in arms
        if any(sum(m.confusion.counts[verdict].values()) for verdict in ("pass", "fail"))
    ]
    if not items:
        return None
    words = "; ".join(
        f"{item.name}: " + ", ".join(f"{v} {r[0]} right {r[1]} wrong"
                                     for v, r in zip(verdicts, item.cells, strict=True))
        for item in items
    )  # fmt: skip
    title = "Verdict against truth"
    svg = matrices("confusion", title, words, items, verdicts, ("right", "wrong"))
    return Figure(
        "confusion", title,
        "Attempts by what feedback said (rows) and what the gold answer says (columns). Blue cells "
        "are true verdicts.", svg,
    )  # fmt: skip


def _calibration(arms: Arms) -> Figure | None:
    shown = [(i, m) for i, m in arms if m.calibration.bins]
    if not shown:
        return None
    series = [
        Series(m.arm, i, tuple(_dot(b.confidence, b.right) for b in m.calibration.bins), "dots")
        for i, m in shown
    ]
    scale = axis([0.0, 1.0], percent, least=0.0, most=1.0)
    x = Axis(0.0, 1.0, scale.ticks, percent, "confidence of the entry shown")
    title = "Calibration of entry confidence"
    words = "; ".join(
        f"{m.arm}: ECE {m.calibration.ece.text(percent=False, digits=3)}" for _, m in shown
    )
    return Figure(
        "calibration", title,
        "How often an attempt is right that was shown an entry of this confidence. On the dashed "
        "line they agree.",
        chart("calibration", title, words, series, x, scale, diagonal=True), _legend(shown),
    )  # fmt: skip


def _learns(m: ArmMetrics) -> bool:
    """Whether what comes later in the stream can have seen what came before."""
    return m.arm in ("online", "oracle") or m.orders > 1


def _middle(point: CurvePoint) -> float:
    return (point.first + point.last) / 2


def _dot(x: float, e: Estimate) -> Dot:
    return Dot(x, e.value or 0.0, e.low, e.high)


def _heights(series: Sequence[Series]) -> list[float]:
    return [
        value
        for item in series
        for dot in item.dots
        for value in (dot.y, dot.low, dot.high)
        if value is not None
    ]


def _legend(arms: Arms) -> tuple[tuple[int, str], ...]:
    return tuple((i, m.arm) for i, m in arms)


def _told(bars: Sequence[Bar]) -> str:
    return "; ".join(f"{bar.name}: {bar.words}" for bar in bars)


def percent(value: float) -> str:
    """``70 %``."""
    return f"{100 * value:.0f} %"


def signed(value: float) -> str:
    """``+5``, in percentage points."""
    shown = f"{100 * value:+.3g}".replace("-", "−")
    return "0" if abs(value) < 1e-9 else shown


def points(e: Estimate | None) -> str:
    """``+3.1 [−0.4, +6.6]``, in percentage points."""
    if e is None or e.value is None or e.low is None or e.high is None:
        return "–"
    value, low, high = (round(100 * bound, 1) + 0.0 for bound in (e.value, e.low, e.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")


def whole(value: float) -> str:
    """``1,200``."""
    return f"{value:,.0f}"


def dollars(value: float) -> str:
    """``0.0012``."""
    return f"{value:.3g}"


def p_value(value: float | None) -> str:
    """A probability, never rounded to nothing."""
    if value is None:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"

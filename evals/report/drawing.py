"""Plots as SVG with their text kept as text. Pure; colours and sizes are the page's style sheet.

A series is told apart by its colour (``c0`` to ``c7``) and by the shape of its mark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from vitarmm_agent.clip import clip

WIDTH = 420
LEFT, RIGHT, TOP, BOTTOM = 46, 24, 12, 42
SHAPES = (
    "M0 -4.6A4.6 4.6 0 1 1 0 4.6A4.6 4.6 0 1 1 0 -4.6Z",
    "M-4.2 -4.2H4.2V4.2H-4.2Z",
    "M0 -5.4L5 3.8H-5Z",
    "M0 -5.8L5.8 0L0 5.8L-5.8 0Z",
    "M-1.7 -5.2H1.7V-1.7H5.2V1.7H1.7V5.2H-1.7V1.7H-5.2V-1.7H-1.7Z",
    "M0 5.4L5 -3.8H-5Z",
    "M-5 -2.6L0 -5.6L5 -2.6V2.6L0 5.6L-5 2.6Z",
    "M-5 -3L-3 -5L0 -2L3 -5L5 -3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",
)


@dataclass(frozen=True)
class Dot:
    """A point with the bounds of its interval."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points of one arm; ``index`` is its colour and shape.

    Attributes:
        style: ``line`` with whiskers, ``band`` (a line in its interval), ``dotted``, or ``dots``.
    """

    name: str
    index: int
    dots: tuple[Dot, ...]
    style: str = "line"


@dataclass(frozen=True)
class Bar:
    """A row of a forest plot."""

    name: str
    index: int
    value: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Axis:
    """A range of numbers, where its ticks are, and how they are written."""

    low: float
    high: float
    ticks: tuple[float, ...]
    write: Callable[[float], str]
    label: str = ""

    def at(self, value: float) -> float:
        """Place of a value, 0 to 1."""
        return (value - self.low) / (self.high - self.low or 1)


def axis(
    values: Iterable[float],
    write: Callable[[float], str],
    *,
    label: str = "",
    least: float | None = None,
    most: float | None = None,
    parts: int = 5,
) -> Axis:
    """An axis over the values with about ``parts`` round ticks; ``least``/``most`` bound it."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-9:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    step = _round_step((high - low) / parts)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [tick * step for tick in range(first, last + 1)]
    if least is not None:
        ticks = [tick for tick in ticks if tick >= least - 1e-9] or [least]
    if most is not None:
        ticks = [tick for tick in ticks if tick <= most + 1e-9] or [most]
    return Axis(min(low, ticks[0]), max(high, ticks[-1]), tuple(ticks), write, label)


def _round_step(rough: float) -> float:
    size = 10.0 ** math.floor(math.log10(rough))
    return next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough - 1e-12)


def chart(
    name: str, title: str, words: str, series: Sequence[Series], x: Axis, y: Axis, *,
    height: int = 290, diagonal: bool = False, zero: bool = False,
) -> Markup:  # fmt: skip
    """Points and lines over two axes.

    Args:
        name: id of the figure, unique on the page.
        title: what it shows.
        words: the same for those who do not see it.
        series: what is drawn, the first at the back.
        x: horizontal axis.
        y: vertical axis.
        height: in the units of a width of 420.
        diagonal: draw the line where both axes agree.
        zero: draw the line where y is 0.
    """
    right, low = WIDTH - RIGHT, height - BOTTOM

    def place(dot_x: float, dot_y: float) -> tuple[float, float]:
        return LEFT + x.at(dot_x) * (right - LEFT), low - y.at(dot_y) * (low - TOP)

    parts = [_grid(x, y, right, low)]
    if diagonal:
        (x1, y1), (x2, y2) = place(x.low, x.low), place(x.high, x.high)
        parts.append(_line(x1, y1, x2, y2, "even"))
    if zero:
        _, level = place(x.low, 0.0)
        parts.append(_line(LEFT, level, right, level, "even"))
    parts += [_series(item, place) for item in series]
    return _svg(name, title, words, height, parts)


def _grid(x: Axis, y: Axis, right: float, low: float) -> Markup:
    parts = []
    for tick in y.ticks:
        level = low - y.at(tick) * (low - TOP)
        parts.append(_line(LEFT, level, right, level, "grid"))
        parts.append(_text(LEFT - 7, level + 4, y.write(tick), "end"))
    for tick in x.ticks:
        across = LEFT + x.at(tick) * (right - LEFT)
        parts.append(_line(across, low, across, low + 4, "tick"))
        parts.append(_text(across, low + 18, x.write(tick), "middle"))
    parts.append(_line(LEFT, low, right, low, "axis"))
    parts.append(_text((LEFT + right) / 2, low + 36, x.label, "middle", "label"))
    return Markup("").join(parts)


def _series(series: Series, place: Callable[[float, float], tuple[float, float]]) -> Markup:
    points = [place(dot.x, dot.y) for dot in series.dots]
    bounded = [dot for dot in series.dots if dot.low is not None and dot.high is not None]
    parts = []
    if series.style == "band" and len(bounded) > 1:
        there = [place(dot.x, dot.high or 0.0) for dot in bounded]
        back = [place(dot.x, dot.low or 0.0) for dot in reversed(bounded)]
        parts.append(Markup('<path class="band" d="{}Z"/>').format(_path([*there, *back])))
    elif series.style in ("line", "dots", "band"):
        for dot in bounded:
            (across, high), (_, low) = place(dot.x, dot.high or 0.0), place(dot.x, dot.low or 0.0)
            parts.append(_line(across, low, across, high, "whisker"))
    if series.style != "dots" and len(points) > 1:
        css = "trend dotted" if series.style == "dotted" else "trend"
        parts.append(Markup('<path class="{}" d="{}"/>').format(css, _path(points)))
    if series.style != "dotted":
        parts += [mark(series.index, *point) for point in points]
    inside = Markup("").join(parts)
    return Markup('<g class="c{}">{}</g>').format(series.index % len(SHAPES), inside)


def forest(
    name: str, title: str, words: str, bars: Sequence[Bar], x: Axis, *, zero: bool = False
) -> Markup:
    """One row per bar: its name, its interval on a common axis, and the figures in words."""
    start, end, row = 104, 270, 30
    low = TOP + row * len(bars) + 6

    def across(value: float) -> float:
        return start + min(max(x.at(value), 0.0), 1.0) * (end - start)

    parts = [_line(across(tick), TOP, across(tick), low, "grid") for tick in x.ticks]
    if zero:
        parts.append(_line(across(0.0), TOP, across(0.0), low, "even"))
    for number, bar in enumerate(bars):
        level = TOP + row * number + row / 2
        parts.append(_text(0, level + 4, clip(bar.name, 14), "start", "name"))
        parts.append(
            Markup('<g class="c{}">{}{}</g>').format(
                bar.index % len(SHAPES),
                _line(across(bar.low), level, across(bar.high), level, "whisker"),
                mark(bar.index, across(bar.value), level),
            )
        )
        parts.append(_text(WIDTH - 2, level + 4, bar.words, "end", "figure"))
    parts += [_text(across(tick), low + 16, x.write(tick), "middle") for tick in x.ticks]
    parts.append(_text((start + end) / 2, low + 33, x.label, "middle", "label"))
    return _svg(name, title, words, round(low + 40), parts)


@dataclass(frozen=True)
class Matrix:
    """Counts by row and column of one arm; ``good`` cells are those that should be full."""

    name: str
    cells: tuple[tuple[int, ...], ...]
    good: tuple[tuple[bool, ...], ...]


def matrices(
    name: str, title: str, words: str, items: Sequence[Matrix],
    rows: Sequence[str], columns: Sequence[str],
) -> Markup:  # fmt: skip
    """Small tables of counts, two abreast; a cell is as strong as its share of the whole."""
    wide, high, label, gap = 66, 26, 58, 12
    block = high * len(rows) + 56
    parts = []
    for number, item in enumerate(items):
        left, top = (number % 2) * (WIDTH / 2 + gap / 2), (number // 2) * block
        total = sum(map(sum, item.cells)) or 1
        parts.append(_text(left, top + 16, clip(item.name, 18), "start", "name"))
        for c, column in enumerate(columns):
            parts.append(_text(left + label + (c + 0.5) * wide, top + 34, column, "middle"))
        for r, row in enumerate(rows):
            level = top + 40 + r * high
            parts.append(_text(left + label - 6, level + 17, row, "end"))
            for c, count in enumerate(item.cells[r]):
                parts.append(
                    Markup(
                        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{}" height="{}" rx="4" '
                        'fill-opacity="{:.2f}"/>'
                    ).format(
                        "good" if item.good[r][c] else "bad",
                        left + label + c * wide + 1,
                        level + 1,
                        wide - 2,
                        high - 2,
                        0.08 + 0.62 * count / total,
                    )  # fmt: skip
                )
                middle = left + label + (c + 0.5) * wide
                parts.append(_text(middle, level + 17, f"{count:,}", "middle", "figure"))
    return _svg(name, title, words, block * math.ceil(len(items) / 2), parts)


def mark(index: int, x: float, y: float) -> Markup:
    """The mark of a series."""
    shape = SHAPES[index % len(SHAPES)]
    return Markup('<path class="mark" transform="translate({:.1f} {:.1f})" d="{}"/>').format(
        x, y, shape
    )


def key(index: int) -> Markup:
    """The mark by itself, for a legend."""
    return Markup('<svg class="key c{}" viewBox="-7 -7 14 14" aria-hidden="true">{}</svg>').format(
        index % len(SHAPES), mark(index, 0, 0)
    )


def _svg(name: str, title: str, words: str, height: float, parts: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg class="plot" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-t {n}-d">'
        '<title id="{n}-t">{t}</title><desc id="{n}-d">{d}</desc>{p}</svg>'
    ).format(w=WIDTH, h=height, n=name, t=title, d=words, p=Markup("").join(parts))


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    return Markup('<path class="{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(css, x1, y1, x2, y2)


def _text(x: float, y: float, text: str, anchor: str, css: str = "") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        css, x, y, anchor, text
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)

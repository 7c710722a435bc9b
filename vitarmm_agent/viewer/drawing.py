"""Small SVG drawings: the state machine, bars, and the graph of linked entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from vitarmm_agent.clip import clip

LABEL = 22
"""Characters of a title in the graph of links."""
NODES = ("recall", "reason", "feedback", "remember")
_WIDTH, _GAP, _TOP, _HEIGHT = 92, 16, 10, 38


def state_machine(lit: Sequence[str] = (), done: bool = False) -> Markup:
    """The graph of a run; nodes in ``lit`` are the current ones, ``done`` marks the end."""
    parts = []
    middle = _TOP + _HEIGHT // 2
    for index, node in enumerate(NODES):
        x = 6 + index * (_WIDTH + _GAP)
        css = "node lit" if node in lit else "node"
        parts.append(
            Markup(
                '<g class="{}" data-node="{}"><rect x="{}" y="{}" width="{}" height="{}" rx="9"/>'
                '<text x="{}" y="{}">{}</text></g>'
            ).format(css, node, x, _TOP, _WIDTH, _HEIGHT, x + _WIDTH // 2, middle + 5, node)
        )
        parts.append(_arrow(x + _WIDTH, middle, x + _WIDTH + _GAP - 2))
    end = 6 + len(NODES) * (_WIDTH + _GAP) + 10
    parts.append(
        Markup('<g class="{}" data-node="end"><circle cx="{}" cy="{}" r="9"/></g>').format(
            "node lit" if done else "node", end, middle
        )
    )
    first, last = 6 + _WIDTH // 2, 6 + 3 * (_WIDTH + _GAP) + _WIDTH // 2
    low = _TOP + _HEIGHT
    parts.append(
        Markup(
            '<path class="edge" d="M{l} {y} v18 a8 8 0 0 1 -8 8 H{f} a8 8 0 0 1 -8 -8 v-13"/>'
            '<path class="head" d="M{h} {t} l4 7 h-8 z"/>'
            '<text class="edge-label" x="{m}" y="{w}">failed, with grounds: again</text>'
        ).format(l=last, y=low, f=first + 8, h=first, t=low + 3, m=(first + last) // 2, w=low + 21)
    )
    label = "The state machine of a run: recall, reason, feedback, remember, then again or the end"
    return Markup(
        '<svg class="machine" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(end + 16, low + 36, label, Markup("").join(parts))


def bar(start: float, length: float, whole: float, kind: str = "") -> Markup:
    """A horizontal bar from ``start``, as a share of ``whole``; at least a hair wide."""
    whole = whole or 1.0
    x = min(max(start / whole, 0.0), 1.0) * 1000
    width = max(4.0, min(length / whole * 1000, 1000 - x))
    return Markup(
        '<svg class="bar {}" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="{:.1f}" y="0" width="{:.1f}" height="10" rx="2"/></svg>'
    ).format(kind, min(x, 996), width)


class LinkedEntry(NamedTuple):
    """A neighbour in the graph of entries."""

    href: str
    title: str
    relation: str


def link_graph(title: str, neighbours: Sequence[LinkedEntry]) -> Markup:
    """An entry in the middle, what it is linked with around it; each neighbour is a link."""
    size, radius = 360, 130
    parts = []
    for index, entry in enumerate(neighbours[:12]):
        angle = 2 * math.pi * index / min(len(neighbours), 12) - math.pi / 2
        x, y = size + 1.9 * radius * math.cos(angle), 180 + radius * math.sin(angle)
        parts.append(
            Markup(
                '<line class="edge {r}" x1="{c}" y1="180" x2="{x:.0f}" y2="{y:.0f}"/>'
                '<a href="{href}"><g class="node {r}"><title>{r}: {title}</title>'
                '<rect x="{left:.0f}" y="{up:.0f}" width="170" height="44" rx="9"/>'
                '<text x="{x:.0f}" y="{t1:.0f}">{short}</text>'
                '<text class="small" x="{x:.0f}" y="{t2:.0f}">{words}</text></g></a>'
            ).format(
                r=entry.relation,
                words=entry.relation.replace("-", " "),
                c=size,
                x=x,
                y=y,
                href=entry.href,
                title=entry.title,
                left=x - 85,
                up=y - 22,
                t1=y - 2,
                t2=y + 14,
                short=clip(entry.title, LABEL),
            )
        )
    centre = Markup(
        '<g class="node lit"><rect x="{}" y="158" width="170" height="44" rx="9"/>'
        '<text x="{}" y="185">{}</text></g>'
    ).format(size - 85, size, clip(title, LABEL))
    return Markup(
        '<svg class="links" viewBox="0 0 720 360" role="img" aria-label="Linked entries">{}{}</svg>'
    ).format(Markup("").join(parts), centre)


def _arrow(x: int, y: int, to: int) -> Markup:
    return Markup(
        '<path class="edge" d="M{} {} H{}"/><path class="head" d="M{} {} l-6 -4 v8 z"/>'
    ).format(x, y, to - 4, to, y)

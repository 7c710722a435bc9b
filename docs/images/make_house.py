"""Draw ``house.svg``: the layers of the package as floors, its two large rooms with what is in them.

``python docs/images/make_house.py`` writes it again. Floors are those that ``tests/test_architecture.py``
proves; what lies in a folder is read from the folder.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = Path(__file__).with_name("house.svg")

WIDTH, EDGE, GAP, CLOSE = 1000, 70, 8, 2
LETTER = 6.7
"""Width of a letter of the small text, generously."""
LINE, ROOM, YARD = 16, 40, 80

WORDS = {
    "redaction": "secrets taken out",
    "data": "plain records",
    "by_name": "fields as data",
    "clip": "beginnings",
    "errors": "who must act",
    "effects": "sync and async",
    "hosts": "whose request",
    "json_text": "bounded, found",
    "lazy": "on first use",
    "loopwise": "one per loop",
    "notebooks": "a result as HTML",
    "nearest": "did you mean",
    "numbers": "read once",
    "one_process": "not after a fork",
    "user_path": "paths as typed",
    "private": "nobody else's",
    "prompts": "for models",
    "thinking": "told from words",
    "wilson": "how sure",
    "closable": "closed once",
    "ages": "90d",
    "config_file": "vitarmm.toml",
    "postgres": "one database for a team",
    "servers": "model servers of others",
    "settings": "one frozen model",
    "media": "images by hash",
    "memory_store.schema": "one entry",
    "memory_store.store": "knows nothing of memory",
    "group_commit": "written together",
    "llama": "llama.cpp in a child",
    "open_media": "folder or database",
    "options": "for type checkers",
    "problem": "what flows round the graph",
    "run_settings": "what a run records",
    "weights": "fetch and keep",
    "answers": "read, compare, grade",
    "models": "chat models of all kinds",
    "verifiers": "does the attempt hold?",
    "result": "what a run came to",
    "rmm": "what to remember",
    "state": "what a checkpoint holds",
    "deps": "live objects",
    "nodes": "recall, reason, feedback, remember",
    "graphs": "wiring, checkpoints, server",
    "agent": "ReasoningAgent",
    "traces": "runs read back",
    "integrations": "tools, middleware, MCP",
    "graphs.server": "LangGraph's server",
    "viewer": "the page",
    "training": "simulate, train, publish",
    "cli": "the command vitarmm",
}
MEMORY = {
    "what a memory is": (
        "schema",
        "operations",
        "namespaces",
        "buffer",
        "masking",
        "untrusted",
    ),
    "pure decisions": ("ranking", "relations", "content_words", "write_plan", "skills"),
    "recall, write, look after": (
        "memory",
        "recalling",
        "writing",
        "consolidating",
        "curation",
        "skill_folders",
        "entry_store",
    ),
    "history": (
        "agreement",
        "compaction",
        "past",
        "identity",
        "write_group",
        "transfer",
        "reindex",
    ),
    "opened": ("open", "embedding", "bert_gguf"),
}
"""The files of ``memory_store`` by what they are for; those of its folders are read from disk."""
IN_THE_YARD = ("evals.speed", "evals.studies")
STYLE = """
.paper{fill:#fbfaf7}.room{fill:#fff;stroke:#8a8577}.wing{fill:#f1eee6;stroke:#8a8577}.roof{fill:#b4532a}
.yard{fill:none;stroke:#8a8577;stroke-dasharray:5 4}text{fill:#26241f;font:12px system-ui,sans-serif}
.name{font-weight:600;font-size:13px}.small{fill:#5d5950;font-size:11px}.title{fill:#fff;font-weight:600;font-size:15px}
@media (prefers-color-scheme:dark){.paper{fill:#1d1c1a}.room{fill:#2a2926;stroke:#8f8a7d}
.wing{fill:#24231f;stroke:#8f8a7d}.yard{stroke:#8f8a7d}text{fill:#efece4}.small{fill:#bdb8ab}.title{fill:#fff}}
"""


def layers() -> list[tuple[str, ...]]:
    """The floors, lowest first, as the test of the architecture has them."""
    source = (ROOT / "tests" / "test_architecture.py").read_text("utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "LAYERS" and node.value:
            found: list[tuple[str, ...]] = list(ast.literal_eval(node.value))
            return found
    raise LookupError("tests/test_architecture.py has no LAYERS")


def files_of(folder: str) -> tuple[str, ...]:
    """The modules that lie in a folder."""
    return tuple(sorted(p.stem for p in (ROOT / folder).glob("*.py") if p.stem != "__init__"))


def evaluations() -> dict[str, tuple[str, ...]]:
    """The folders of ``evals`` that an installation has, and the files beside them."""
    names = ("run", "cluster", "datasets", "metrics", "report", "writers")
    return {f"{name}/": files_of(f"evals/{name}") for name in names} | {"": files_of("evals")}


def draw() -> str:
    """The picture."""
    floors = [tuple(u for u in units if u not in IN_THE_YARD) for units in reversed(layers())]
    memory = MEMORY | {
        f"{name}/": files_of(f"memory_store/{name}") for name in ("journal", "store")
    }
    large = {"memory_store": memory, "evals": evaluations()}
    y, parts = 92.0, list[str]()
    for units in floors:
        wing = next((unit for unit in units if unit in large), None)
        if wing is None:
            for row in _rows(units, WIDTH - 2 * EDGE):
                parts += _floor(row, EDGE, y, WIDTH - 2 * EDGE)
                y += ROOM + CLOSE
            y += GAP - CLOSE
        else:
            drawn, height = _wing(wing, large[wing], y)
            parts += [*drawn, *_floor([u for u in units if u != wing], EDGE, y, 190, upright=True)]
            y += height + GAP
    parts += _yard(y + 14)
    roof = f'<path class="roof" d="M{WIDTH / 2} 12 L{WIDTH - EDGE + 24} 84 H{EDGE - 24} Z"/>'
    title = f'<text class="title" x="{WIDTH / 2}" y="66" text-anchor="middle">vitarmm_agent: imports point down</text>'
    height = y + 14 + YARD + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="The layers of the package as floors of a house">\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}"/>\n'
        + "\n".join([roof, title, *parts])
        + "\n</svg>\n"
    )


def _floor(
    units: Sequence[str], x: float, y: float, width: float, *, upright: bool = False
) -> Iterator[str]:
    """Rooms side by side, as wide as their words want; or one above the other."""
    if upright:
        for number, unit in enumerate(units):
            yield from _room(unit, x, y + number * (ROOM + GAP), width)
        return
    wants = [_want(unit) for unit in units]
    free = width - GAP * (len(units) - 1)
    for unit, want in zip(units, wants, strict=True):
        own = free * want / sum(wants)
        yield from _room(unit, x, y, own)
        x += own + GAP


def _rows(units: Sequence[str], width: float) -> Iterator[list[str]]:
    """A floor in as few rows as its words leave room for, about equally full."""
    total = sum(_want(unit) * LETTER + GAP for unit in units)
    full = total / math.ceil(total / width)
    row, taken = list[str](), 0.0
    for unit in units:
        own = _want(unit) * LETTER + GAP
        if row and taken + own / 2 > full:
            yield row
            row, taken = [], taken - full
        row.append(unit)
        taken += own
    yield row


def _want(unit: str) -> float:
    """Letters of the small text that a room has place for."""
    return max(len(unit) * 1.3, len(WORDS.get(unit, ""))) + 2


def _room(unit: str, x: float, y: float, width: float) -> Iterator[str]:
    words = WORDS.get(unit, "")
    yield f'<rect class="room" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROOM}" rx="3"/>'
    middle = x + width / 2
    yield _text("name", middle, y + (17 if words else 25), unit, anchor="middle")
    if words:
        yield _text("small", middle, y + 32, words, anchor="middle")


def _wing(unit: str, groups: dict[str, tuple[str, ...]], y: float) -> tuple[list[str], float]:
    """A large room with its groups of files, in two columns."""
    x, width = EDGE + 190 + GAP, WIDTH - 2 * EDGE - 190 - GAP
    column = (width - 3 * 10) / 2
    parts, bottoms = [_text("name", x + 10, y + 18, f"{unit}/")], [y + 28, y + 28]
    for name, files in groups.items():
        side = bottoms.index(min(bottoms))
        lines = list(_lines(", ".join(files), int(column / LETTER) - 3))
        tall = LINE * (len(lines) + bool(name)) + 10
        left, top = x + 10 + side * (column + 10), bottoms[side]
        parts.append(
            f'<rect class="room" x="{left:.1f}" y="{top:.1f}" width="{column:.1f}" height="{tall}" rx="3"/>'
        )
        for number, (kind, line) in enumerate(
            [*([("name", name)] if name else []), *(("small", line) for line in lines)]
        ):
            parts.append(_text(kind, left + 8, top + 17 + number * LINE, line))
        bottoms[side] = top + tall + 6
    height = max(bottoms) + 4 - y
    frame = f'<rect class="wing" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="3"/>'
    return [frame, *parts], height


def _yard(y: float) -> Iterator[str]:
    """What a checkout has and an installation has not."""
    width = WIDTH - 2 * EDGE
    yield f'<rect class="yard" x="{EDGE}" y="{y:.1f}" width="{width}" height="{YARD}" rx="3"/>'
    yield _text("name", EDGE + 10, y + 18, "In the yard: in a checkout, not in the wheel")
    folders = (unit.replace(".", "/") for unit in IN_THE_YARD)
    shown = [f"{folder}/: {', '.join(files_of(folder))}" for folder in folders]
    lines = (line for words in shown for line in _lines(words, 120))
    for number, line in enumerate(lines):
        yield _text("small", EDGE + 10, y + 36 + number * LINE, line)


def _lines(text: str, letters: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > letters:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")

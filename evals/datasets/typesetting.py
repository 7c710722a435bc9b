"""A multiple-choice question as a picture: lines are wrapped, nothing is cut off."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from vitarmm_agent.answers.choices import letter_of
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

Layout = Literal["list", "grid", "inline"]
"""Options below each other, in two columns, or one behind the other."""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
BUILT_IN = "Aileron"
"""The font that Pillow brings."""
LEADING = 0.3
"""Space between lines, as a share of the font size."""
_BESIDE_SPACES = str.maketrans({"\t": "    ", "\r": "", "\u00a0": " ", "\u200b": ""})
_BLANK = frozenset(" \n\u2009\u202f\u2003\u2002")


class Placed(NamedTuple):
    """A line of text and where its upper left corner is, in pixels."""

    x: int
    y: int
    text: str


def load_font(name: str, size: int) -> FreeTypeFont:
    """A font by file, by the name of one that matplotlib or the system has, or ``Aileron``.

    Raises:
        InputError: there is no such font.
    """
    from PIL import ImageFont

    if name == BUILT_IN:
        found = ImageFont.load_default(size)
        if isinstance(found, ImageFont.FreeTypeFont):
            return found
        raise InputError("Pillow was built without FreeType; install one from PyPI")
    tried = [Path(name), *(folder / f"{name}.ttf" for folder in _font_folders())]
    path = next((str(p) for p in tried if p.is_file()), name)
    try:
        return ImageFont.truetype(path, size)
    except OSError:
        raise InputError(
            f"font {name!r} is not found; give a .ttf file, a name the system knows, or {BUILT_IN}"
        ) from None


def default_font() -> str:
    """DejaVuSans, which has most signs of mathematics, where matplotlib brings it."""
    return "DejaVuSans" if any((f / "DejaVuSans.ttf").is_file() for f in _font_folders()) else (
        BUILT_IN
    )  # fmt: skip


def _font_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / "mpl-data" / "fonts" / "ttf"


def missing_signs(font: FreeTypeFont, text: str) -> str:
    """Characters of ``text`` that the font would draw as an empty box, in order."""
    box = _shape(font, "\U0010fffd")
    signs = dict.fromkeys(text.translate(_BESIDE_SPACES))
    return "".join(
        sign for sign in signs if sign not in _BLANK and _shape(font, sign) in (box, _NO_INK)
    )


_NO_INK = ((0, 0), b"")


def _shape(font: FreeTypeFont, sign: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(sign)
    return (mask.size, bytes(mask)) if 0 not in mask.size else _NO_INK


def typeset(
    question: str, choices: Sequence[str], font: FreeTypeFont, *, width: int, layout: Layout
) -> Image:
    """Draw a question and its options, black on white, as high as it takes.

    Args:
        question: line breaks and leading spaces are kept.
        choices: shown behind ``(A)``, ``(B)`` …
        font: of a certain size.
        width: of the picture in pixels; words longer than a line are broken.
        layout: where the options are.

    Raises:
        InputError: the width leaves no room for a letter, or the picture would be larger than the
            limit for images.
    """
    from PIL import Image, ImageDraw

    lines, height = place(question, choices, font, width=width, layout=layout)
    if width * height > MAX_PIXELS:
        raise InputError(f"takes {width}×{height} pixels; the limit is {MAX_PIXELS}")
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for line in lines:
        draw.text((line.x, line.y), line.text, font=font, fill=0)
    return image


def place(
    question: str, choices: Sequence[str], font: FreeTypeFont, *, width: int, layout: Layout
) -> tuple[list[Placed], int]:
    """Where each line goes, and the height of the picture.

    Raises:
        InputError: the width leaves no room for a letter.
    """
    margin, step = margin_of(font), _step(font)
    room = width - 2 * margin
    options = [f"({letter_of(i)}) {choice}" for i, choice in enumerate(choices)]
    lines, y = _block(question, font, margin, margin, room)
    y += step // 2
    if layout == "inline":
        more, y = _block("   ".join(options), font, margin, y, room)
        lines += more
    columns = 2 if layout == "grid" else 1
    cell = (room - (columns - 1) * margin) // columns
    for start in range(0, len(options) if layout != "inline" else 0, columns):
        bottoms = [y]
        for column, option in enumerate(options[start : start + columns]):
            more, bottom = _block(option, font, margin + column * (cell + margin), y, cell)
            lines += more
            bottoms.append(bottom)
        y = max(bottoms) + step // 4
    return lines, y + margin


def margin_of(font: FreeTypeFont) -> int:
    """White space around the text, in pixels."""
    return max(8, int(font.size))


def _step(font: FreeTypeFont) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent + round(LEADING * font.size)


def _block(text: str, font: FreeTypeFont, x: int, y: int, room: int) -> tuple[list[Placed], int]:
    wrapped = wrap(text, font, room)
    step = _step(font)
    placed = [Placed(x, y + number * step, line) for number, line in enumerate(wrapped)]
    return placed, y + len(wrapped) * step


def wrap(text: str, font: FreeTypeFont, room: int) -> list[str]:
    """Lines no wider than ``room`` pixels; no character but line-end spaces is lost.

    Raises:
        InputError: a single character is wider.
    """
    lines: list[str] = []
    for paragraph in text.translate(_BESIDE_SPACES).split("\n"):
        line = ""
        for word in _pieces(paragraph):
            if _width(font, line + word.rstrip()) <= room:
                line += word
                continue
            if line.strip():
                lines.append(line.rstrip())
                line = ""
            *full, line = _broken(word, font, room)
            lines += full
        lines.append(line.rstrip())
    return lines


def _pieces(paragraph: str) -> Iterator[str]:
    """Words with the spaces behind them; spaces at the head are a piece of their own."""
    head = len(paragraph) - len(paragraph.lstrip(" "))
    if head:
        yield paragraph[:head]
    rest = paragraph[head:]
    while rest:
        end = rest.find(" ")
        stop = len(rest) if end < 0 else len(rest) - len(rest[end:].lstrip(" "))
        yield rest[:stop]
        rest = rest[stop:]


def _broken(word: str, font: FreeTypeFont, room: int) -> list[str]:
    parts = [""]
    for sign in word.rstrip():
        if parts[-1] and _width(font, parts[-1] + sign) > room:
            parts.append("")
        if _width(font, sign) > room:
            raise InputError(f"a width of {room} pixels has no room for {sign!r}; make it wider")
        parts[-1] += sign
    parts[-1] += word[len(word.rstrip()) :]
    return parts


def _width(font: FreeTypeFont, text: str) -> float:
    """Width of the ink or of the advance, whichever is more."""
    return max(font.getlength(text), font.getbbox(text)[2])

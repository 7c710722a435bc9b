"""MMLU as pictures: any MMLU file rendered into images and the rows that name them."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vitarmm_agent.answers.choices import choice_index, letter_of
from vitarmm_agent.data import Data
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.mmlu import RENDERED
from vitarmm_agent.evals.datasets.records import Benchmark, SkippedRow
from vitarmm_agent.evals.datasets.typesetting import (
    LAYOUTS,
    Layout,
    default_font,
    load_font,
    missing_signs,
    typeset,
)
from vitarmm_agent.problem import Problem

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

ROWS = "mmlu.jsonl"
IMAGES = "images"


class Rendered(Data):
    """What was written.

    Attributes:
        rows: path of the rows, which ``load_benchmark("mmlu", …)`` reads.
        count: images written.
        skipped: questions left out, numbered from 1: signs that no font has, or too large.
    """

    rows: str
    count: int
    skipped: tuple[SkippedRow, ...] = ()


def render_mmlu(
    benchmark: Benchmark,
    out: Path,
    *,
    fonts: Sequence[str] = (),
    sizes: Sequence[int] = (16,),
    width: int = 800,
    layout: Layout | Literal["mixed"] = "list",
    seed: int = 0,
) -> Rendered:
    """Render the questions of an MMLU benchmark that was loaded as text.

    Font, size and (if ``mixed``) layout are drawn for each question from its id and the seed, so that
    a question looks the same whatever others are rendered with it. A font that lacks a sign of a
    question is passed over for it.

    Args:
        benchmark: loaded with ``condition="text"``.
        out: a new or empty folder: ``mmlu.jsonl`` and ``images/*.png`` go there.
        fonts: names or files, see :func:`~vitarmm_agent.evals.datasets.typesetting.load_font`.
        sizes: in pixels.
        width: of every picture, in pixels.
        layout: where the options are.
        seed: of what is drawn.

    Raises:
        InputError: the folder is not empty, an option has no sense, or nothing could be rendered.
    """
    if benchmark.condition != "text":
        raise InputError("only MMLU questions loaded as text can be rendered; use condition='text'")
    loaded = _fonts(fonts or (default_font(),), sizes, width)
    if layout != "mixed" and layout not in LAYOUTS:
        raise InputError(f"layout {layout!r} is unknown; use {', '.join(LAYOUTS)} or mixed")
    folder = _new_folder(out)
    rows: list[dict[str, Any]] = []
    skipped: list[SkippedRow] = []
    for number, problem in enumerate(benchmark.problems, start=1):
        dice = random.Random(f"{seed}/{problem.id}")
        drawn = dice.choice(LAYOUTS) if layout == "mixed" else layout
        try:
            name, font = _font_for(problem, loaded, dice)
            image = typeset(problem.text, problem.choices, font, width=width, layout=drawn)
        except InputError as error:
            skipped.append(SkippedRow(line=number, reason=f"{problem.id}: {error}"))
            continue
        data = io.BytesIO()
        image.save(data, format="PNG")
        path = folder / IMAGES / f"{_file_name(problem.id)}.png"
        path.write_bytes(data.getvalue())
        look = {"font": name, "font_size": int(font.size), "layout": drawn}
        rows.append(_row(problem, path, image.size, data.getvalue(), look))
    if not rows:
        raise InputError(f"nothing could be rendered; the first reason: {skipped[0].reason}")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / ROWS).write_text(text, encoding="utf-8")
    return Rendered(rows=str(folder / ROWS), count=len(rows), skipped=tuple(skipped))


def _fonts(
    names: Sequence[str], sizes: Sequence[int], width: int
) -> list[tuple[str, FreeTypeFont]]:
    wrong = [size for size in sizes if not 6 <= size <= 200]
    if wrong or not sizes:
        raise InputError(f"font size {wrong or 'missing'}; use sizes from 6 to 200 pixels")
    if not 100 <= width <= 8000:
        raise InputError(f"width {width} is no width of a picture; use 100 to 8000 pixels")
    return [(Path(name).stem, load_font(name, size)) for name in names for size in sizes]


def _new_folder(out: Path) -> Path:
    try:
        if out.exists() and any(out.iterdir()):
            raise InputError(f"folder {str(out)!r} is not empty; choose a new one")
        (out / IMAGES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {str(out)!r} cannot be used: {error.strerror}") from None
    return out


def _font_for(
    problem: Problem, fonts: Sequence[tuple[str, FreeTypeFont]], dice: random.Random
) -> tuple[str, FreeTypeFont]:
    """One of the fonts that have every sign, drawn by the dice."""
    text = "\n".join([problem.text, *problem.choices])
    drawn = list(fonts)
    dice.shuffle(drawn)
    missing = ""
    for name, font in drawn:
        missing = missing_signs(font, text)
        if not missing:
            return name, font
    raise InputError(f"no font has {missing[:20]!r}; give another with --fonts")


def _file_name(problem_id: str) -> str:
    """The id where it is fit for a file name, else with a hash behind what is left of it."""
    fit = re.sub(r"[^\w.-]+", "_", problem_id)[:80].lstrip(".")
    if fit == problem_id:
        return fit
    return f"{fit}-{hashlib.sha256(problem_id.encode()).hexdigest()[:8]}"


def _row(
    problem: Problem, path: Path, size: tuple[int, int], data: bytes, look: dict[str, Any]
) -> dict[str, Any]:
    index = choice_index(problem.choices, problem.reference or "") or 0
    return {
        "pid": problem.id,
        "question": problem.text,
        "image": f"{IMAGES}/{path.name}",
        "choices": list(problem.choices),
        "unit": None,
        "precision": None,
        "answer": problem.reference,
        "question_type": "multi_choice",
        "answer_type": "text",
        "metadata": {
            "benchmark": RENDERED,
            "split": problem.metadata["split"],
            "subject": problem.metadata["category"].replace(" ", "_"),
            "answer_letter": letter_of(index),
            "text_in_image": True,
            "img_width": size[0],
            "img_height": size[1],
            "image_sha256": hashlib.sha256(data).hexdigest(),
            **look,
        },
    }

"""Rendered questions: read back as rows and by eye (OCR); no ink is lost."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops
from rapidfuzz import fuzz
from typer.testing import CliRunner

from vitarmm_agent.cli.app import whole
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import load_benchmark
from vitarmm_agent.evals.datasets.render import render_mmlu
from vitarmm_agent.evals.datasets.typesetting import (
    BUILT_IN,
    LAYOUTS,
    load_font,
    margin_of,
    missing_signs,
    place,
    typeset,
    wrap,
)

QUESTION = (
    "A long passage is set here so that it takes more than one line at any width that a reader "
    "would choose.\n    An indented line stays indented,\nand Antidisestablishmentarianism"
    + "e"
    * 90
)
CHOICES = (
    "a short one",
    "one that is itself long enough to need a second line in two columns",
    "3",
    "4",
)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    path = tmp_path / "astronomy_test.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["How many moons does the planet Mars have?", "One", "Two", "Four", "None", "B"]
        )
        writer.writerow(["Which planet is the largest?", "Jupiter", "Venus", "Earth", "Mars", "A"])
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("width", "size"), [(200, 12), (800, 16), (801, 48)])
def test_no_ink_is_cut_off(layout: Any, width: int, size: int) -> None:
    """The margin stays white, and on a larger sheet there is no more ink."""
    font = load_font("DejaVuSerif", size)
    image = typeset(QUESTION, CHOICES, font, width=width, layout=layout)
    ink = ImageChops.invert(image).getbbox()
    assert ink is not None
    margin = margin_of(font)
    assert ink[0] >= margin - 2
    assert ink[2] <= width - margin + 1
    assert ink[1] >= margin - 2
    assert ink[3] <= image.height - margin // 2
    lines, height = place(QUESTION, CHOICES, font, width=width, layout=layout)
    assert height == image.height
    drawn = re.sub(r"\s", "", "".join(line.text for line in lines))
    lettered = "".join(
        f"({letter}){choice}" for letter, choice in zip("ABCD", CHOICES, strict=True)
    )
    wanted = re.sub(r"\s", "", QUESTION + lettered)
    if layout == "grid":
        assert sorted(drawn) == sorted(wanted)
    else:
        assert drawn == wanted


def test_lines_of_one_column_do_not_overlap() -> None:
    font = load_font(BUILT_IN, 20)
    lines, _ = place(QUESTION, CHOICES, font, width=400, layout="list")
    ascent, descent = font.getmetrics()
    tops = [line.y for line in lines]
    assert all(low - high >= ascent + descent for high, low in zip(tops, tops[1:], strict=False))


def test_wrapping() -> None:
    font = load_font(BUILT_IN, 16)
    assert wrap("", font, 100) == [""]
    assert wrap("one\n\n  two", font, 300) == ["one", "", "  two"]
    for line in wrap(QUESTION, font, 150):
        assert font.getlength(line) <= 150
    with pytest.raises(InputError, match="no room for 'W'"):
        wrap("W", font, 3)


def test_signs_that_a_font_lacks() -> None:
    dejavu = load_font("DejaVuSans", 16)
    assert missing_signs(dejavu, "a ≤ b\n√π ∑") == ""
    assert missing_signs(dejavu, "漢字 ok") == "漢字"


def test_read_back_as_each_condition(official: Path, tmp_path: Path) -> None:
    text = load_benchmark("mmlu", official, condition="text")
    made = render_mmlu(text, tmp_path / "out", sizes=(24,))
    assert (made.count, made.skipped) == (2, ())
    image = load_benchmark("mmlu", made.rows)
    beside = load_benchmark("mmlu", made.rows, condition="beside")
    assert image.condition == "image"
    assert [p.reference for p in image.problems] == ["B", "A"]
    assert [p.metadata["category"] for p in image.problems] == ["astronomy"] * 2
    assert image.split == "test"
    for back, first in zip(beside.problems, text.problems, strict=True):
        assert (back.id, back.text, back.choices, back.reference) == (
            first.id, first.text, first.choices, first.reference,
        )  # fmt: skip
        assert len(back.images) == 1


def test_ocr_reads_what_was_written(official: Path, tmp_path: Path) -> None:
    rapidocr = pytest.importorskip("rapidocr_onnxruntime")
    made = render_mmlu(
        load_benchmark("mmlu", official), tmp_path / "out", sizes=(28,), fonts=("DejaVuSans",)
    )
    engine = rapidocr.RapidOCR()
    for problem in load_benchmark("mmlu", made.rows, condition="beside").problems:
        found, _ = engine(problem.images[0].source)
        read = " ".join(line[1] for line in found)
        options = [f"({letter}) {c}" for letter, c in zip("ABCD", problem.choices, strict=True)]
        written = " ".join([problem.text, *options])
        assert fuzz.ratio(_letters(read), _letters(written)) > 92


def _letters(text: str) -> str:
    return re.sub(r"\W", "", text).casefold()


def test_the_seed_decides_and_each_question_for_itself(official: Path, tmp_path: Path) -> None:
    def looks(name: str, seed: int, **options: Any) -> dict[str, tuple[str, str]]:
        text = load_benchmark("mmlu", official, condition="text", **options)
        made = render_mmlu(
            text, tmp_path / name, fonts=("DejaVuSans", "DejaVuSerif"), sizes=(14, 18, 22, 26, 30),
            layout="mixed", seed=seed,
        )  # fmt: skip
        rows = [json.loads(line) for line in Path(made.rows).read_text("utf-8").splitlines()]
        return {r["pid"]: (r["metadata"]["image_sha256"], r["metadata"]["layout"]) for r in rows}

    first = looks("a", 1)
    assert looks("b", 1) == first
    assert looks("c", 2) != first
    alone = looks("d", 1, sample_size=1)
    assert alone.items() <= first.items()


def test_questions_that_no_font_can_show_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"question": "漢字?", "choices": ["a", "b"], "answer": 0},
        {"question": "Fine?", "choices": ["a", "b"], "answer": 0},
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    made = render_mmlu(load_benchmark("mmlu", path), tmp_path / "out")
    assert made.count == 1
    assert "no font has '漢字'" in made.skipped[0].reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fonts": ("NoSuchFont",)}, "'NoSuchFont' is not found"),
        ({"sizes": (5,)}, "6 to 200"),
        ({"sizes": ()}, "6 to 200"),
        ({"width": 50}, "100 to 8000"),
        ({"layout": "circle"}, "list, grid, inline or mixed"),
        ({"sizes": (200,), "width": 450}, "no room"),
    ],
)
def test_options_without_sense(
    official: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        render_mmlu(load_benchmark("mmlu", official), tmp_path / "out", **options)


def test_a_folder_that_is_not_empty(official: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not empty"):
        render_mmlu(load_benchmark("mmlu", official), tmp_path)


def test_the_command(official: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["eval", "render-mmlu", str(official), str(out), "--sizes", "14,20", "--fonts",
               "DejaVuSans,Aileron", "--layout", "mixed", "--width", "640"]  # fmt: skip
    done = CliRunner().invoke(whole(), command)
    assert done.exit_code == 0, done.output
    assert "2 pictures" in done.output
    widths = {Image.open(path).width for path in (out / "images").iterdir()}
    assert widths == {640}
    assert len(load_benchmark("mmlu", out / "mmlu.jsonl").problems) == 2
    listed = CliRunner().invoke(whole(), [*command[:3], str(tmp_path / "other"), "--json"])
    assert json.loads(listed.output)["count"] == 2
    wrong = CliRunner().invoke(whole(), [*command[:3], str(tmp_path / "third"), "--sizes", "big"])
    assert isinstance(wrong.exception, InputError)


def test_real_questions_of_every_subject(shared: Path, tmp_path: Path) -> None:
    text = load_benchmark(
        "mmlu", shared / "data" / "mmlu_test.jsonl.gz", condition="text", sample_size=60
    )
    made = render_mmlu(text, tmp_path / "out", sizes=(14, 32), layout="mixed")
    assert (made.count, made.skipped) == (60, ())
    assert len(load_benchmark("mmlu", made.rows).problems) == 60

"""Every way in which a row or a file can be bad."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.evals.datasets.helpers import CAKES, CAPITAL, COUNT, SHAPE, SUM, lines, reasons
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import load_benchmark


class TestBadRows:
    def test_each_is_left_out_with_line_and_reason(self, tmp_path: Path) -> None:
        found = load_benchmark(
            "gsm8k",
            lines(
                tmp_path / "a.jsonl",
                {**SUM, "id": "x"},
                {"question": "No answer?"},
                {"question": "Empty answer?", "answer": " "},
                {"question": "No mark?", "answer": "It is 7."},
                {"question": "No number?", "answer": "#### seven apples and a pear tree, oh"},
                {"question": "", "answer": "#### 7"},
                {"question": 5, "answer": "#### 7"},
                {**CAKES, "id": "x"},
                "{broken",
                '["a", "list"]',
                CAPITAL,
                CAKES,
            ),
        )
        assert [p.reference for p in found.problems] == ["7", "1200"]
        said = reasons(found)
        assert sorted(said) == list(range(2, 12))
        assert "answer" in said[2]
        assert said[3] == "has no answer"
        assert said[4] == "answer has no line '#### N'"
        assert "no number" in said[5]
        assert said[6] == "has no question"
        assert said[7] == "question is int, not text"
        assert said[8] == "id 'x' stands already in line 1"
        assert said[9].startswith("is no JSON")
        assert said[10] == "is a JSON list, not an object"
        assert said[11] == "is a row of MMLU; load those as 'mmlu'"

    def test_images(self, tmp_path: Path, images: Path) -> None:
        (images / "broken.jpg").write_bytes((images / "7.jpg").read_bytes()[:40])
        (images / "text.jpg").write_text("no image")
        (tmp_path / "secret.png").write_bytes((images / "7.jpg").read_bytes())
        rows = [
            SHAPE,
            *(
                {**SHAPE, "pid": str(n), "image": name}
                for n, name in enumerate(
                    ["images/none.jpg", "broken.jpg", "text.jpg", None, "../secret.png", 5], 20
                )
            ),
            {**SHAPE, "pid": "30", "image_sha256": "0" * 64},
            {**SHAPE, "pid": "31", "answer": "green"},
            {**SHAPE, "pid": "32", "answer": ""},
            {**SHAPE, "pid": "33", "answer_type": "colour"},
        ]
        found = load_benchmark(
            "mathvista", lines(tmp_path / "v.jsonl", *rows), image_dir=tmp_path / "images"
        )
        said = reasons(found)
        assert [p.id for p in found.problems] == ["mathvista-7"]
        assert "is not in the image folder" in said[2]
        assert "damaged" in said[3] or "not an image" in said[3]
        assert "not an image" in said[4]
        assert said[5] == "has no image"
        assert "is not in the image folder" in said[6]
        assert said[7] == "image is int, not a file name"
        assert "is not the one the row names" in said[8]
        assert said[9] == "answer 'green' is none of the choices"
        assert said[10] == "has no answer"
        assert "'colour'" in said[11]

    def test_mmlu(self, tmp_path: Path) -> None:
        found = load_benchmark(
            "mmlu",
            lines(
                tmp_path / "m.jsonl",
                CAPITAL,
                {**CAPITAL, "answer": 2},
                {**CAPITAL, "answer": "E"},
                {**CAPITAL, "answer": None},
                {**CAPITAL, "choices": ["Paris"]},
                {**CAPITAL, "choices": "Rome, Paris"},
            ),
        )
        assert len(found.problems) == 1
        assert list(reasons(found).values()) == [
            "answer 2 is none of the 2 choices",
            "answer 'E' is none of the 2 choices",
            "has no answer",
            "has 1 choices",
            "choices is str, not a list",
        ]

    def test_problems(self, tmp_path: Path) -> None:
        found = load_benchmark(
            "problems",
            lines(
                tmp_path / "p.jsonl",
                {"text": "fine", "reference": "1"},
                {"text": "no gold"},
                {"text": "wrong", "reference": "1", "answer_type": "colour"},
                {"text": " ", "reference": "1"},
            ),
        )
        assert len(found.problems) == 1
        assert "reference" in reasons(found)[2]
        assert "answer_type" in reasons(found)[3]
        assert "empty" in reasons(found)[4]


class TestBadFiles:
    @pytest.mark.parametrize(
        ("row", "name", "held"),
        [
            (SUM, "mmlu", "GSM8K"),
            (SHAPE, "gsm8k", "MathVista"),
            (COUNT, "mathvista", "MATH-V"),
            (CAPITAL, "mathv", "MMLU"),
            (CAPITAL, "gsm8k", "MMLU"),
            ({"text": "a", "reference": "b"}, "gsm8k", "problems"),
        ],
    )
    def test_of_another_benchmark(
        self, tmp_path: Path, row: dict[str, Any], name: Any, held: str
    ) -> None:
        path = lines(tmp_path / "x.jsonl", row)
        with pytest.raises(InputError, match=f"holds {held} rows .1 of 1., not"):
            load_benchmark(name, path)

    def test_of_no_benchmark(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "x.jsonl", {"prompt": "a", "completion": "b"})
        with pytest.raises(InputError, match="question, answer .* the fields completion, prompt"):
            load_benchmark("gsm8k", path)

    def test_empty_missing_or_of_another_kind(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty.jsonl"
        empty.write_text("\n \n")
        array = tmp_path / "empty.json"
        array.write_text("[]")
        number = tmp_path / "number.json"
        number.write_text("5")
        binary = tmp_path / "binary.jsonl"
        binary.write_bytes(b"\xff\xfe\x00")
        torn = tmp_path / "torn.jsonl.gz"
        torn.write_bytes(gzip.compress(b'{"a": 1}\n' * 100)[:-20])
        for path, said in (
            (empty, "is empty"),
            (array, "holds no rows"),
            (number, "holds a JSON int"),
            (binary, "not UTF-8"),
            (torn, "damaged .gz"),
            (tmp_path / "none.jsonl", "No such file"),
            (lines(tmp_path / "x.txt", SUM), "use .jsonl"),
        ):
            with pytest.raises(InputError, match=said):
                load_benchmark("gsm8k", path)

    def test_no_row_that_can_be_used(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "x.jsonl", *({**SHAPE, "pid": str(n)} for n in range(3)))
        with pytest.raises(InputError, match="no row of MathVista .* 3 were left out.*image"):
            load_benchmark("mathvista", path)

    def test_splits(self, tmp_path: Path, images: Path) -> None:
        train = lines(tmp_path / "gsm8k_train.jsonl", SUM)
        assert load_benchmark("gsm8k", train).split == "train"
        with pytest.raises(InputError, match="GSM8K has no split 'validation'.*train, test"):
            load_benchmark("gsm8k", train, split="validation")
        with pytest.raises(InputError, match="holds split train, not 'test'"):
            load_benchmark("gsm8k", train, split="test")
        unnamed = lines(tmp_path / "rows.jsonl", SUM)
        assert load_benchmark("gsm8k", unnamed).split == ""
        assert load_benchmark("gsm8k", unnamed, split="test").split == "test"
        both = lines(
            tmp_path / "m.jsonl",
            {**CAPITAL, "split": "dev", "id": "d"},
            {**CAPITAL, "split": "test", "id": "t"},
        )
        assert load_benchmark("mmlu", both).split == "dev+test"
        assert [p.id for p in load_benchmark("mmlu", both, split="dev").problems] == ["d"]

    def test_unknown_names(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "x.jsonl", SUM)
        with pytest.raises(InputError, match="benchmark 'gsm9k' is unknown; use one of gsm8k"):
            load_benchmark("gsm9k", path)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="mmlu takes text, image, beside"):
            load_benchmark("gsm8k", path, condition="image")
        with pytest.raises(InputError, match="image folder .* does not exist"):
            load_benchmark("gsm8k", path, image_dir=tmp_path / "none")


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(bytes(2**20)) * 513)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(InputError, match="more than 512 MiB"):
        load_benchmark("gsm8k", path)


@pytest.mark.parametrize("kind", ["absolute", "above", "link"])
def test_a_row_names_no_image_outside_its_folder(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "private.png")
    (folder / "link.png").symlink_to(tmp_path / "private.png")
    named = {"absolute": str(tmp_path / "private.png"), "above": "../private.png"}
    row = {"text": "Colour?", "reference": "red", "images": [named.get(kind, "link.png")]}
    path = lines(folder / "problems.jsonl", row)
    with pytest.raises(InputError, match="not in the image folder"):
        load_benchmark("problems", path)

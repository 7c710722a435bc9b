"""Benchmarks read from files, in every form they come in."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import read_rows
from tests.evals.datasets.helpers import CAKES, CAPITAL, COUNT, SHAPE, SUM, lines
from vitarmm_agent.answers import grade
from vitarmm_agent.answers.choices import letter_of
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import load_benchmark, policy_of
from vitarmm_agent.evals.datasets.mathvista import official_query
from vitarmm_agent.evals.datasets.mmlu import INSTRUCTION
from vitarmm_agent.media import MediaStore
from vitarmm_agent.problem import Problem


class TestForms:
    def test_gsm8k(self, tmp_path: Path) -> None:
        path = lines(tmp_path / "test.jsonl", CAKES, SUM)
        found = load_benchmark("gsm8k", path)
        assert [p.reference for p in found.problems] == ["1200", "7"]
        assert [p.id for p in found.problems] == ["gsm8k-test-00000", "gsm8k-test-00001"]
        assert (found.split, found.source, found.available) == ("test", "test.jsonl", 2)
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (found.license, found.test_only, found.skipped) == ("MIT", False, ())
        problem = found.problems[0]
        assert problem.answer_type == "integer"
        assert problem.metadata["category"] == "1 step"
        assert grade(problem, "Answer: 1,200", policy=policy_of(problem)).correct
        assert "1200" not in problem.to_prompt()

    def test_one_set_of_rows_in_every_kind_of_file(self, tmp_path: Path) -> None:
        plain = lines(tmp_path / "a.jsonl", CAKES, SUM)
        packed = tmp_path / "a.jsonl.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        array = tmp_path / "a.json"
        array.write_text(json.dumps([CAKES, SUM]), encoding="utf-8-sig")
        keyed = tmp_path / "keyed.json"
        keyed.write_text(json.dumps({"1": CAKES, "2": SUM}))
        misnamed = lines(tmp_path / "lines.json", CAKES, SUM)
        read = [load_benchmark("gsm8k", p) for p in (plain, packed, array, keyed, misnamed)]
        texts = [[(p.text, p.reference) for p in found.problems] for found in read]
        assert texts == [texts[0]] * 5
        assert len({found.sha256 for found in read}) == 4  # misnamed has the bytes of plain

    def test_mathvista_by_query_and_without(self, tmp_path: Path, images: Path) -> None:
        query = official_query(SHAPE)
        assert query.endswith("Question: Which one?\nChoices:\n(A) red\n(B) blue")
        given = {**SHAPE, "pid": "8", "query": query}
        found = load_benchmark("mathvista", lines(tmp_path / "v.jsonl", SHAPE, given))
        first, second = found.problems
        assert first.text == second.text == query.split("\nChoices:")[0]
        assert query.split() == first.to_prompt().split()[: len(query.split())]
        assert first.metadata["query"] == query
        assert (found.split, found.test_only) == ("testmini", True)
        assert first.images[0].sha256 == hashlib.sha256((images / "7.jpg").read_bytes()).hexdigest()
        assert first.images[0].mime == "image/png"
        # the policy takes any text for the nearest choice, which strict grading does not
        assert policy_of(first) == "mathvista"
        assert grade(first, "something blueish", policy=policy_of(first)).correct
        assert not grade(first, "something blueish").correct

    def test_mathv(self, tmp_path: Path, images: Path) -> None:
        chosen = {**COUNT, "id": "13", "options": ["3", "5", "6"], "answer": "C"}
        found = load_benchmark("mathv", lines(tmp_path / "v.jsonl", COUNT, chosen))
        free, choice = found.problems
        assert (free.text, free.answer_type, free.reference) == ("How many?", "integer", "6")
        assert (choice.choices, choice.reference) == (("3", "5", "6"), "C")
        assert [p.id for p in found.problems] == ["mathv-12", "mathv-13"]
        for response in (r"\boxed{C}", r"\boxed{6}"):
            assert grade(choice, response, policy=policy_of(choice)).correct
            assert grade(choice, response, policy="mathv").correct
        assert grade(choice, "Answer: C", policy=policy_of(choice)).correct
        assert not grade(choice, r"\boxed{5}", policy=policy_of(choice)).correct

    def test_mmlu_rows(self, tmp_path: Path) -> None:
        by_letter = {**CAPITAL, "answer": "B", "subject": "geography", "id": "g1"}
        by_text = {**CAPITAL, "answer": "Paris"}
        found = load_benchmark("mmlu", lines(tmp_path / "val.jsonl", CAPITAL, by_letter, by_text))
        assert [p.reference for p in found.problems] == ["Paris"] * 3
        assert found.problems[1].id == "g1"
        assert found.problems[1].metadata["category"] == "geography"
        assert (found.split, found.condition) == ("val", "text")

    def test_mmlu_csv_with_and_without_header(self, tmp_path: Path) -> None:
        official = tmp_path / "high_school_physics_test.csv"
        with official.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(['Two\nlines, "said" he?', "1", "2", "3", "4", "D"])
        headed = tmp_path / "other.csv"
        with headed.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["question", "choice0", "choice1", "choice2", "choice3", "answer"])
            writer.writerow(['Two\nlines, "said" he?', "1", "2", "3", "4", "3"])
        one, two = (load_benchmark("mmlu", p).problems[0] for p in (official, headed))
        assert one.text == two.text == 'Two\nlines, "said" he?'
        assert one.choices == two.choices == ("1", "2", "3", "4")
        assert one.reference == "4"
        assert two.reference == "4"  # index 3, not the choice "3"
        assert one.id == "mmlu-test-high_school_physics-00000"

    def test_mmlu_folder_of_subjects(self, tmp_path: Path) -> None:
        for subject in ("astronomy", "anatomy"):
            for split in ("test", "dev"):
                with (tmp_path / f"{subject}_{split}.csv").open("w", newline="") as file:
                    csv.writer(file).writerows(
                        [[f"{subject} {split}?", "1", "2", "3", "4", "A"], ["odd", "row"]]
                    )
        found = load_benchmark("mmlu", tmp_path, split="test")
        assert [(p.id, p.metadata["category"]) for p in found.problems] == [
            ("mmlu-test-anatomy-00000", "anatomy"), ("mmlu-test-astronomy-00000", "astronomy"),
        ]  # fmt: skip
        assert [row.reason.split(" has")[0] for row in found.skipped] == [
            "anatomy_test.csv:", "astronomy_test.csv:",
        ]  # fmt: skip
        assert load_benchmark("mmlu", tmp_path).split == "dev+test"

    def test_conditions_of_rendered_mmlu(self, tmp_path: Path, images: Path) -> None:
        row = {
            **SHAPE,
            "choices": ["Rome", "Paris"],
            "answer": "Paris",
            "metadata": {"benchmark": "MMLU-rendered", "split": "val", "answer_letter": "B"},
        }
        path = lines(tmp_path / "m.jsonl", row)
        read = {c: load_benchmark("mmlu", path, condition=c) for c in ("image", "beside", "text")}
        image, beside, text = (found.problems[0] for found in read.values())
        assert load_benchmark("mmlu", path).problems == read["image"].problems
        assert (image.text, image.reference, len(image.images)) == (INSTRUCTION, "B", 1)
        assert "Paris" not in image.to_prompt()
        assert (beside.text, beside.reference, len(beside.images)) == ("Which one?", "Paris", 1)
        assert (text.text, text.reference, text.images) == ("Which one?", "Paris", ())
        assert grade(image, "(B) Paris", policy=policy_of(image)).correct

    def test_problems(self, tmp_path: Path, images: Path) -> None:
        data = base64.b64encode((images / "7.jpg").read_bytes()).decode()
        rows: list[dict[str, Any]] = [
            {"text": "1 + 1?", "reference": "2", "answer_type": "integer", "id": "a"},
            {"text": "Colour?", "images": ["images/7.jpg"], "reference": "red"},
            {
                "text": "Colour now?",
                "images": [f"data:image/png;base64,{data}"],
                "reference": "red",
            },
            {"text": "Graded?", "reference": "1", "metadata": {"grading": "mathv", "split": "dev"}},
        ]
        found = load_benchmark("problems", lines(tmp_path / "p.jsonl", *rows))
        assert [len(p.images) for p in found.problems] == [0, 1, 1, 0]
        assert found.problems[1].images[0].sha256 == found.problems[2].images[0].sha256
        assert [policy_of(p) for p in found.problems] == ["strict"] * 3 + ["mathv"]
        assert found.problems[0].metadata["benchmark"] == "problems"
        again = lines(tmp_path / "q.jsonl", *(p.model_dump_json() for p in found.problems))
        assert load_benchmark("problems", again).problems == found.problems

    def test_images_can_be_stored(self, tmp_path: Path, images: Path) -> None:
        image = (
            load_benchmark("mathvista", lines(tmp_path / "v.jsonl", SHAPE)).problems[0].images[0]
        )
        stored = MediaStore(tmp_path / "media", local_files=True).put(image)
        assert Path(stored.source).is_file()
        assert stored.sha256 == image.sha256

    def test_policy_that_is_none(self) -> None:
        with pytest.raises(InputError, match="'loose'"):
            policy_of(Problem(text="x", metadata={"grading": "loose"}))


class TestSampling:
    def rows(self, path: Path) -> Path:
        return lines(path, *({**SUM, "id": str(n)} for n in range(20)))

    def test_by_seed_in_file_order(self, tmp_path: Path) -> None:
        path = self.rows(tmp_path / "a.jsonl")
        one, same, other = (
            [p.id for p in load_benchmark("gsm8k", path, sample_size=5, seed=s).problems]
            for s in (1, 1, 2)
        )
        assert one == same != other
        assert one == sorted(one, key=int)
        assert load_benchmark("gsm8k", path, sample_size=5).available == 20

    def test_all_and_more_than_there_are(self, tmp_path: Path) -> None:
        path = self.rows(tmp_path / "a.jsonl")
        for size in (-1, 20, 99):
            assert len(load_benchmark("gsm8k", path, sample_size=size).problems) == 20
        for size in (0, -2):
            with pytest.raises(InputError, match="use -1 for all"):
                load_benchmark("gsm8k", path, sample_size=size)


class TestSharedData:
    """Counts are those of the data's own description."""

    def test_every_benchmark(self, shared: Path) -> None:
        data = shared / "data"
        loaded = [
            load_benchmark("gsm8k", data / "gsm8k_train.jsonl.gz"),
            load_benchmark("gsm8k", data / "gsm8k_test.jsonl.gz"),
            load_benchmark("mmlu", data / "mmlu_test.jsonl.gz"),
            load_benchmark("mmlu", data / "mmlu_dev.jsonl.gz"),
            load_benchmark("mmlu", data / "vision" / "mmlu_vision.jsonl"),
            load_benchmark("mathvista", data / "vision" / "problems.jsonl"),
            load_benchmark("mathv", data / "vision" / "problems.jsonl"),
        ]
        assert [len(b.problems) for b in loaded] == [7473, 300, 800, 285, 96, 58, 98]
        assert [len(b.skipped) for b in loaded] == [0, 0, 0, 0, 0, 98, 58]
        assert [b.split for b in loaded] == [
            "train", "test", "test", "dev", "val", "testmini", "testmini",
        ]  # fmt: skip
        for problem in (p for b in loaded[2:] for p in b.problems):
            gold = problem.reference or ""
            if gold in problem.choices:
                gold = letter_of(problem.choices.index(gold))
            said = f"1. Look.\nAnswer: {gold}"
            assert grade(problem, said, policy=policy_of(problem)).correct, problem.id

    def test_the_official_query_is_built_as_published(self, shared: Path) -> None:
        rows = list(read_rows(shared / "data" / "mathvista_testmini.jsonl.gz"))
        assert [row["pid"] for row in rows if official_query(row) != row["query"]] == []
        assert len(rows) == 614

    def test_rows_without_their_image(self, shared: Path) -> None:
        data = shared / "data"
        folder = data / "vision" / "images"
        found = load_benchmark("mathvista", data / "mathvista_testmini.jsonl.gz", image_dir=folder)
        assert (len(found.problems), len(found.skipped)) == (58, 556)

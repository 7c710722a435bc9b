"""Measured precision of the verifiers that need no model, and of grading, on labelled solutions.

``vitarmm eval verifiers --data DIR`` prints it. The folder has the files that :data:`FILES` names, as
gzip-compressed JSON lines: real solutions of several models, each with a label whether its final
answer is right.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitarmm_agent.answers import extract_answer, grade, parse_steps
from vitarmm_agent.answers.equation_tokens import without_notes
from vitarmm_agent.answers.grading import GradingPolicy
from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.reading import unpacked
from vitarmm_agent.evals.statistics import Interval, wilson
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.problem import Attempt, Feedback, Problem, Verdict
from vitarmm_agent.verifiers import AnswerFollows, Arithmetic, ChoiceIsValid, Verifier

FILES = {
    "gsm8k": "gsm8k_model_solutions.jsonl.gz",
    "mathv": "mathv_scoring.jsonl.gz",
    "mathvista": "mathvista_scoring.jsonl.gz",
}
SOLUTION_MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
POLICY: dict[str, GradingPolicy] = {
    "gsm8k": "strict",
    "mathv": "mathv",
    "mathvista": "mathvista",
}


@dataclass(frozen=True)
class Solution:
    """One real response with its label.

    Attributes:
        dataset: key of :data:`FILES`.
        id: unique within the dataset.
        problem: with its reference.
        text: the raw response, calculator notes taken out.
        correct: the label: whether the final answer is right.
        supported: whether the labelled answer occurs in the text, or None when that is not known.
    """

    dataset: str
    id: str
    problem: Problem
    text: str
    correct: bool
    supported: bool | None = None


@dataclass(frozen=True)
class VerdictRow:
    """How often one verdict of one verifier is right.

    Attributes:
        n: verdicts of this kind; ``total`` is the number of solutions.
        precision: share of fails on a wrong answer, or of passes on a right one, with 95 % bounds.
        base: share of wrong (for fails) or right (for passes) answers among all solutions.
    """

    dataset: str
    verifier: str
    verdict: Verdict
    n: int
    total: int
    precision: Interval
    base: float

    @property
    def coverage(self) -> float:
        """Share of solutions that get this verdict."""
        return self.n / self.total

    @property
    def lift(self) -> float:
        """Precision over the base rate."""
        return self.precision.estimate / self.base

    def data(self) -> dict[str, Any]:
        """The row as plain data."""
        return {**asdict(self), "coverage": self.coverage, "lift": self.lift}


@dataclass(frozen=True)
class AgreementRow:
    """How often grading agrees with the labels."""

    dataset: str
    policy: str
    rows: str
    agreement: Interval
    disagreements: tuple[str, ...] = field(repr=False)
    n: int = 0

    def data(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)


def load_solutions(data: Path, dataset: str) -> list[Solution]:
    """Labelled solutions of one dataset.

    Raises:
        InputError: the dataset is unknown, or its file is missing or damaged.
    """
    if dataset not in FILES:
        raise InputError(f"benchmark {dataset!r} is unknown; use one of {', '.join(FILES)}")
    path = data / FILES[dataset]
    try:
        lines = unpacked(path, path.read_bytes()).splitlines()
        rows = [parse_json(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}; check --data") from None
    return list(_READERS[dataset](rows))


def _gsm8k(rows: Iterable[dict[str, Any]]) -> Iterator[Solution]:
    for row in rows:
        gold = row["ground_truth"].rsplit("A:", 1)[1].strip()
        problem = Problem(text=row["question"], answer_type="integer", reference=gold)
        for model in SOLUTION_MODELS:
            text = without_notes(row[model]["solution"])
            yield Solution("gsm8k", f"{row['id']}/{model}", problem, text, row[model]["is_correct"])


def _mathv(rows: Iterable[dict[str, Any]]) -> Iterator[Solution]:
    for row in rows:
        problem = Problem(
            text=row["question"], choices=tuple(row["options"]), reference=row["answer"]
        )
        yield Solution("mathv", row["id"], problem, row["response"], row["official_correct"])


def _mathvista(rows: Iterable[dict[str, Any]]) -> Iterator[Solution]:
    for row in rows:
        chosen = row["question_type"] == "multi_choice"
        problem = Problem(
            text=row["question"],
            choices=tuple(row["choices"] or ()),
            answer_type="choice" if chosen else row["answer_type"],
            precision=None if row["precision"] is None else int(row["precision"]),
            unit=row["unit"],
            reference=row["answer"],
        )
        yield Solution(
            "mathvista",
            f"{row['model']}/{row['pid']}",
            problem,
            row[row["scored_field"]],
            row["released_true_false"],
            row["prediction_supported"],
        )


_READERS = {"gsm8k": _gsm8k, "mathv": _mathv, "mathvista": _mathvista}


def attempt_of(solution: Solution) -> Attempt:
    """The response as an attempt."""
    return Attempt(
        number=1,
        text=solution.text,
        steps=parse_steps(solution.text),
        answer=extract_answer(solution.problem, solution.text),
    )


def measure_verifiers(
    solutions: Sequence[Solution], verifiers: Sequence[Verifier] | None = None
) -> list[VerdictRow]:
    """Precision, coverage and lift of each verifier's fails and passes on one dataset.

    Verdicts that never occur have no row. Default: every verifier that needs no model.
    """
    chosen = verifiers or (Arithmetic(), AnswerFollows(), ChoiceIsValid())
    attempts = [attempt_of(solution) for solution in solutions]
    rows: list[VerdictRow] = []
    for verifier in chosen:
        verdicts: list[Feedback] = [
            run(verifier.check(s.problem.without_reference(), attempt))
            for s, attempt in zip(solutions, attempts, strict=True)
        ]
        for verdict in ("fail", "pass"):
            labels = [
                s.correct
                for s, feedback in zip(solutions, verdicts, strict=True)
                if feedback.verdict == verdict
            ]
            if labels:
                rows.append(_verdict_row(solutions, verifier.name, verdict, labels))
    return rows


def _verdict_row(
    solutions: Sequence[Solution], name: str, verdict: Verdict, labels: Sequence[bool]
) -> VerdictRow:
    wanted = verdict == "pass"
    return VerdictRow(
        dataset=solutions[0].dataset,
        verifier=name,
        verdict=verdict,
        n=len(labels),
        total=len(solutions),
        precision=wilson(sum(label == wanted for label in labels), len(labels)),
        base=sum(s.correct == wanted for s in solutions) / len(solutions),
    )


def measure_grading(
    solutions: Sequence[Solution], *, policy: GradingPolicy | None = None
) -> list[AgreementRow]:
    """Agreement of grading with the labels: over all rows, and where the answer is in the text."""
    dataset = solutions[0].dataset
    used = policy or POLICY[dataset]
    graded = [(s, grade(s.problem, s.text, policy=used).correct == s.correct) for s in solutions]
    rows = [_agreement(dataset, used, "all", graded)]
    supported = [(s, agrees) for s, agrees in graded if s.supported]
    return [*rows, _agreement(dataset, used, "supported", supported)] if supported else rows


def _agreement(
    dataset: str, policy: str, rows: str, graded: Sequence[tuple[Solution, bool]]
) -> AgreementRow:
    return AgreementRow(
        dataset=dataset,
        policy=policy,
        rows=rows,
        agreement=wilson(sum(agrees for _, agrees in graded), len(graded)),
        disagreements=tuple(s.id for s, agrees in graded if not agrees),
        n=len(graded),
    )

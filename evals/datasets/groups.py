"""Recurring problems: groups of siblings, of which the first is taught and the others are solved.

Rows that name their ``group`` are taken as they are; rows of GSM8K are made into groups here, with
:mod:`~vitarmm_agent.evals.datasets.siblings`.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitarmm_agent.answers.equation_tokens import without_notes
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import gsm8k
from vitarmm_agent.evals.datasets.reading import Loaded, Row
from vitarmm_agent.evals.datasets.records import (
    Context,
    Format,
    RowError,
    mapping_field,
    text_field,
)
from vitarmm_agent.evals.datasets.retelling import retell
from vitarmm_agent.evals.datasets.siblings import Sibling, siblings_of
from vitarmm_agent.memory_store.schema import solution_text
from vitarmm_agent.problem import Problem

log = logging.getLogger(__name__)

OWN = Path(__file__).with_name("recurring.jsonl")
"""Rows with notes that come with the package, to see the effect of memory without any other data."""
EACH = 2
"""Siblings of a group unless asked otherwise: one to teach, one to solve."""


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether a row names its group."""
    return "group" in row and ("text" in row or "question" in row)


def with_siblings(loaded: Loaded, *, each: int, groups: int, seed: int, retold: bool) -> Loaded:
    """The rows, with those of GSM8K made into groups.

    Args:
        loaded: rows of a file.
        each: siblings of a group that is made.
        groups: how many groups at most, drawn at random; -1 for all.
        seed: decides everything.
        retold: with other names and objects too.

    Raises:
        InputError: ``each`` is less than 2.
    """
    if each < 2:
        raise InputError(
            f"a group needs 2 siblings or more, got {each}: one is taught, others solved"
        )
    own = [row for row in loaded.rows if not gsm8k.FORMAT.is_row(row.fields) or is_row(row.fields)]
    rows = [
        row for row in loaded.rows if gsm8k.FORMAT.is_row(row.fields) and not is_row(row.fields)
    ]
    random.Random(f"{seed}/groups").shuffle(rows)
    made: list[Row] = []
    count = 0
    for row in rows:
        if groups != -1 and count == groups:
            break
        try:
            made += _group(row, each, seed, retold)
            count += 1
        except RowError as error:
            made.append(Row(row.line, {}, str(error), row.file))
    return loaded._replace(rows=[*own, *made])


def _group(row: Row, each: int, seed: int, retold: bool) -> Iterator[Row]:
    question, answer = text_field(row.fields, "question"), text_field(row.fields, "answer")
    name = str(row.fields.get("id") or f"row-{row.line:05d}")
    for number, one in enumerate(siblings_of(question, answer, each, f"{seed}/{name}")):
        told = _retold(one, f"{seed}/{name}/{number}") if retold else one
        fields = {
            "id": f"{name}-s{number}", "group": name, "text": told.question,
            "solution": list(told.steps), "reference": told.answer, "answer_type": "integer",
            "metadata": {"notes": list(told.notes), "license": gsm8k.LICENSE},
        }  # fmt: skip
        yield Row(row.line, fields, "", row.file)


def _retold(sibling: Sibling, seed: str) -> Sibling:
    question, *steps = retell([sibling.question, *sibling.steps], random.Random(seed))
    return Sibling(question, tuple(steps), sibling.notes, sibling.answer)


def _problem(row: Mapping[str, Any], context: Context) -> Problem:
    name = "" if row.get("group") is None else str(row["group"])
    group = text_field({"group": name}, "group")
    solution, gold = row.get("solution"), row.get("reference", row.get("answer"))
    if isinstance(gold, str) and "####" in gold:  # as GSM8K has it
        worked, gold, _ = gsm8k.worked_and_gold(gold)
        solution = solution or without_notes(worked)
    if gold in (None, ""):
        raise RowError("has no reference (the gold answer)")
    steps = _steps(solution)
    own = {"benchmark": "siblings", "split": context.split, "category": "", "grading": "strict"}
    if steps:
        own["category"] = f"{len(steps)} step{'' if len(steps) == 1 else 's'}"
    facts = {"group": group, "solution": steps}
    fields = {k: v for k, v in row.items() if k in Problem.model_fields}
    try:
        return Problem.parse(
            fields
            | {
                "id": str(row.get("id") or f"{group}-{context.number:05d}"),
                "text": text_field(row, "text" if "text" in row else "question"),
                "reference": str(gold),
                "metadata": own | mapping_field(row, "metadata") | facts,
            }
        )
    except InputError as error:
        raise RowError(str(error).removeprefix("problem cannot be used: ")) from None


def _steps(solution: Any) -> list[str]:
    """A solution's steps: a list of them, or a text with one a line."""
    lines = solution.splitlines() if isinstance(solution, str) else solution or []
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RowError("solution is neither a text nor a list of texts")
    return [line.strip() for line in lines if line.strip()]


FORMAT = Format(
    title="siblings",
    fields="group, text, reference and solution (or are rows of GSM8K, which are made into groups)",
    splits=(),
    hub=gsm8k.FORMAT.hub,
    is_row=is_row,
    problem=_problem,
    split_of=lambda row: str(mapping_field(row, "metadata").get("split", "")),
)


def group_of(problem: Problem) -> str:
    """The group that a problem belongs to, or empty."""
    return str(problem.metadata.get("group") or "")


def own_solution(problem: Problem) -> str:
    """The text of the solution that a problem's row holds; empty when it holds none."""
    steps = problem.metadata.get("solution")
    return solution_text(steps, str(problem.reference)) if steps else ""


def taught_and_asked(
    found: Sequence[Problem], groups: int, seed: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """The first of each group, and the others in random order; groups of one are left out.

    Args:
        found: problems with a group.
        groups: how many groups, drawn at random; -1 for all.
        seed: of the draw and the order.

    Raises:
        InputError: no group has two problems.
    """
    members: dict[str, list[Problem]] = defaultdict(list)
    for problem in found:
        members[group_of(problem)].append(problem)
    names = [name for name, problems in members.items() if len(problems) > 1]
    if not names:
        raise InputError("no group has two problems; give each problem at least one sibling")
    if alone := len(members) - len(names):
        log.warning("%d groups of one problem are left out: nothing recurs in them", alone)
    if groups != -1 and groups < len(names):
        chosen = set(random.Random(seed).sample(names, groups))
        names = [name for name in names if name in chosen]
    asked = [problem for name in names for problem in members[name][1:]]
    random.Random(f"{seed}/stream").shuffle(asked)
    return tuple(members[name][0] for name in names), tuple(asked)

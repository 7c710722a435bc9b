"""What a loaded benchmark is, and what a row reader works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from vitarmm_agent.answers.grading import GradingPolicy
from vitarmm_agent.data import Data
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import ImageRef
from vitarmm_agent.problem import Problem

BenchmarkName = Literal["gsm8k", "mathvista", "mmlu", "mathv", "siblings", "problems"]
Condition = Literal["text", "image", "beside"]
"""How an MMLU question is put: as text; rendered in its image with a fixed instruction as the only
text; or as text with the image beside it."""
BENCHMARKS: tuple[BenchmarkName, ...] = get_args(BenchmarkName)
CONDITIONS: tuple[Condition, ...] = get_args(Condition)


class RowError(Exception):
    """A row that cannot be used; its text is the reason."""


class SkippedRow(Data):
    """A row that was left out.

    Attributes:
        line: line of the file (JSON lines, CSV) or number of the row, from 1.
        reason: why, in words.
    """

    line: int
    reason: str


class Benchmark(Data):
    """The problems of one benchmark, with what is needed to name them in a report.

    Attributes:
        name: one of :data:`BENCHMARKS`.
        split: the split asked for or found; several are joined by ``+``; empty when unknown.
        problems: in the order of the file. ``metadata`` has ``benchmark``, ``split``, ``category``,
            ``grading`` and, where known, ``license`` and ``test_only``.
        source: file name or hub name it was read from.
        sha256: of the file's bytes as they lie on disk; of the rows where it came by the hub.
        skipped: rows left out, with the reason of each.
        available: usable rows before sampling.
        license: of the rows, empty when unknown.
        test_only: the licence allows no training on the rows.
        condition: how MMLU was put, else None.
        taught: of recurring problems the first of each group, with its solution in ``metadata``;
            it may be taught, and is not among the problems.
        untaught: groups left out because their solution cannot be taught, and why.
    """

    name: BenchmarkName
    split: str
    problems: tuple[Problem, ...]
    source: str
    sha256: str
    skipped: tuple[SkippedRow, ...] = ()
    available: int = 0
    license: str = ""
    test_only: bool = False
    condition: Condition | None = None
    taught: tuple[Problem, ...] = ()
    untaught: dict[str, str] = {}


@dataclass(frozen=True)
class Context:
    """What a row reader knows besides the row.

    Attributes:
        split: of the row, the file or the caller; may be empty.
        number: number of the row in its file, from 0.
        condition: of MMLU.
        image: makes a checked reference of a row's image field.
        stem: file name without suffixes.
    """

    split: str
    number: int
    condition: Condition
    image: Callable[[Any, Mapping[str, Any]], ImageRef]
    stem: str = ""


@dataclass(frozen=True)
class Format:
    """How one benchmark is read.

    Attributes:
        title: its name in messages.
        fields: what its rows hold, in words, for messages.
        splits: names its splits have; empty: any.
        hub: repository on the hub, its configuration and its default split.
        is_row: whether a row is of this benchmark, judged by its fields.
        problem: makes the problem of a row, or raises RowError.
        split_of: the split a row says it is from, or empty.
    """

    title: str
    fields: str
    splits: tuple[str, ...]
    hub: tuple[str, str | None, str] | None
    is_row: Callable[[Mapping[str, Any]], bool]
    problem: Callable[[Mapping[str, Any], Context], Problem]
    split_of: Callable[[Mapping[str, Any]], str]


def policy_of(problem: Problem) -> GradingPolicy:
    """The grading policy that a benchmark's problem asks for: ``grade(…, policy=policy_of(p))``.

    Raises:
        InputError: ``metadata["grading"]`` is no policy.
    """
    policy = problem.metadata.get("grading", "strict")
    if policy not in get_args(GradingPolicy):
        raise InputError(
            f"problem {problem.id!r} asks for grading {policy!r}; "
            f"use one of {', '.join(get_args(GradingPolicy))}"
        )
    return cast(GradingPolicy, policy)


def text_field(row: Mapping[str, Any], name: str) -> str:
    """A field that must be a text with something in it.

    Raises:
        RowError: it is absent, empty, or no text.
    """
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError(f"has no {name}")
    if not isinstance(value, str):
        raise RowError(f"{name} is {type(value).__name__}, not text")
    return value


def texts_field(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A field that is a list of texts; absent counts as empty.

    Raises:
        RowError: it is something else.
    """
    value = row.get(name)
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise RowError(f"{name} is {type(value).__name__}, not a list")
    if any(not isinstance(item, (str, int, float)) or isinstance(item, bool) for item in value):
        raise RowError(f"{name} holds something that is no text")
    return tuple(str(item) for item in value)


def mapping_field(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field that is an object; anything else counts as empty."""
    value = row.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def stem_of(path: Path) -> str:
    """File name without ``.gz`` and suffix."""
    name = path.name.removesuffix(".gz")
    return name.rsplit(".", 1)[0] if "." in name else name

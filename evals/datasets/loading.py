"""``load_benchmark``: from a file or a hub name to checked problems."""

from __future__ import annotations

import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import groups, gsm8k, mathv, mathvista, mmlu, problems
from vitarmm_agent.evals.datasets.reading import (
    ImageFolder,
    Loaded,
    Row,
    csv_files,
    read_file,
    read_files,
)
from vitarmm_agent.evals.datasets.records import (
    BENCHMARKS,
    CONDITIONS,
    Benchmark,
    BenchmarkName,
    Condition,
    Context,
    Format,
    RowError,
    SkippedRow,
    stem_of,
)
from vitarmm_agent.media import ImageRef
from vitarmm_agent.problem import Problem

log = logging.getLogger(__name__)

FORMATS: dict[BenchmarkName, Format] = {
    "gsm8k": gsm8k.FORMAT,
    "mathvista": mathvista.FORMAT,
    "mmlu": mmlu.FORMAT,
    "mathv": mathv.FORMAT,
    "siblings": groups.FORMAT,
    "problems": problems.FORMAT,
}


def load_benchmark(
    name: BenchmarkName,
    path: Path | str,
    *,
    image_dir: Path | str | None = None,
    split: str | None = None,
    sample_size: int = -1,
    seed: int = 0,
    condition: Condition | None = None,
    siblings: int = groups.EACH,
    retold: bool = False,
) -> Benchmark:
    """The problems of a benchmark, each row checked.

    Rows that cannot be used (no answer, image missing or broken, an id that stands already) are left
    out and listed in ``skipped``.

    Args:
        name: which benchmark; ``problems`` for rows with the fields of ``Problem``.
        path: a ``.jsonl``, ``.json`` or ``.csv`` file, plain or ``.gz``; a folder of CSV files (MMLU),
            or one that ``datasets`` loads; or ``hub:OWNER/NAME`` (``hub:`` alone: the benchmark's usual repository).
        image_dir: where the images that rows name are; default: the file's folder.
        split: keep the rows of this split only; it must be one the benchmark has.
        sample_size: as many problems drawn at random, in file order; groups, where problems recur;
            -1 for all.
        seed: of the draw.
        condition: how MMLU questions are put; default: ``image`` when rows have images, else
            ``text``.
        siblings: how many problems a group has that is made of a row of GSM8K.
        retold: their names and objects differ too, not only their numbers.

    Raises:
        InputError: an unknown benchmark, split or condition; a file that is missing, empty, or of
            another benchmark; no row that can be used.
        MissingExtraError: the hub was asked for and ``datasets`` is not installed.
    """
    form = _format(name, split, sample_size, condition)
    loaded = _loaded(form, str(path), split)
    if name == "siblings":
        loaded = groups.with_siblings(
            loaded, each=siblings, groups=sample_size, seed=seed, retold=retold
        )
    source, kinds = loaded.source, [_kind_of(row, name) for row in loaded.rows]
    _refuse_another(form, source, loaded.rows, kinds)
    used = _condition(name, condition, loaded.rows, kinds)
    images = ImageFolder(Path(image_dir) if image_dir else _image_folder(str(path)))
    found, skipped = _Reader(form, loaded, split, used, images).read(loaded.rows, kinds)
    _tell_left_out(form, loaded, len(found), skipped)
    taught: tuple[Problem, ...] = ()
    if name == "siblings":
        taught, asked = groups.taught_and_asked(found, sample_size, seed)
    else:
        asked = tuple(_sample(found, sample_size, seed))
    return Benchmark(
        name=name,
        split="+".join(sorted({p.metadata.get("split") or "" for p in found} - {""})),
        problems=asked,
        source=source,
        sha256=loaded.sha256,
        skipped=tuple(skipped),
        available=len(found),
        license=_common(found, "license"),
        test_only=any(p.metadata.get("test_only") for p in found),
        condition=used if name == "mmlu" else None,
        taught=taught,
    )


def _tell_left_out(form: Format, loaded: Loaded, used: int, skipped: Sequence[SkippedRow]) -> None:
    """Say which rows are left out; raises where none can be used."""
    if not used:
        raise InputError(
            f"{loaded.source}: no row of {form.title} can be used; {len(skipped)} were left out, "
            f"most often because: {_commonest(skipped)}"
        )
    if skipped:
        read = len({(row.file, row.line) for row in loaded.rows})  # siblings are made of one row
        left_out = f"{len(skipped)} of {read} rows left out"
        why = _commonest(skipped)
        log.warning(
            "%s, read as %s: %s, most often because: %s", loaded.source, form.title, left_out, why
        )


def _format(
    name: BenchmarkName, split: str | None, sample_size: int, condition: Condition | None
) -> Format:
    if name not in BENCHMARKS:
        raise InputError(f"benchmark {name!r} is unknown; use one of {', '.join(BENCHMARKS)}")
    form = FORMATS[name]
    if split is not None and form.splits and split not in form.splits:
        raise InputError(
            f"{form.title} has no split {split!r}; its splits are {', '.join(form.splits)}"
        )
    if sample_size != -1 and sample_size < 1:
        raise InputError(f"sample_size {sample_size} is no number of problems; use -1 for all")
    if condition is not None and (condition not in CONDITIONS or name != "mmlu"):
        raise InputError(
            f"condition {condition!r} cannot be used for {form.title}; "
            f"mmlu takes {', '.join(CONDITIONS)}"
        )
    return form


def _loaded(form: Format, path: str, split: str | None) -> Loaded:
    folder = Path(path)
    if not path.startswith("hub:") and folder.is_dir() and (files := csv_files(folder)):
        return read_files(folder, files)
    if path.startswith("hub:") or folder.is_dir():
        from vitarmm_agent.evals.datasets.hub import read_hub

        return read_hub(form, path, split)
    return read_file(folder)


def _image_folder(path: str) -> Path:
    if path.startswith("hub:"):
        return Path()
    return Path(path) if Path(path).is_dir() else Path(path).parent


def _kind_of(row: Row, asked: BenchmarkName) -> BenchmarkName | None:
    if row.damage:
        return None
    names = [asked, *(name for name in FORMATS if name != asked)]
    return next((name for name in names if FORMATS[name].is_row(row.fields)), None)


def _refuse_another(
    form: Format, source: str, rows: Sequence[Row], kinds: Sequence[BenchmarkName | None]
) -> None:
    """Refuse a file that holds no row of the benchmark but rows of another, or of none.

    Where no row is any, each with its reason, those tell more.
    """
    counts = Counter(kind for kind in kinds if kind is not None)
    own = next(name for name, other in FORMATS.items() if other is form)
    if counts[own] or all(row.damage for row in rows):
        return
    if counts:
        other, n = counts.most_common(1)[0]
        raise InputError(
            f"{source} holds {FORMATS[other].title} rows ({n} of {len(rows)}), not {form.title}; "
            f"load it as {other!r}, or give a {form.title} file"
        )
    fields = next((sorted(row.fields) for row in rows if row.fields), None)
    found = f"the fields {', '.join(fields)}" if fields else "no fields"
    raise InputError(
        f"{source} holds no {form.title} rows: these have {form.fields}; its first row has {found}"
    )


def _condition(
    name: BenchmarkName,
    asked: Condition | None,
    rows: Sequence[Row],
    kinds: Sequence[BenchmarkName | None],
) -> Condition:
    if asked is not None or name != "mmlu":
        return asked or "text"
    pictured = any(row.fields.get("image") for row, k in zip(rows, kinds, strict=True) if k == name)
    return "image" if pictured else "text"


class _Reader:
    """Reads rows of one file into problems, and says which it left out."""

    def __init__(
        self,
        form: Format,
        loaded: Loaded,
        split: str | None,
        condition: Condition,
        image: Callable[[Any, Mapping[str, Any]], ImageRef],
    ) -> None:
        self.form, self.source, self.asked = form, loaded.source, split
        self.condition, self.image = condition, image
        self.known = loaded.split

    def read(
        self, rows: Sequence[Row], kinds: Sequence[BenchmarkName | None]
    ) -> tuple[list[Problem], list[SkippedRow]]:
        found: list[Problem] = []
        skipped: list[SkippedRow] = []
        lines: dict[str, int] = {}
        splits: set[str] = set()
        numbers: Counter[str] = Counter()
        for row, kind in zip(rows, kinds, strict=True):
            split = self._split_of(row)
            splits.add(split)
            number = numbers[row.file]
            numbers[row.file] += 1
            if self.asked is not None and split not in ("", self.asked):
                continue
            try:
                problem = self._problem(row, kind, number, self.asked or split)
                if problem.id in lines:
                    raise RowError(f"id {problem.id!r} stands already in line {lines[problem.id]}")
            except RowError as error:
                where = f"{row.file}: " if row.file else ""
                skipped.append(SkippedRow(line=row.line, reason=f"{where}{error}"))
                continue
            lines[problem.id] = row.line
            found.append(problem)
        if not found and not skipped:
            raise InputError(
                f"{self.source} holds split {', '.join(sorted(splits))}, not {self.asked!r}; "
                "give the file of that split"
            )
        return found, skipped

    def _problem(self, row: Row, kind: BenchmarkName | None, number: int, split: str) -> Problem:
        if row.damage:
            raise RowError(row.damage)
        if kind is not None and FORMATS[kind] is not self.form:
            raise RowError(f"is a row of {FORMATS[kind].title}; load those as {kind!r}")
        context = Context(split, number, self.condition, self.image, self._stem(row))
        try:
            return self.form.problem(row.fields, context)
        except ValidationError as error:
            raise RowError("; ".join(e["msg"] for e in error.errors())) from None
        except (TypeError, ValueError) as error:
            raise RowError(f"has a field that cannot be read: {error}") from None

    def _stem(self, row: Row) -> str:
        return stem_of(Path(row.file or self.source))

    def _split_of(self, row: Row) -> str:
        """The split that the row says, the source is known for, or the file's name ends with."""
        if said := self.form.split_of(row.fields) or self.known:
            return said
        words = re.split(r"[-_.]", self._stem(row))
        return next((word for word in reversed(words) if word in self.form.splits), "")


def _sample(found: list[Problem], sample_size: int, seed: int) -> list[Problem]:
    if sample_size == -1 or sample_size >= len(found):
        return found
    chosen = random.Random(seed).sample(range(len(found)), sample_size)
    return [found[index] for index in sorted(chosen)]


def _commonest(skipped: Sequence[SkippedRow]) -> str:
    return Counter(row.reason for row in skipped).most_common(1)[0][0]


def _common(found: Sequence[Problem], key: str) -> str:
    values = sorted({str(p.metadata[key]) for p in found if p.metadata.get(key)})
    return "; ".join(values)

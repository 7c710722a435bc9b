"""Evaluations and reports under ``DATA_DIR/evaluations``: found, and nothing of them written."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.report.build import Headline
from vitarmm_agent.evals.report.compare import SideBySide, side_by_side
from vitarmm_agent.evals.report.sample_index import SampleIndex
from vitarmm_agent.json_text import parse_json

KINDS = {".html": "text/html; charset=utf-8", ".json": "application/json",
         ".md": "text/plain; charset=utf-8"}  # fmt: skip
MOST = 500
MOST_BYTES = 32 * 1024 * 1024
COMPARED = ("config.json", "samples.jsonl")
REPORTS = ("report.html", "report.md", "report.json")
KEPT = 4
"""Evaluations, and comparisons of two, of which it is remembered what was read."""
T = TypeVar("T")


class ReportFile(NamedTuple):
    """A file that an evaluation wrote."""

    name: str
    bytes: int
    changed: float


class Evaluation(NamedTuple):
    """A folder that ``vitarmm eval`` wrote."""

    name: str
    title: str
    arms: tuple[Headline, ...]
    complete: bool
    files: tuple[str, ...]
    changed: float
    fault: str = ""


def inside(where: Path, name: str, *, a_folder: bool = False) -> Path | None:
    """The file or folder of this name, if it lies in ``where`` and not among an evaluation's data."""
    root = where.resolve()
    path = root / name
    try:
        there = path.is_dir() if a_folder else path.is_file()
        fits = there and path.resolve() == path and path.is_relative_to(root) and path != root
    except (OSError, ValueError):
        return None
    return path if fits and not _is_data(path.relative_to(root), root) else None


def _is_data(path: Path, root: Path) -> bool:
    return any(
        parent.name == "data" and (root / parent.parent / "config.json").is_file()
        for parent in path.parents
    )


def look(where: Path) -> tuple[list[Evaluation], list[ReportFile]]:
    """The evaluations, and the reports that are not in one of them."""
    root = where.resolve()
    found, loose = [], []
    for place, files in _folders(root):
        if _is_evaluation(files):
            found.append(evaluation(place, place.relative_to(root).as_posix()))
            continue
        loose += [place / file for file in files if Path(file).suffix in KINDS]
    reports = [
        ReportFile(path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime)
        for path in loose
        if path.resolve() == path and path.is_file()
    ]
    return (
        sorted(found, key=lambda one: -one.changed)[:MOST],
        sorted(reports, key=lambda one: -one.changed)[:MOST],
    )


def names(where: Path) -> list[str]:
    """Names of the evaluations."""
    root = where.resolve()
    found = (place for place, files in _folders(root) if _is_evaluation(files))
    return sorted(place.relative_to(root).as_posix() for place in found)[:MOST]


def _is_evaluation(files: Collection[str]) -> bool:
    return "config.json" in files and ("report.json" in files or "samples.jsonl" in files)


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and their files; what an evaluation keeps as data is passed over."""
    for place, folders, files in os.walk(root):
        if "config.json" in files and "data" in folders:
            folders.remove("data")
        yield Path(place), files


def evaluation(place: Path, name: str) -> Evaluation:
    """What the folder of an evaluation says of it in short; a fault of its report is said, too."""
    path = place / "report.json"
    there = tuple(file for file in REPORTS if (place / file).is_file())
    if path.name not in there:
        return Evaluation(name, "", (), False, there, (place / "config.json").stat().st_mtime)
    changed = path.stat().st_mtime
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        data = parse_json(path.read_text(encoding="utf-8"))
        arms = tuple(_arm(line) for line in data["headline"])
        used = [f"{b['name']} {b['split']}".strip() for b in data["config"]["benchmarks"]]
        complete = bool(data["complete"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"report.json cannot be read ({type(error).__name__})"
        return Evaluation(name, "", (), False, there, changed, fault)
    return Evaluation(name, ", ".join(used), arms, complete, there, changed)


def _arm(line: dict[str, Any]) -> Headline:
    shares = {
        key: None if line[key] is None else float(line[key]) for key in ("accuracy", "low", "high")
    }
    counts = {key: int(line[key]) for key in ("n", "crashed")}
    return Headline(arm=str(line["arm"]), oracle=bool(line["oracle"]), **counts, **shares)


class ReadEvaluations:
    """What was read of the last few evaluations, so that the next page of one is quick."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._samples = _Kept[SampleIndex]()
        self._summaries = _Kept[Evaluation]()
        self._compared = _Kept[SideBySide]()

    def samples(self, place: Path) -> SampleIndex:
        """The samples of the evaluation in this folder; they are read when asked for."""
        return self._samples.once(place, lambda: SampleIndex(place / "samples.jsonl"))

    def summary(self, place: Path, name: str) -> Evaluation:
        """What :func:`evaluation` says."""
        there = place / "report.json"
        mark = _mark(there) if there.is_file() else None
        return self._summaries.once((place, name, mark), lambda: evaluation(place, name))

    def compared(self, first: Path, second: Path, *, anyway: bool) -> SideBySide:
        """Two evaluations side by side, as they are on the disk now.

        Raises:
            InputError: they cannot be compared.
        """
        marks = [_mark(place / name) for place in (first, second) for name in COMPARED]
        key = (first, second, anyway, *marks)
        return self._compared.once(key, lambda: side_by_side(first, second, anyway=anyway))


class _Kept(Generic[T]):
    """The last few things that were made, by key; each is made by one thread, the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, T] = OrderedDict()

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._found:
                self._found[key] = make()
                while len(self._found) > KEPT:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
            return self._found[key]


def _mark(path: Path) -> tuple[int, int, int]:
    """What changes whenever a file does.

    Raises:
        InputError: it is not there.
    """
    try:
        now = path.stat()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    return now.st_ino, now.st_size, now.st_mtime_ns

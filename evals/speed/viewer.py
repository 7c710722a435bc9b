"""The page over 20,000 runs, 50,000 entries and evaluations of 10,000 samples: how long its answers take.

Times are of whole HTTP answers from ``vitarmm ui`` in a process of its own, and beside them the processor
time that the server took for one, which other work on the machine does not lengthen as much. The limits
are absolute. "In the middle" is the page in the middle of the list.

Run: ``python -m vitarmm_agent.evals.speed.viewer [--runs N] [--entries N] [--samples N] [--data FOLDER]``; a
folder is filled once and used again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.request import HTTPCookieProcessor

from vitarmm_agent.evals.speed.viewer_data import (
    IMAGES,
    STEPS,
    USES,
    fill_evaluations,
    fill_memory,
    fill_runs,
    write_run,
)
from vitarmm_agent.settings import Settings

LIMIT = "100 ms"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--entries", type=int, default=50_000)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        settings = Settings.load(data_dir=given.data or Path(name))
        if not settings.checkpoints_path.exists():
            fill_runs(settings, given.runs)
            fill_memory(settings, given.entries)
            fill_evaluations(settings.data_dir / "evaluations", given.samples)
        server = _Server(settings.data_dir)
        try:
            _get(server.link)  # the token in it becomes a cookie
            rows = [*_runs(settings, server, given), *_memory(server, given)]
            rows += [*_evaluations(server, given)]
            rows.append(Row("memory of the server", f"{server.resident():.0f} MB"))
        finally:
            server.close()
    print(
        f"### The page over {given.runs:,} runs, {given.entries:,} entries, twice {given.samples:,} samples\n"
    )
    print("| what | measured | processor time | limit |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


class Row(NamedTuple):
    """One line of the table."""

    what: str
    measured: str
    processor: str = ""
    limit: str = ""


class _Server:
    """``vitarmm ui`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vitarmm_agent.cli", "ui", "--port", "0"],
            env={**os.environ, "VITARMM_DATA_DIR": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.link = self._process.stdout.readline().split(" at ")[1].strip()
        self.url = self.link.partition("/?")[0]
        urllib.request.install_opener(urllib.request.build_opener(HTTPCookieProcessor()))

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()

    def measured(self, what: str, path: str, repeat: int, limit: str = LIMIT) -> Row:
        """The median time of an answer, once it was given before."""
        _get(self.url + path)
        return self.row(what, repeat, lambda: _get(self.url + path), limit)

    def row(self, what: str, repeat: int, do: Callable[[], object], limit: str = LIMIT) -> Row:
        """The median time of what is done, and the mean of the server's processor time."""
        before, taken = self._processor(), []
        for _ in range(repeat):
            start = time.perf_counter()
            do()
            taken.append(time.perf_counter() - start)
        spent = (self._processor() - before) / repeat
        return Row(what, _in_words(statistics.median(taken)), _in_words(spent), limit)

    def resident(self) -> float:
        """Resident memory in MB, from Linux's /proc."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024

    def _processor(self) -> float:
        """Seconds of processor time so far, from Linux's /proc."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _runs(settings: Settings, server: _Server, given: argparse.Namespace) -> Iterator[Row]:
    middle, repeat = given.runs // 100, given.repeat
    yield server.row("runs, first page, new server", 1, lambda: _get(f"{server.url}/runs"), "")
    yield server.measured("runs, first page", "/runs", repeat)
    yield server.measured("runs, in the middle", f"/runs?page={middle}", repeat)
    yield server.measured(f"a run of {STEPS} steps with {IMAGES} images", "/runs/long", repeat)
    assert _get(f"{server.url}/runs/long").count(b"<img") == IMAGES
    reading = partial(_until_read, f"{server.url}/runs?text=then")
    yield server.row("first filter, until all runs are read, once", 1, reading, "")
    filtered = f"/runs?text=then&page={middle}"
    yield server.measured("runs, filtered, in the middle", filtered, repeat)
    yield server.measured(
        "runs, sorted by tokens, in the middle", f"/runs?sort=tokens&page={middle}", repeat
    )
    late = iter(range(int(time.time()) * 100, 2**62))

    def look() -> None:
        write_run(settings, next(late))
        _get(f"{server.url}/runs?page={middle}")

    yield server.row("runs, in the middle, while one is written (writing included)", repeat, look)


def _memory(server: _Server, given: argparse.Namespace) -> Iterator[Row]:
    middle, repeat = given.entries // 100, given.repeat
    yield server.row("memory, first page, new server", 1, lambda: _get(f"{server.url}/memory"), "")
    for what, path in (
        ("entries, first page", ""),
        ("entries, in the middle", f"?page={middle}"),
        ("entries of one type, in the middle", f"?type=fact&page={middle // 3 or 1}"),
        ("entries that are live, in the middle", f"?state=live&page={middle}"),
        ("entries that are superseded", "?state=superseded"),
        ("entries as of a date, in the middle", f"?as_of=2999-01-01&page={middle}"),
        (f"an entry with {USES} uses", "/entry/m-00000000"),
        ("review queue", "/review"),
        ("namespaces", "/namespaces"),
    ):
        yield server.measured(what, f"/memory{path}", repeat)
    asked = "/memory?q=things+are+shared+by+some"
    yield server.measured("entries, searched", asked, repeat, "")  # a text is embedded


def _evaluations(server: _Server, given: argparse.Namespace) -> Iterator[Row]:
    middle, repeat = given.samples // 100, given.repeat
    one, pair = f"{server.url}/evaluations/first", f"{server.url}/compare?a=first&b=second"
    yield server.row("an evaluation, until its samples are read, once", 1, lambda: _get(one), "")
    yield server.measured("samples, in the middle", f"/evaluations/first?page={middle}", repeat)
    wrong = f"/evaluations/first?outcome=wrong&page={middle // 4 or 1}"
    yield server.measured("samples that are wrong, in the middle", wrong, repeat)
    yield server.row("two evaluations, until they are compared, once", 1, lambda: _get(pair), "")
    yield server.measured(
        "two evaluations, second page", "/compare?a=first&b=second&page=2", repeat
    )
    yield server.measured("the list of evaluations", "/evaluations", repeat)


def _in_words(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 5 else f"{seconds * 1000:.0f} ms"


def _until_read(url: str) -> None:
    """Ask until a filtered list is complete; each answer reads on for a moment."""
    while b"have not been read yet" in _get(url):
        pass


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        data: bytes = answer.read()
        return data


if __name__ == "__main__":
    main()

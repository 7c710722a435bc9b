"""The page over 20,000 runs, 50,000 entries and evaluations of 10,000 samples: how long its answers take.

Times are of whole HTTP answers from ``vitarmm ui`` in a process of its own; the limits are absolute. "In
the middle" is the page in the middle of the list.

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
from collections.abc import Iterator
from pathlib import Path
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
        server, url = _serve(settings.data_dir)
        try:
            rows = [*_runs(settings, url, given), *_memory(url, given), *_evaluations(url, given)]
            rows.append(("memory of the server", f"{_resident(server.pid):.0f} MB", ""))
        finally:
            server.terminate()
            server.wait()
    print(
        f"### The page over {given.runs:,} runs, {given.entries:,} entries, twice {given.samples:,} samples\n"
    )
    print("| what | measured | limit |\n|---|---|---|")
    for what, measured, limit in rows:
        print(f"| {what} | {measured} | {limit} |")


Row = tuple[str, str, str]


def _runs(settings: Settings, url: str, given: argparse.Namespace) -> Iterator[Row]:
    middle = given.runs // 100
    yield "runs, first page, new server", f"{_seconds(f'{url}/runs') * 1000:.0f} ms", ""
    yield _row("runs, first page", f"{url}/runs", given)
    yield _row("runs, in the middle", f"{url}/runs?page={middle}", given)
    yield _row(f"a run of {STEPS} steps with {IMAGES} images", f"{url}/runs/long", given)
    assert _get(f"{url}/runs/long").count(b"<img") == IMAGES
    reading = _until_read(f"{url}/runs?text=then")
    yield "first filter, until all runs are read, once", f"{reading:.1f} s", ""
    yield _row("runs, filtered, in the middle", f"{url}/runs?text=then&page={middle}", given)
    yield _row(
        "runs, sorted by tokens, in the middle", f"{url}/runs?sort=tokens&page={middle}", given
    )
    late = []
    for number in range(given.repeat):
        write_run(settings, int(time.time()) * 100 + number)
        late.append(_seconds(f"{url}/runs?page={middle}"))
    yield "runs, in the middle, while runs are written", _milliseconds(late), LIMIT


def _memory(url: str, given: argparse.Namespace) -> Iterator[Row]:
    middle = given.entries // 100
    yield "memory, first page, new server", f"{_seconds(f'{url}/memory') * 1000:.0f} ms", ""
    for what, query in (
        ("first page", ""),
        ("in the middle", f"?page={middle}"),
        ("of one type, in the middle", f"?type=fact&page={middle // 3 or 1}"),
        ("live ones, in the middle", f"?state=live&page={middle}"),
        ("superseded ones", "?state=superseded"),
        ("as of a date, in the middle", f"?as_of=2999-01-01&page={middle}"),
    ):
        yield _row(f"entries, {what}", f"{url}/memory{query}", given)
    searched = _row("entries, searched", f"{url}/memory?q=things+are+shared+by+some", given)
    yield *searched[:2], ""  # a text is embedded
    yield _row(f"an entry with {USES} uses", f"{url}/memory/entry/m-00000000", given)
    yield _row("review queue", f"{url}/memory/review", given)
    yield _row("namespaces", f"{url}/memory/namespaces", given)


def _evaluations(url: str, given: argparse.Namespace) -> Iterator[Row]:
    first = _seconds(f"{url}/evaluations/first")
    yield "an evaluation, until its samples are read, once", f"{first:.1f} s", ""
    middle = given.samples // 100
    yield _row("samples, in the middle", f"{url}/evaluations/first?page={middle}", given)
    yield _row(
        "samples that are wrong, in the middle",
        f"{url}/evaluations/first?outcome=wrong&page={middle // 4 or 1}",
        given,
    )
    pair = f"{url}/compare?a=first&b=second"
    yield "two evaluations, until they are compared, once", f"{_seconds(pair):.1f} s", ""
    yield _row("two evaluations, second page", f"{pair}&page=2", given)
    yield _row("the list of evaluations", f"{url}/evaluations", given)


def _row(what: str, url: str, given: argparse.Namespace) -> Row:
    _get(url)
    return what, _milliseconds([_seconds(url) for _ in range(given.repeat)]), LIMIT


def _milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms"


def _serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "vitarmm_agent.cli", "ui", "--port", "0"],
        env={**os.environ, "VITARMM_DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    link = server.stdout.readline().split(" at ")[1].strip()
    urllib.request.install_opener(urllib.request.build_opener(HTTPCookieProcessor()))
    _get(link)  # the token in it becomes a cookie
    return server, link.partition("/?")[0]


def _until_read(url: str) -> float:
    """Seconds until a filtered list is complete; each answer reads on for a moment."""
    start = time.perf_counter()
    while b"have not been read yet" in _get(url):
        pass
    return time.perf_counter() - start


def _seconds(url: str) -> float:
    start = time.perf_counter()
    _get(url)
    return time.perf_counter() - start


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        data: bytes = answer.read()
        return data


def _resident(pid: int) -> float:
    """Resident memory of a process in MB, from Linux's /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()

"""The page over 10,000 stored runs: how long its answers take, and how much memory the server uses.

A few runs go through the graph; their checkpoints are then copied under other names and times in the
SQLite file, which the server cannot tell from runs of their own. Times are of whole HTTP answers from
``vitarmm ui`` in a process of its own; the limits are absolute.

Run: ``python -m vitarmm_agent.evals.speed.viewer [RUNS]``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.request import HTTPCookieProcessor

from langchain_core.language_models import FakeListChatModel

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.settings import Settings

STEPS, IMAGES = 30, 3
REPLY = "\n".join(f"{n}. Then {n} * 2 = {n * 2}." for n in range(1, STEPS + 1)) + "\nAnswer: 60"
COPY = """
INSERT INTO checkpoints SELECT ?1 || thread_id, checkpoint_ns,
    printf('%08x', ?2) || substr(checkpoint_id, 9),
    CASE WHEN parent_checkpoint_id IS NULL THEN NULL
    ELSE printf('%08x', ?2) || substr(parent_checkpoint_id, 9) END, type, checkpoint, metadata
FROM checkpoints WHERE thread_id = 'model-0'
"""


def main(runs: int = 10_000, repeat: int = 9) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.load(data_dir=folder)
        made = _fill(settings, runs)
        server, url = _serve(folder)
        try:
            cold = _seconds(f"{url}/runs")
            first = _median(f"{url}/runs", repeat)
            last = _median(f"{url}/runs?page={runs // 50}", repeat)
            run = _median(f"{url}/runs/long", repeat)
            assert _get(f"{url}/runs/long").count(b"<img") == IMAGES
            reading = _until_read(f"{url}/runs?text=then")
            search = _median(f"{url}/runs?text=then&status=abstained", repeat)
            memory = _resident(server.pid)
        finally:
            server.terminate()
            server.wait()
    print(f"### The page over {made:,} runs\n\n| what | measured | limit |\n|---|---|---|")
    for what, measured, limit in (
        ("list, first page, new server", f"{cold * 1000:.0f} ms", ""),
        ("list, first page", f"{first * 1000:.0f} ms", "300 ms"),
        ("list, last page", f"{last * 1000:.0f} ms", "300 ms"),
        ("list, filtered", f"{search * 1000:.0f} ms", "300 ms"),
        ("first filter, until all runs are read, once", f"{reading:.1f} s", ""),
        (f"a run of {STEPS} steps with {IMAGES} images", f"{run * 1000:.0f} ms", "500 ms"),
        ("memory of the server", f"{memory:.0f} MB", "300 MB"),
    ):
        print(f"| {what} | {measured} | {limit} |")


def _fill(settings: Settings, runs: int) -> int:
    from PIL import Image

    agent = ReasoningAgent.open(
        reasoner=FakeListChatModel(responses=[REPLY]),
        feedback="arithmetic",
        memory="off",
        settings=settings,
    )
    images = []
    for number in range(IMAGES):
        path = settings.data_dir / f"{number}.png"
        Image.effect_noise((640, 480), 60 + number).save(path)
        images.append(str(path))
    agent.solve({"text": "How many, then?", "images": images}, thread_id="long")
    agent.solve("What comes then?", thread_id="model-0")
    kept = open_checkpoints(settings.checkpoints_path)
    newest = int(
        kept.conn.execute("SELECT max(checkpoint_id) FROM checkpoints").fetchone()[0][:8], 16
    )
    with kept.conn:
        for number in range(1, runs - 1):
            kept.conn.execute(COPY, (f"copy-{number}-", newest - number))
    count = "SELECT count(DISTINCT thread_id) FROM checkpoints"
    return int(kept.conn.execute(count).fetchone()[0])


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


def _median(url: str, repeat: int) -> float:
    _get(url)
    return statistics.median(_seconds(url) for _ in range(repeat))


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
    main(*(int(argument) for argument in sys.argv[1:]))

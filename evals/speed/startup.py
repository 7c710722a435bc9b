"""Start-up: imports and help against a bare interpreter, and how long a first answer takes.

Run: ``python -m vitarmm_agent.evals.speed.startup [--against CHECKOUT] [--repeat N]``. The first answer is
measured from ``vitarmm solve`` with the default model and an empty memory, to its first line and to the
reasoner's first token; with ``--against``, in turn with another checkout.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import vitarmm_agent
from vitarmm_agent.evals.speed.measure import Row, interleaved, medians, print_table

HERE = Path(vitarmm_agent.__file__).parents[1]
PROBLEM = "What is 17 * 23?"
FIGURES = ("to the first line", "to the first token", "to the end", "processor time of all")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--repeat", type=int, default=11)
    given = parser.parse_args()
    _imports(given.repeat)
    _first_answer(given.against, given.repeat)


def _imports(repeat: int) -> None:
    commands = (
        [sys.executable, "-c", "pass"],
        [sys.executable, "-c", "import vitarmm_agent"],
        [sys.executable, "-m", "vitarmm_agent.cli", "--help"],
    )
    bare, package, helped = medians(
        interleaved(*(lambda c=c: _run(c) for c in commands), repeat=repeat)
    )
    print_table(
        "Start-up",
        [
            Row("import vitarmm_agent", package, bare, "s", "python -c pass", "adds < 0.15 s"),
            Row("vitarmm --help", helped, bare, "s", "python -c pass", "< 0.6 s"),
        ],
    )
    print(f"import adds {package - bare:.3f} s\n")


def _first_answer(against: Path | None, repeat: int) -> None:
    trees = [HERE, *([against.resolve()] if against else [])]
    taken = [[_solve(tree) for tree in trees] for _ in range(repeat + 1)][1:]  # the first warms up
    ours, *other = (medians([*zip(*series, strict=True)]) for series in zip(*taken, strict=True))
    aims = ("", "< 2 s", "", "")
    baseline, name = (other[0], "before") if other else (ours, "itself")
    rows = [
        Row(what, new, old, "s", name, aim)
        for what, new, old, aim in zip(FIGURES, ours, baseline, aims, strict=True)
    ]
    print_table(f"First answer, {repeat} times in turn, load {os.getloadavg()[0]:.1f}", rows)


def _solve(tree: Path) -> tuple[float, float, float, float]:
    """Seconds as :data:`FIGURES` names them."""
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {
            "PYTHONPATH": str(tree), "VITARMM_DATA_DIR": data, "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        before, begun = os.times(), time.perf_counter()
        command = [sys.executable, "-m", "vitarmm_agent.cli", "solve", PROBLEM]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=data
        )
        assert process.stdout is not None
        heard, line, token = b"", 0.0, 0.0
        while piece := os.read(process.stdout.fileno(), 65_536):
            heard += piece
            line = line or time.perf_counter() - begun
            if heard.partition(b"reason")[2].strip():
                token = token or time.perf_counter() - begun
        assert process.wait() == 0
        end, after = time.perf_counter() - begun, os.times()
    used = after.children_user + after.children_system
    return line, token, end, used - before.children_user - before.children_system


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()

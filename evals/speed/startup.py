"""Start-up: ``import vitarmm_agent`` and ``vitarmm --help`` against a bare interpreter.

Run: ``python -m vitarmm_agent.evals.speed.startup``.
"""

from __future__ import annotations

import subprocess
import sys

from vitarmm_agent.evals.speed.measure import Row, interleaved, medians, print_table


def main(repeat: int = 11) -> None:
    """Print the table."""
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


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()

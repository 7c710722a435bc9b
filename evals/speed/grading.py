"""Grading speed: responses per second on one core, and the slowest single response.

    python -m vitarmm_agent.evals.speed.grading --data DIR

Plain answers are compared with math-verify, the library that grades most open evaluations.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import time
from collections.abc import Callable
from pathlib import Path

from vitarmm_agent.answers import grade
from vitarmm_agent.answers.mathematics import same_mathematics
from vitarmm_agent.evals.speed.measure import Row, interleaved, medians, print_table
from vitarmm_agent.evals.verifiers import POLICY, Solution, load_solutions
from vitarmm_agent.problem import Problem

HARD = {
    "empty": "",
    "1 MB of text": "3 + 4 = 7 and so on. " * 50_000,
    "1 MB of boxes": "\\boxed{" * 150_000,
    "binary": "".join(map(chr, range(256))) * 4_000,
    "power tower": "The answer is 9**9**9**9.",
    "power tower in a box": "\\boxed{9^{9^{9^{9}}}x}",
    "deep brackets": "Answer: " + "(" * 5_000 + "1" + ")" * 5_000,
    "10,000 digits": "Answer: " + "7" * 10_000,
}


def plain_texts(solutions: list[Solution]) -> list[tuple[Problem, str]]:
    """Problems whose reference is a number, each with a response of one line."""
    return [(s.problem, f"The answer is {s.problem.reference}.") for s in solutions]


def graded(pairs: list[tuple[Problem, str]]) -> Callable[[], int]:
    """A function that grades all pairs."""
    return lambda: sum(grade(problem, text).correct for problem, text in pairs)


def verified(pairs: list[tuple[Problem, str]]) -> Callable[[], int]:
    """A function that does the same with math-verify."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    from math_verify import parse, verify  # type: ignore[import-untyped]

    def all_of_them() -> int:
        return sum(
            bool(
                verify(
                    parse(str(p.reference)), parse(text, parsing_timeout=None), timeout_seconds=None
                )
            )
            for p, text in pairs
        )

    return all_of_them


def slowest(solutions: list[Solution]) -> tuple[float, str]:
    """Seconds and name of the slowest single response, hostile ones included."""
    problem = Problem(text="?", reference="7")
    cases = [(s.id, s.problem, s.text, POLICY[s.dataset]) for s in solutions]
    cases += [(f"{s.id}, strict", s.problem, s.text, "strict") for s in solutions]
    cases += [(name, problem, text, "strict") for name, text in HARD.items()]
    worst = (0.0, "")
    for name, asked, text, policy in cases:
        start = time.perf_counter()
        grade(asked, text, policy=policy)
        worst = max(worst, (time.perf_counter() - start, name))
    return worst


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled data")
    data: Path = parser.parse_args().data
    gsm8k = load_solutions(data, "gsm8k")
    everything = [*gsm8k, *load_solutions(data, "mathv"), *load_solutions(data, "mathvista")]
    plain = list(itertools.islice(plain_texts(gsm8k), 1_200))
    whole = [(s.problem, s.text) for s in gsm8k]
    few = plain[:100]
    ours, theirs = medians(interleaved(graded(few), verified(few), repeat=5))
    (lines,) = medians(interleaved(graded(plain), repeat=5))
    (solutions,) = medians(interleaved(graded(whole), repeat=5))
    start = time.perf_counter()
    same_mathematics("x+y", "y+x")
    first = time.perf_counter() - start
    seconds, name = slowest(everything)
    print_table(
        "Grading, one core",
        [
            Row("one-line answers", len(few) / ours, len(few) / theirs, "/s", "math-verify"),
            Row("one-line answers", len(plain) / lines, 5_000, "/s", "aim", "≥ 5,000/s"),
            Row("whole solutions", len(whole) / solutions, 5_000, "/s", "aim", "≥ 5,000/s"),
            Row("first expression (starts the worker)", first, 1.0, "s", "aim", "< 1 s"),
            Row(f"slowest single response ({name})", seconds, 1.0, "s", "aim", "< 1 s"),
        ],
    )


if __name__ == "__main__":
    main()

"""Which condition is found by siblings, and by nothing else?

``python -m vitarmm_agent.evals.studies.conditions --path gsm8k_train.jsonl``

The rule's entry of each row's own solution, with three conditions: the rule's key words; the problem without
names and numbers (that of worked examples); the problem as it stands. Each is in a memory of its own with all
others of its form, and each sibling is asked for as :mod:`~vitarmm_agent.evals.writers.sibling_recall` does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

from vitarmm_agent.effects import run
from vitarmm_agent.evals.datasets import load_benchmark
from vitarmm_agent.evals.datasets.groups import group_of, own_solution
from vitarmm_agent.evals.datasets.records import Benchmark
from vitarmm_agent.evals.statistics import clustered_share
from vitarmm_agent.evals.writers.cases import Case
from vitarmm_agent.evals.writers.measuring import WriterSample, WrittenText
from vitarmm_agent.evals.writers.sibling_recall import SiblingRecall, sibling_recalls
from vitarmm_agent.evals.writers.trials import Probe
from vitarmm_agent.memory_store.embedding import load_embeddings
from vitarmm_agent.memory_store.masking import general
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.problem import Feedback, Problem
from vitarmm_agent.rmm.rule import RuleWriter
from vitarmm_agent.settings import Settings
from vitarmm_agent.verifiers.solution import solution_of

FORMS: dict[str, Callable[[MemoryEntry, Problem], str]] = {
    "key words": lambda entry, problem: entry.applies_when,
    "without names and numbers": lambda entry, problem: general(problem.text),
    "the problem itself": lambda entry, problem: problem.text,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", required=True, help="rows of GSM8K")
    parser.add_argument("--groups", type=int, default=150)
    parser.add_argument("--each", type=int, default=3, help="problems of a group")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = Settings.load()
    benchmark = load_benchmark(
        "siblings",
        options.path,
        sample_size=options.groups,
        siblings=options.each,
        seed=options.seed,
    )
    cases = cases_of(benchmark)
    embeddings = load_embeddings(settings.embedder, settings)
    for form in FORMS:
        samples = list(written(form, cases))
        found = sibling_recalls(samples, cases, embeddings, settings.embedder)
        sys.stdout.write(f"{form}: {line(found)}\n")


def cases_of(benchmark: Benchmark) -> list[Case]:
    """The first problem of each group with its own solution, passed, and its siblings."""
    passed = (Feedback(verdict="pass", source="reference"),)
    return [
        Case(
            problem=problem,
            attempts=(solution_of(problem.without_reference(), own_solution(problem)),),
            feedback=passed,
            siblings=tuple(
                Probe(problem=p) for p in benchmark.problems if group_of(p) == group_of(problem)
            ),
        )
        for problem in benchmark.taught
    ]


def written(form: str, cases: Sequence[Case]) -> Iterator[WriterSample]:
    """The rule's entries, with conditions of one form."""
    for case in cases:
        decision = run(case.decision_of(RuleWriter(), "rule"))
        entries = [one.entry for one in decision.operations if one.entry is not None]
        texts = tuple(
            WrittenText(
                title=entry.title,
                applies_when=FORMS[form](entry, case.problem),
                content=entry.content,
                words=0,
                leak=None,
            )
            for entry in entries
        )
        yield WriterSample(writer=form, case=case.key, situation=case.situation, entries=texts)


def line(found: Sequence[SiblingRecall]) -> str:
    """How many siblings recalled their entry first, and how many another's."""
    first = clustered_share([one.first for one in found], [one.covered for one in found])
    false = clustered_share([one.false for one in found], [one.asked for one in found])
    covered, asked = sum(one.covered for one in found), sum(one.asked for one in found)
    return f"recalled first {first} of {covered}, another's {false} of {asked}"


if __name__ == "__main__":
    main()

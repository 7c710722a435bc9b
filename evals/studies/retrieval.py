"""Does recall find the right lesson? ``python -m vitarmm_agent.evals.studies.retrieval --data DIR``.

A memory of lessons, one for each template of GSM8K training problems, is asked with (a) the same
problems told again with other names, numbers and objects, (b) other problems of the same template,
(c) word problems whose template is not in the memory, and (d) MMLU questions of subjects that have
nothing to do with word problems; for (d) nothing should be recalled, and for (c) nothing is right,
though a lesson on a similar problem may help. Three arms: similarity alone, fused with BM25, and fused with the floor.

A template is a set of problems whose worked solutions apply the same operations in the same order
and whose texts, numbers left out, agree in at least 65 % of their words (rapidfuzz
``token_sort_ratio``). The floor's quality is measured on MMLU test questions; it was set on MMLU
dev questions, which ``--calibrate`` shows.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from vitarmm_agent.answers.equation_tokens import calculator_notes
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.reading import unpacked
from vitarmm_agent.evals.statistics import Interval, bootstrap, wilson
from vitarmm_agent.evals.studies.rewriting import rewrite
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.embedding import embedding_dims, load_embeddings
from vitarmm_agent.memory_store.masking import general, masked
from vitarmm_agent.memory_store.ranking import RecallConfig, floor_for
from vitarmm_agent.memory_store.schema import Provenance
from vitarmm_agent.memory_store.store.embedded_once import EmbeddedOnce
from vitarmm_agent.settings import Settings

MATHS = frozenset(
    "abstract_algebra college_mathematics elementary_mathematics high_school_mathematics "
    "high_school_statistics econometrics".split()
)
SAME_TEMPLATE = 65.0
WORDS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
DEPTH = 10
OTHERS = 300
MOST = 100_000
"""Texts whose vectors are kept for all arms."""


@dataclass(frozen=True)
class Query:
    """A problem to recall for, and the entry that should come; None when none should."""

    text: str
    wanted: str | None


@dataclass(frozen=True)
class ArmMeasured:
    """What one arm made of one kind of query."""

    arm: str
    kind: str
    n: int
    recall_at_3: Interval | None
    mrr: Interval | None
    false_recall: Interval | None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the benchmark files")
    parser.add_argument("--entries", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--embedder", default=None)
    parser.add_argument("--calibrate", action="store_true", help="show similarities on MMLU dev")
    arguments = parser.parse_args()
    settings = Settings.load(embedder=arguments.embedder)
    embed = EmbeddedOnce(load_embeddings(settings.embedder, settings), most=MOST)
    dims = embedding_dims(embed)
    floor = floor_for(settings.embedder)
    families = templates(problems(arguments.data / "gsm8k_train.jsonl.gz"))
    entries, queries = study(families, arguments.entries, arguments.seed)
    split = "mmlu_dev" if arguments.calibrate else "mmlu_test"
    queries["unrelated"] = unrelated(arguments.data / f"{split}.jsonl.gz")
    with tempfile.TemporaryDirectory() as folder:
        memory = filled(Path(folder), embed, dims, entries)
        lines = (
            calibrate(memory, queries)
            if arguments.calibrate
            else table(compare(memory, queries, floor))
        )
        heading = (
            f"{len(entries)} entries, embedder {settings.embedder}, floor {floor}, "
            f"seed {arguments.seed}"
        )
        for line in (heading, "", *lines):
            sys.stdout.write(f"{line}\n")
        memory.close()


def problems(path: Path) -> list[dict[str, Any]]:
    """Rows of a gzip-compressed JSON Lines file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = unpacked(path, path.read_bytes()).splitlines()
        return [parse_json(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}; check --data") from None


def operations(answer: str) -> tuple[str, ...]:
    """Operators of a worked solution's calculations, in order."""
    return tuple(
        re.sub(r"[^-+*/]", "", calculation.split("=")[0])
        for calculation in calculator_notes(answer)
    )


def templates(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Problems grouped by template, those with several members first."""
    from rapidfuzz import fuzz, process

    by_operations: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_operations[operations(row["answer"])].append(row)
    families = []
    for group in by_operations.values():
        texts = [masked(row["question"], "0").lower() for row in group]
        alike = process.cdist(texts, texts, scorer=fuzz.token_sort_ratio)
        left = set(range(len(group)))
        while left:
            family = _reach(min(left), left, alike)
            families.append([group[i] for i in sorted(family)])
            left -= family
    return sorted(families, key=lambda family: (-len(family), family[0]["id"]))


def _reach(start: int, among: set[int], alike: Any) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        current = waiting.pop()
        near = {i for i in among - found if alike[current][i] >= SAME_TEMPLATE}
        found |= near
        waiting += sorted(near)
    return found


def study(
    families: Sequence[list[dict[str, Any]]], count: int, seed: int
) -> tuple[list[MemoryEntry], dict[str, list[Query]]]:
    """One entry for each of ``count`` templates, and the queries that should find them."""
    several = [family for family in families if len(family) > 1]
    single = [family for family in families if len(family) == 1]
    random.Random(seed).shuffle(single)
    chosen = [*several, *single][:count]
    entries, queries = [], defaultdict(list)
    for number, family in enumerate(chosen):
        first, *others = family
        one = lesson(first)
        entries.append(one)
        told_again = rewrite(first["question"], seed * 100_000 + number)
        queries["told again"].append(Query(told_again, one.id))
        queries["same template"] += [Query(other["question"], one.id) for other in others]
    rest = single[max(count - len(several), 0) :][:OTHERS]
    queries["other word problems"] = [Query(family[0]["question"], None) for family in rest]
    return entries, dict(queries)


def lesson(problem: dict[str, Any]) -> MemoryEntry:
    """What a memory would keep of a problem: when it applies, and the steps, without its numbers."""
    sentences = re.split(r"(?<=[.?!])\s+", general(problem["question"]).strip())
    steps = [
        " and ".join(WORDS[sign] for sign in signs)
        for signs in operations(problem["answer"])
        if signs
    ]
    return MemoryEntry(
        id=problem["id"],
        entry_type="insight",
        title=sentences[-1][:120],
        applies_when=" ".join(sentences)[:600],
        content=f"Work in this order: {', then '.join(steps) or 'read off the answer'}.",
        provenance=Provenance(problem_id=problem["id"]),
    )


def unrelated(path: Path) -> list[Query]:
    """MMLU questions for which no lesson on word problems should be recalled."""
    return [Query(row["question"], None) for row in problems(path) if row["subject"] not in MATHS]


def filled(
    folder: Path, embed: Embeddings, dims: int, entries: Sequence[MemoryEntry]
) -> ReasoningMemory:
    """A memory that holds ``entries`` as they are."""
    store = ChromaStore(folder, index={"embed": embed, "dims": dims, "fields": ["index_text"]})
    memory = ReasoningMemory(store, ("study",))
    memory.change({entry.id: entry for entry in entries}, kind="add", reason="study")
    store.flush()
    return memory


def compare(
    memory: ReasoningMemory, queries: dict[str, list[Query]], floor: float
) -> Iterator[ArmMeasured]:
    """Every arm on every kind of query."""
    arms = {
        "similarity": RecallConfig(
            floor=-1.0, linked=0, lexical=0.0, confidence=0.0, usefulness=0.0, redundancy=0.0
        ),
        "fused": RecallConfig(floor=-1.0, linked=0),
        "fused + floor": RecallConfig(floor=floor, linked=0),
    }
    for arm, config in arms.items():
        memory.config = config
        for kind, some in queries.items():
            yield measured(arm, kind, memory, some)


def measured(arm: str, kind: str, memory: ReasoningMemory, queries: Sequence[Query]) -> ArmMeasured:
    """Recall at 3 and mean reciprocal rank; for queries that want nothing, the false recalls."""
    ranks = []
    for query in queries:
        found = memory.recall(query.text, k=DEPTH).entries
        ids = [recalled.entry.id for recalled in found]
        ranks.append(
            len(ids) if query.wanted is None
            else ids.index(query.wanted) + 1 if query.wanted in ids else 0
        )  # fmt: skip
    n = len(ranks)
    hits = sum(0 < rank <= 3 for rank in ranks)
    if all(query.wanted is None for query in queries):
        return ArmMeasured(arm, kind, n, None, None, wilson(sum(rank > 0 for rank in ranks), n))
    reciprocal = [1 / rank if rank else 0.0 for rank in ranks]
    mean = bootstrap(reciprocal, lambda values: sum(values) / len(values))
    return ArmMeasured(arm, kind, n, wilson(hits, n), mean, None)


def calibrate(memory: ReasoningMemory, queries: dict[str, list[Query]]) -> Iterator[str]:
    """Quantiles of the best similarity by kind of query, as a table: where a floor can lie."""
    memory.config = RecallConfig(floor=-1.0, lexical=0.0, linked=0)
    shares = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    yield f"| best similarity | n | {' | '.join(f'{share:.0%}' for share in shares)} |"
    yield "|---" * (len(shares) + 2) + "|"
    for kind, some in queries.items():
        best = sorted(memory.recall(q.text, k=1).entries[0].similarity for q in some)
        cells = [f"{best[int(share * (len(best) - 1))]:.3f}" for share in shares]
        yield f"| {kind} | {len(some)} | {' | '.join(cells)} |"


def table(outcomes: Iterable[ArmMeasured]) -> Iterator[str]:
    """Outcomes as lines of a Markdown table; intervals are of 95 %."""
    yield "| arm | queries | n | recall@3 | MRR@10 | false recall |"
    yield "|---|---|---|---|---|---|"
    for one in outcomes:
        cells = [str(cell or "") for cell in (one.recall_at_3, one.mrr, one.false_recall)]
        yield f"| {one.arm} | {one.kind} | {one.n} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

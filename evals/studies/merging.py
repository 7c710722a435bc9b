"""Which lessons become one? ``python -m vitarmm_agent.evals.studies.merging``.

Pairs of lessons (``merging.jsonl``) are written into an empty memory one after the other. Half of the
pairs say the same in another way and should become one entry; half differ in what decides (a word, a
negation, a number, a unit, a sign, an order) and should stay two. Set 1 was there while the rule was
made; sets 2 and 3 were written before they were tried.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langgraph.store.memory import InMemoryStore

from vitarmm_agent.evals.statistics import Interval, wilson
from vitarmm_agent.memory_store import MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.embedding import embedding_dims, load_embeddings
from vitarmm_agent.memory_store.operations import Operation, WrittenKind
from vitarmm_agent.memory_store.store.embedded_once import EmbeddedOnce
from vitarmm_agent.settings import Settings

PAIRS = Path(__file__).with_name("merging.jsonl")


@dataclass(frozen=True)
class Pair:
    """Two lessons of one condition.

    Attributes:
        set: 1, 2 or 3; see above.
        language: its ISO code.
        same: whether they say the same.
        how: in what they differ.
        applies_when: the condition of both.
        one: the content that is written first.
        other: the content that is written second.
    """

    set: int
    language: str
    same: bool
    how: str
    applies_when: str
    one: str
    other: str


@dataclass(frozen=True)
class Counted:
    """What became of some pairs.

    Attributes:
        different: pairs that differ in what decides.
        merged: how many of these became one entry: wrongly.
        superseded: how many of these are two entries, of which the first is recalled no more.
        paraphrases: pairs that say the same.
        kept: how many of these did not become one: needlessly.
    """

    different: int
    merged: int
    superseded: int
    paraphrases: int
    kept: int

    @property
    def wrongly(self) -> Interval:
        """Share of the different pairs that were merged."""
        return wilson(self.merged, self.different)

    @property
    def needlessly(self) -> Interval:
        """Share of the paraphrases that were kept apart."""
        return wilson(self.kept, self.paraphrases)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", default=None, help="default: that of the settings")
    parser.add_argument("--show", action="store_true", help="print the pairs decided wrongly")
    options = parser.parse_args()
    settings = Settings.load()
    embed = load_embeddings(options.embedder or settings.embedder, settings)
    decided = list(zip(pairs(), written(pairs(), embed), strict=True))
    lines = [*table("set", decided, lambda pair: f"set {pair.set}"), ""]
    lines += [*table("language", decided, lambda pair: pair.language), ""]
    lines += table("what differs", decided, lambda pair: pair.how)
    if options.show:
        wrong = [(pair, kind) for pair, kind in decided if joined(kind) != pair.same]
        lines += ["", *(f"{kind}: {pair.one} | {pair.other}" for pair, kind in wrong)]
    sys.stdout.write("\n".join(lines) + "\n")


def pairs() -> list[Pair]:
    """All pairs of the file."""
    return [Pair(**json.loads(line)) for line in PAIRS.read_text("utf-8").splitlines()]


def written(some: Sequence[Pair], embed: Embeddings) -> Iterator[WrittenKind]:
    """What became of the second lesson of each pair, written after the first."""
    embed = EmbeddedOnce(embed)
    entries = [(_entry(pair, pair.one), _entry(pair, pair.other)) for pair in some]
    embed.embed_documents([t for two in entries for e in two for t in (e.index_text, e.content)])
    index = {"embed": embed, "dims": embedding_dims(embed), "fields": ["index_text"]}
    for number, both in enumerate(entries):
        memory = ReasoningMemory(InMemoryStore(index=index), ("pair", str(number)))  # type: ignore[arg-type]
        for attempt, entry in enumerate(both, start=1):
            operation = Operation(kind="add", entry=entry)
            (last,) = memory.write([operation], run="study", attempt=attempt)
        yield last.kind


def _entry(pair: Pair, content: str) -> MemoryEntry:
    return MemoryEntry(entry_type="insight", applies_when=pair.applies_when, content=content)


def joined(kind: WrittenKind) -> bool:
    """Whether one entry is left of two."""
    return kind in ("merged", "skipped")


def count(decided: Sequence[tuple[Pair, WrittenKind]]) -> Counted:
    """What became of pairs."""
    different = [kind for pair, kind in decided if not pair.same]
    same = [kind for pair, kind in decided if pair.same]
    return Counted(
        different=len(different),
        merged=sum(map(joined, different)),
        superseded=different.count("superseded"),
        paraphrases=len(same),
        kept=len(same) - sum(map(joined, same)),
    )


def table(
    title: str, decided: Sequence[tuple[Pair, WrittenKind]], group: Callable[[Pair], str]
) -> Iterator[str]:
    """Counts by group and in all, as lines of a Markdown table; intervals are Wilson's, of 95 %."""
    groups = defaultdict[str, list[tuple[Pair, WrittenKind]]](list)
    for pair, kind in decided:
        groups[group(pair)].append((pair, kind))
    yield f"| {title} | different | merged wrongly | superseded | paraphrases | kept needlessly |"
    yield "|---|---|---|---|---|---|"
    for name, some in (*groups.items(), ("all", list(decided))):
        found = count(some)
        wrongly = f"{found.merged}: {found.wrongly}" if found.different else ""
        needlessly = f"{found.kept}: {found.needlessly}" if found.paraphrases else ""
        yield (
            f"| {name} | {found.different} | {wrongly} | {found.superseded} "
            f"| {found.paraphrases} | {needlessly} |"
        )


if __name__ == "__main__":
    main()

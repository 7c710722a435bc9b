"""Whether what a writer wrote is found by siblings of its problem, and by nothing else.

All entries of a writer lie in one memory, which recalls as any memory does, with its floor. Each sibling is
asked for twice: with all entries, and without those of its own problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitarmm_agent.data import Data
from vitarmm_agent.evals.writers.cases import Case
from vitarmm_agent.evals.writers.measuring import WriterSample
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


class SiblingRecall(Data):
    """What the siblings of one situation recalled of one writer's entries.

    Attributes:
        asked: siblings asked for.
        covered: of those, with an entry of their kind in memory; 0 or all.
        first: of those, to which it was recalled before any other.
        false: siblings that recalled something where no entry of their kind was left.
    """

    case: str
    asked: int
    covered: int
    first: int
    false: int


def sibling_recalls(
    samples: Sequence[WriterSample], cases: Sequence[Case], embeddings: Embeddings, embedder: str
) -> list[SiblingRecall]:
    """Ask one writer's memory for the siblings of each situation that it decided on.

    Args:
        samples: of one writer.
        cases: the situations, with their siblings.
        embeddings: of the memory.
        embedder: their spec, which decides the floor.
    """
    known = {case.key: case for case in cases}
    decided = [(known[one.case], one) for one in samples if one.crash is None and one.case in known]
    memory = _memory_with(decided, embeddings, embedder)
    return [_asked(memory, case, bool(sample.entries)) for case, sample in decided if case.siblings]


def _memory_with(
    decided: Sequence[tuple[Case, WriterSample]], embeddings: Embeddings, embedder: str
) -> ReasoningMemory:
    from langgraph.store.memory import InMemoryStore

    dims = len(embeddings.embed_query("a problem"))
    store = InMemoryStore(index={"embed": embeddings, "dims": dims, "fields": ["index_text"]})
    memory = ReasoningMemory(store, config=RecallConfig.for_embedder(embedder))
    for case, sample in decided:
        origin = Provenance(run=case.key, problem_id=case.problem.id, attempt=1)
        entries = (
            MemoryEntry(
                entry_type=one.entry_type,
                title=one.title,
                applies_when=one.applies_when,
                content=one.content,
                example=one.example,
                provenance=origin,
            )
            for one in sample.entries
        )
        added = [Operation(kind="add", entry=entry) for entry in entries]
        memory.write(added, run=case.key, attempt=1, problem_id=case.problem.id)
    return memory


def _asked(memory: ReasoningMemory, case: Case, covered: bool) -> SiblingRecall:
    own, first, false = case.problem.id, 0, 0
    for probe in case.siblings:
        found = memory.recall(probe.problem.text).entries
        first += covered and bool(found) and found[0].entry.provenance.problem_id == own
        false += bool(memory.recall(probe.problem.text, exclude_problems=[own]).entries)
    asked = len(case.siblings)
    return SiblingRecall(
        case=case.key, asked=asked, covered=asked if covered else 0, first=first, false=false
    )

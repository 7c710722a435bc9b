"""How ``vitarmm memory`` shows entries, recalls and history."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from vitarmm_agent import clip
from vitarmm_agent.cli.console import safe

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.journal import JournalEvent
    from vitarmm_agent.memory_store.operations import Recall
    from vitarmm_agent.memory_store.schema import Example, MemoryEntry

WIDTH = 70
_OWN = re.compile(r"m-[0-9a-f]{16}")


def entry_table(entries: Sequence[MemoryEntry], *, wide: bool) -> Table:
    """Entries, one a row; where it is narrow, without confidence and time."""
    text = Column("entry", no_wrap=True, ratio=1)
    more = ("conf", "changed") if wide else ()
    table = Table("id", "type", "state", "used", "helped", *more, text, box=None, expand=True)
    for entry in entries:
        figures = (f"{entry.confidence:.2f}", f"{entry.updated_at:%Y-%m-%d %H:%M}")[: len(more)]
        shown = f"{entry.title}: {entry.content}" if entry.title else entry.content
        table.add_row(
            safe(short_id(entry.id)),
            entry.entry_type,
            entry.state_at(),
            str(entry.used),
            str(entry.helpful),
            *figures,
            safe(" ".join(shown.split())),
        )
    return table


def entry_details(entry: MemoryEntry) -> Table:
    """Everything about one entry."""
    table = Table(show_header=False, box=None)
    origin = entry.provenance
    rows = {
        "id": entry.id,
        "type": entry.entry_type,
        "state": entry.state_at(),
        "title": entry.title,
        "applies when": entry.applies_when,
        "content": entry.content,
        "example": _worked(entry.example),
        "confidence": f"{entry.confidence:.2f}",
        "counts": f"used {entry.used}, helpful {entry.helpful}, harmful {entry.harmful}",
        "learned on": f"{origin.problem_id or 'no problem'}, attempt {origin.attempt} of "
        f"{origin.run or 'no run'}",
        "checked by": origin.verifier,
        "written by": origin.writer,
        "linked to": ", ".join(entry.related_to),
        "superseded by": entry.superseded_by or "",
        "metadata": str(entry.metadata or ""),
        "expires": f"{entry.expires_at:%Y-%m-%d %H:%M:%S}" if entry.expires_at else "",
        "made": f"{entry.created_at:%Y-%m-%d %H:%M:%S}",
        "changed": f"{entry.updated_at:%Y-%m-%d %H:%M:%S}",
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, safe(value))
    return table


def _worked(example: Example | None) -> str:
    if example is None:
        return ""
    images = [f"[image {sha256[:12]}]" for sha256 in example.images]
    return "\n".join([*images, example.problem, example.solution])


def recall_table(recall: Recall) -> Table:
    """Recalled entries and why."""
    table = Table(_id_column(), "score", "similarity", "entry", "why", box=None)
    for found in recall.entries:
        table.add_row(
            safe(short_id(found.entry.id)),
            f"{found.score:.3f}",
            f"{found.similarity:.2f}",
            safe(_short(str(found.entry))),
            safe(f"shown as an example; {found.reason}" if found.as_example else found.reason),
        )
    return table


def review_table(entries: Sequence[MemoryEntry]) -> Table:
    """Entries that wait for review, and why."""
    table = Table(_id_column(), "entry", "why", box=None)
    for entry in entries:
        why = str(entry.metadata.get("quarantined", "put aside"))
        table.add_row(safe(short_id(entry.id)), safe(_short(str(entry))), safe(why))
    return table


def event_table(events: Sequence[JournalEvent], *, wide: bool) -> Table:
    """Changes, one a row; the run is whole, since it is what can be undone."""
    run = Column("run", overflow="fold", min_width=22)
    more = ("attempt",) if wide else ()
    table = Table("time (UTC)", "change", "entry", run, *more, "reason", box=None)
    for event in events:
        table.add_row(
            f"{event.time:%Y-%m-%d %H:%M}",
            event.kind,
            safe(short_id(event.entry_id)),
            safe(event.run),
            *[str(event.attempt or "")][: len(more)],
            safe(_short(event.reason)),
        )
    return table


def event_data(event: JournalEvent) -> dict[str, Any]:
    """One change as JSON data."""
    return {
        "seq": event.seq,
        "time": event.time.isoformat(),
        "kind": event.kind,
        "entry_id": event.entry_id,
        "run": event.run,
        "attempt": event.attempt,
        "reason": event.reason,
        "before": event.before.model_dump(mode="json") if event.before else None,
        "after": event.after.model_dump(mode="json") if event.after else None,
    }


def statistics(entries: Sequence[MemoryEntry]) -> dict[str, Any]:
    """Counts over all entries."""
    live = [entry for entry in entries if entry.state_at() == "live"]
    return {
        "entries": len(entries),
        "by_state": dict(Counter(entry.state_at() for entry in entries)),
        "by_type": dict(Counter(entry.entry_type for entry in live)),
        "used": sum(entry.used for entry in entries),
        "helpful": sum(entry.helpful for entry in entries),
        "harmful": sum(entry.harmful for entry in entries),
        "never_used": sum(entry.used == 0 for entry in live),
        "problems": len({e.provenance.problem_id for e in entries if e.provenance.problem_id}),
        "mean_confidence": round(sum(e.confidence for e in live) / len(live), 3) if live else None,
    }


def statistics_table(counts: Mapping[str, Any]) -> Table:
    """Counts as rows."""
    from vitarmm_agent.memory_store.namespaces import written_namespace

    table = Table(show_header=False, box=None)
    for name, value in counts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{count} {what}" for what, count in value.items()) or "none"
        if isinstance(value, list):
            value = written_namespace(value)
        table.add_row(name.replace("_", " "), safe("" if value is None else value))
    return table


def namespace_table(counts: Mapping[tuple[str, ...], int]) -> Table:
    """Memories and their size."""
    from vitarmm_agent.memory_store.namespaces import written_namespace

    table = Table("namespace", "entries")
    for name, count in counts.items():
        table.add_row(safe(written_namespace(name)), str(count))
    return table


def one_line(entry: MemoryEntry) -> str:
    """An entry in one line, for questions."""
    return f"{entry.id}  {_short(str(entry), 120)}"


def short_id(entry_id: str) -> str:
    """The beginning of an id that was made here, by which commands know it; another's as it is."""
    return entry_id[:10] if _OWN.fullmatch(entry_id) else entry_id


def _id_column() -> Column:
    return Column("id", no_wrap=True, min_width=10)


def _short(text: str, width: int = WIDTH) -> str:
    return clip.one_line(text, width)

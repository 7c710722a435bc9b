"""``vitarmm memory check``: whether what was learned is as it was written."""

from __future__ import annotations

from typing import Any

import typer

from vitarmm_agent.cli.console import counted, err, out, print_json, safe
from vitarmm_agent.cli.memory_options import memory_settings
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings
from vitarmm_agent.cli.shared import Json

SHOWN = 5
WORDS = {
    "missing": "in the journal, but not here",
    "unknown": "not as the journal knows them",
    "outdated": "as they once were",
}


@takes_settings("memory", "database")
def check(given: Given = NOTHING, as_json: Json = False) -> None:
    """Check that entries and journal agree, and that nothing is damaged.

    Each row is compared with its sum, each file with its own structure, and the entries of all memories
    with the journal. (In a database, its server takes care of rows and files.) Entries of other machines on a
    server without a common database are not wrong. Nothing is changed. Exit code 2: something is wrong.
    """
    from vitarmm_agent.memory_store.agreement import REMEDY, compare
    from vitarmm_agent.memory_store.identity import is_url
    from vitarmm_agent.memory_store.namespaces import written_namespace
    from vitarmm_agent.memory_store.open import open_to_look
    from vitarmm_agent.memory_store.store.chroma_store import ChromaStore

    settings = memory_settings(**given)
    found, remote = open_to_look(settings), is_url(settings.memory_location)
    try:
        if isinstance(found.store, ChromaStore) and found.store.file is not None:
            found.store.file.check()
        known = found.journal.namespaces() if found.journal else []
        if found.journal:
            found.journal.check()
        sizes = found.namespaces()
        names = sorted({*known, *sizes})
        compared = {name: compare(found, name) for name in names}
        alone = remote and not (found.journal and found.journal.joined_later)
        if alone:  # the last batch may be another machine's
            compared = {name: wrong._replace(order="") for name, wrong in compared.items()}
    finally:
        found.close()
    if as_json:
        rows = [
            {"namespace": n, "entries": sizes.get(n, 0)} | d._asdict() for n, d in compared.items()
        ]
        print_json(rows)
    else:
        for name, wrong in compared.items():
            size = counted(sizes.get(name, 0), "entry", "entries")
            out.print(safe(f"{written_namespace(name)}: {size}, {_words(wrong)}"))
        out.print("no memories" if not compared else "")
    unlike = [name for name, d in compared.items() if any(d._replace(unknown=()) if alone else d)]
    if unlike:
        new = [written_namespace(name) for name in unlike if remote and name not in known]
        each = f" --namespace NAME, for each of {', '.join(new)}" if new else ""
        err.print(safe(f"journal and entries do not tell the same; {REMEDY}{each}"))
        raise typer.Exit(2)


def _words(wrong: Any) -> str:
    found = [wrong.order] if wrong.order else []
    for what, words in WORDS.items():
        if ids := getattr(wrong, what):
            more = ", …" if len(ids) > SHOWN else ""
            found.append(f"{len(ids)} {words} ({', '.join(ids[:SHOWN])}{more})")
    return "; ".join(found) or "as the journal says"

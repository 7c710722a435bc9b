from __future__ import annotations

from typing import Any

import pytest

from vitarmm_agent.errors import OutputError
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.rmm.schema import output_schema, parse_output

RELATED = (
    MemoryEntry(id="m-a", entry_type="fact", content="A square has four equal sides."),
    MemoryEntry(id="m-b", entry_type="insight", content="Draw a picture."),
)
SOURCE = Provenance(run="t", problem_id="p", attempt=1, verifier="judge", writer="model")


def written(**fields: Any) -> dict[str, Any]:
    entry = {"title": "Area", "applies_when": "squares", "content": "Square the side."}
    return {
        "operations": [{"kind": "add", "entry_type": "fact", "confidence": 0.9} | entry | fields]
    }


def test_an_added_entry_keeps_its_provenance() -> None:
    (operation,) = parse_output(written(related_to=[2, 1]), RELATED, SOURCE)
    assert operation.kind == "add" and operation.target is None
    assert operation.entry is not None
    assert operation.entry.provenance == SOURCE
    assert operation.entry.related_to == ("m-b", "m-a")


@pytest.mark.parametrize(
    "notes",
    [
        " (applies when a side is known)",
        " (applies when a side is known; from problem 7, checked by reference)",
        " (applies when a side is known) (applies when a side is kn",
        " (from Ann)",
    ],
)
def test_notes_behind_a_shown_entry_are_no_content(notes: str) -> None:
    (operation,) = parse_output(written(content=f"Square it (twice).{notes}"), RELATED, SOURCE)
    assert operation.entry is not None
    assert operation.entry.content == "Square it (twice)."


def test_shown_numbers_become_ids() -> None:
    (operation,) = parse_output(written(kind="supersede", target=2), RELATED, SOURCE)
    assert (operation.kind, operation.target) == ("supersede", "m-b")


def test_none_means_nothing() -> None:
    assert parse_output({"operations": [{"kind": "none"}]}, RELATED, SOURCE) == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (written(kind="update"), "no target"),
        (written(kind="update", target=3), "3 was not shown"),
        (written(related_to=[0]), "0 was not shown"),
        (written(content="  "), "empty content"),
        (written(confidence=1.5), "confidence"),
        (written(entry_type="rumour"), "entry_type"),
        (written(content="a\0b"), "NUL"),
        ({"operations": [{"kind": "none"}] * 4}, "operations"),
        ({}, "operations"),
        ("text", "answer"),
        (None, "answer"),
    ],
)
def test_an_answer_of_the_wrong_form_is_refused(data: Any, says: str) -> None:
    with pytest.raises(OutputError, match=says):
        parse_output(data, RELATED, SOURCE)


def test_the_schema_offers_targets_only_when_entries_were_shown() -> None:
    alone = output_schema(0)["properties"]["operations"]["items"]
    assert alone["properties"]["kind"]["enum"] == ["add", "none"]
    assert "target" not in alone["properties"]
    shown = output_schema(2)["properties"]["operations"]["items"]
    assert shown["properties"]["related_to"]["items"]["enum"] == [1, 2]

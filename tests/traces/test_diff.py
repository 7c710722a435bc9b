from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vitarmm_agent.traces import word_diff


def test_words_that_changed_are_told_apart_from_those_that_stayed() -> None:
    changes = word_diff("The side is 6 cm, not more.", "The side is 5.5 cm, not more.")
    assert [tuple(change) for change in changes] == [
        ("same", "The side is "),
        ("removed", "6"),
        ("added", "5.5"),
        ("same", " cm, not more."),
    ]


@given(st.text(max_size=60), st.text(max_size=60))
def test_both_texts_can_be_put_together_again(before: str, after: str) -> None:
    changes = word_diff(before, after)
    assert "".join(c.text for c in changes if c.kind != "removed") == after
    kept = "".join(c.text for c in changes if c.kind != "added")
    assert kept.split() == before.split()

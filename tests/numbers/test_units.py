from __future__ import annotations

import pytest

from vitarmm_agent.numbers.units import dimension_of, unit_name


@pytest.mark.parametrize(
    "spellings",
    ["m metre meters Metres", "ft foot feet", "in inch inches", "kg kilogram kilograms", "h hr hours",
     "min minute minutes", "$ dollar dollars USD", "° degree degrees", "lb pounds lbs"],
)  # fmt: skip
def test_one_name_for_all_spellings(spellings: str) -> None:
    assert len({unit_name(spelling) for spelling in spellings.split()}) == 1
    assert None not in {dimension_of(spelling) for spelling in spellings.split()}


def test_other_words_are_no_units() -> None:
    assert [unit_name(word) for word in ("apple", "", "s5", "class")] == [None] * 4
    assert dimension_of("mile") == dimension_of("cm") != dimension_of("week")

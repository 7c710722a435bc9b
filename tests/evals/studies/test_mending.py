"""What another attempt mends, with scripts for the model."""

from __future__ import annotations

import pytest

from tests.scripts import RIGHT, WRONG
from tests.verifiers.helpers import SQUARE, attempt
from vitarmm_agent.evals.studies.mending import First, Row, Way, loop, table, tried_again
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.settings import Settings

REST = " cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"


@pytest.mark.parametrize(
    ("way", "replies", "ends"),
    [
        ("mend", [REST], [("mend", "abstain", True)]),
        ("mend", ["0 cm.", RIGHT], [("mend", "fail", False), ("sample", "abstain", True)]),
        ("sample", [WRONG, RIGHT], [("sample", "fail", False), ("sample", "abstain", True)]),
        ("named", [WRONG, WRONG], [("named", "fail", False)] * 2),
    ],
)
def test_an_attempt_is_tried_again_until_nothing_fails_it(
    way: Way, replies: list[str], ends: list[tuple[str, str, bool]]
) -> None:
    model = ScriptedChatModel.of(*replies)
    again = tried_again(model, SQUARE, attempt(WRONG), way, retries=2, settings=Settings.load())
    assert [(retry.how, retry.verdict, retry.correct) for retry in again] == ends
    asked = "\n".join(message.text for call in model.calls for message in call.messages)
    assert "gold" not in asked and ("comes to 5, not 6" in asked) == (way == "named")


def test_the_table_counts_what_stands_after_each_retry() -> None:
    model = ScriptedChatModel.of(REST, "0 cm.", RIGHT, WRONG, WRONG)
    rows = [
        Row(
            id=str(number), way=way, first_correct=False,
            retries=tried_again(
                model, SQUARE, attempt(WRONG), way, retries=2, settings=Settings.load()
            ),
        )
        for number, way in enumerate(("mend", "mend", "named"))
    ]  # fmt: skip
    firsts = [First(id=row.id, group=row.id, right=False) for row in rows]
    lines = table(rows, firsts, 2).split("\n")
    cells = [[cell.strip() for cell in line.split("|")[1:6]] for line in lines]
    assert [row[:3] + [row[3].split(" ")[0]] + row[4:] for row in cells[2:]] == [
        ["mend", "1", "2", "1", "2"],
        ["mend", "2", "2", "2", "2"],
        ["named", "1", "1", "0", "0"],
        ["named", "2", "1", "0", "0"],
    ]


def test_copied_numbers_are_put_right_and_counted() -> None:
    example = [
        {"role": "user", "content": [{"type": "text", "text": SQUARE.to_prompt().replace("20", "44")}]},
        {"role": "assistant", "content": "1. The side is 44 / 4 = 11.\n2. 11 * 11 = 121\nAnswer: 121"},
        {"role": "user", "content": [{"type": "text", "text": SQUARE.to_prompt()}]},
    ]  # fmt: skip
    copied = "1. The side is 44 / 4 = 11.\n2. The area is 11 * 11 = 121.\nAnswer: 121"
    first = attempt(copied, prompt=tuple(example))
    model = ScriptedChatModel.of(" / 4 = 5.\n2. The area is 5 * 5 = 25.\nAnswer: 25")
    again = tried_again(model, SQUARE, first, "mend", retries=2, settings=Settings.load())
    assert [(retry.how, retry.correct, retry.copied) for retry in again] == [("mend", True, False)]
    assert model.calls[0].messages[-1].text == "1. The side is 20"
    assert "11 * 11 = 121" in model.calls[0].messages[1].text, "the example is shown again"
    row = Row(id="1", way="mend", first_correct=False, first_copied=True, retries=again)
    firsts = [
        First(id="1", group="a", right=False, copied=True, tokens=again[0].tokens),
        First(id="2", group="a", right=True),
        First(id="3", group="b", right=True),
    ]
    told = loop([row], firsts, 2)
    assert (
        "of 3 first attempts these were right: 2, 66.7 %" in told
        and "2 more at most: 3, 100.0 %" in told
    )
    assert "2.00 times" in told and "answer: 1, 33.3 %" in told and "then: 0, 0.0 %" in told
    alone = [first.model_copy(update={"group": first.id}) for first in firsts]
    assert loop([row], alone, 2) != told, "two problems of a group say less than two groups"

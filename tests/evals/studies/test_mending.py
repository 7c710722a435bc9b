"""What another attempt mends, with scripts for the model."""

from __future__ import annotations

import pytest

from tests.scripts import RIGHT, WRONG
from tests.verifiers.helpers import SQUARE, attempt
from vitarmm_agent.evals.studies.mending import Row, Way, table, tried_again
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.settings import Settings

REST = " cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"


@pytest.mark.parametrize(
    ("way", "replies", "ends"),
    [
        ("mend", [REST], [("mend", "pass", True)]),
        ("mend", ["0 cm.", RIGHT], [("mend", "fail", False), ("sample", "pass", True)]),
        ("sample", [WRONG, RIGHT], [("sample", "fail", False), ("sample", "pass", True)]),
        ("named", [WRONG, WRONG], [("named", "fail", False)] * 2),
    ],
)
def test_an_attempt_is_tried_again_until_arithmetic_is_silent(
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
    cells = [[cell.strip() for cell in line.split("|")[1:6]] for line in table(rows, 2).split("\n")]
    assert [row[:3] + [row[3].split(" ")[0]] + row[4:] for row in cells[2:]] == [
        ["mend", "1", "2", "1", "2"],
        ["mend", "2", "2", "2", "2"],
        ["named", "1", "1", "0", "0"],
        ["named", "2", "1", "0", "0"],
    ]

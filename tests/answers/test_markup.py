"""Tags round steps and answers are no part of them."""

from __future__ import annotations

import pytest

from vitarmm_agent.answers import grade, read_answer
from vitarmm_agent.problem import Problem

SEVEN = [
    "<answer>\n1. 2+5=7\nAnswer: 7</answer>",
    "<response>Answer: 7</response>",
    "Answer: 7</output>",
    "Answer: 7<|im_end|>",
    "Answer: 7</s>",
    "Answer: 7<end_of_turn>",
    "Answer: <|begin_of_box|>7<|end_of_box|>",
    "Answer: <b>7</b>",
    "<final>7</final>",
    "<result>7</result>",
    "[ANSWER]7[/ANSWER]",
    "<ans>7</ans>",
    "<answer>The answer is 7</answer>",
    "<final_answer>7</final_answer>",
    "if a<b and b>c then\nAnswer: 7",
]


@pytest.mark.parametrize("text", SEVEN)
@pytest.mark.parametrize("kind", ["text", "integer"])
def test_an_answer_is_read_without_its_tags(kind: str, text: str) -> None:
    problem = Problem.parse({"text": "?", "answer_type": kind, "reference": "7"})
    assert read_answer(problem, text, cut=False) == "7"
    assert grade(problem, text).correct

"""Thinking aloud is told apart from what is said, in every spelling, and however it arrives."""

from __future__ import annotations

import pytest

from vitarmm_agent.answers import grade, parse_steps, read_answer
from vitarmm_agent.problem import Problem
from vitarmm_agent.thinking import ThinkingStream, split_thinking

SPELLINGS = {
    "pair": "<think>Is it 20?</think>The area is 25.",
    "capitals": "<THINK>\nIs it 20?\n</Think>\n\nThe area is 25.",
    "no opening tag": "Is it 20?\n</think>\n\nThe area is 25.",
    "other name": "<thinking>Is it 20?</thinking>\nThe area is 25.",
    "attribute": '<thought time="3">Is it 20?</thought> The area is 25.',
    "brackets": "[THINK]Is it 20?[/THINK]The area is 25.",
    "other brackets": "◁think▷Is it 20?◁/think▷The area is 25.",
    "tokens": "<|begin_of_thought|>Is it 20?<|end_of_thought|>The area is 25.",
    "channels": "<|channel|>analysis<|message|>Is it 20?<|end|><|start|>assistant<|channel|>final"
    "<|message|>The area is 25.<|return|>",
    "spaces": "< think >Is it 20?</ think >The area is 25.",
    "scratchpad": "<scratchpad>\nIs it 20?\n</scratchpad>\nThe area is 25.",
    "granite": "Here is my thought process:\nIs it 20?\nHere is my response:\nThe area is 25.",
    "gemma": "<|channel>thought\nIs it 20?<channel|>The area is 25.",
    "older gemma": "<unused94>thought\nIs it 20?<unused95>The area is 25.",
    "cohere": "<|START_THINKING|>Is it 20?<|END_THINKING|><|START_RESPONSE|>The area is 25.<|END_RESPONSE|>",
    "reasoning": "<reasoning>Is it 20?</reasoning>\nThe area is 25.</s>",
    "escaped": "&lt;think&gt;Is it 20?&lt;/think&gt;The area is 25.",
    "details": '<details type="reasoning" done="true">Is it 20?</details>\nThe area is 25.',
    "prefix": "<mm:think>Is it 20?</mm:think>The area is 25.<|im_end|>",
    "one word": "<longcat_think>Is it 20?</longcat_think>The area is 25.",
    "bars": "<|think|>Is it 20?<|/think|>The area is 25.",
    "solar": "<|think|>Is it 20?<|end|>The area is 25.",
    "apertus": "<|inner_prefix|>Is it 20?<|inner_suffix|>The area is 25.",
    "turn": "<|im_start|>think\nIs it 20?<|im_end|>\nThe area is 25.",
    "fence": "```think\nIs it 20?\n```\nThe area is 25.",
    "bare channels": "analysisIs it 20?assistantfinalThe area is 25.",
    "seed": "<seed:think>Is it 20?</seed:think>The area is 25.",
}
KNOWN_AT_THE_END = {
    "no opening tag", "granite", "gemma", "older gemma", "escaped", "turn", "fence", "bare channels",
}  # fmt: skip
QUESTION = Problem(text="What is the area?", answer_type="integer", reference="25")


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_thinking_is_cut_away(text: str) -> None:
    assert split_thinking(text) == ("Is it 20?", "The area is 25.")
    assert read_answer(QUESTION, text, cut=False) == "25"


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("<think>\nSo it is 5", "So it is 5", ""),  # cut off inside
        ("<think>a</think>b<think>c</think>d", "ac", "bd"),
        ("<think>a<think>b</think>c</think>d", "abc", "d"),  # opened again inside
        ("a</think>b</think>c", "ab", "c"),
        ("x <think>a</think> y", "a", "x  y"),
        ("<think></think>\n\n25", "", "25"),
        ("1. Use `<think>` for it\nAnswer: 5", "", "1. Use `<think>` for it\nAnswer: 5"),
        ("The tag <think> is not closed here. 5", "", "The tag <think> is not closed here. 5"),
        ("I think it is 5, on second thought 6", "", "I think it is 5, on second thought 6"),
        ("3 < 5 and [THINKING] of it", "", "3 < 5 and [THINKING] of it"),
        ("<think>a</think>```json\n{}\n```", "a", "```json\n{}\n```"),
        ("```python\nx = 1\n```\nI think so: 5", "", "```python\nx = 1\n```\nI think so: 5"),
        ("<details>more</details> on my reasoning", "", "<details>more</details> on my reasoning"),
        ("analysis of the final", "", "analysis of the final"),
        ("", "", ""),
    ],
)
def test_what_is_thinking_and_what_is_not(text: str, thought: str, said: str) -> None:
    assert split_thinking(text) == (thought, said)


@pytest.mark.parametrize("size", [1, 2, 7, 50])
@pytest.mark.parametrize("name", sorted(set(SPELLINGS) - KNOWN_AT_THE_END))
def test_pieces_of_any_size_are_told_apart(name: str, size: int) -> None:
    stream, text = ThinkingStream(), SPELLINGS[name]
    pieces = [p for at in range(0, len(text), size) for p in stream.feed(text[at : at + size])]
    pieces += stream.end()
    assert "".join(p for p, thinking in pieces if thinking).strip() == "Is it 20?"
    said = "".join(p for p, thinking in pieces if not thinking)
    assert split_thinking(said)[1].strip() == "The area is 25."


def test_a_bracket_that_begins_no_tag_holds_nothing_back() -> None:
    """JSON is full of them: a judge's reply that is watched came in lumps."""
    stream = ThinkingStream()
    assert [*stream.feed('{"steps": [{"step": 1')] == [('{"steps": [{"step": 1', False)]
    assert [*stream.feed(" [TH")] == [(" ", False)] and [*stream.feed("ose]")] == [
        ("[THose]", False)
    ]


def test_what_only_looks_like_a_tag_is_passed_on() -> None:
    stream = ThinkingStream()
    pieces = [
        *stream.feed("if a <"),
        *stream.feed(" b then [x"),
        *stream.feed("] <"),
        *stream.end(),
    ]
    assert "".join(piece for piece, _ in pieces) == "if a < b then [x] <"
    assert not any(thinking for _, thinking in pieces)


@pytest.mark.parametrize(
    ("fields", "reference", "reply"),
    [
        ({"answer_type": "integer"}, "25", "<think>\\boxed{100}? No.</think>\nIt is 5 * 5 = 25."),
        ({"choices": ("red", "blue", "green")}, "B", "<think>The answer is A?</think>So it must be (B)."),
        ({}, "east", "<think>Is the answer west?</think>The answer is east."),
        ({"answer_type": "integer"}, "25", "Take 100? No.\n</think>\n\n25"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["strict", "mathvista"])
def test_grading_reads_what_was_said(
    fields: dict[str, str], reference: str, reply: str, policy: str
) -> None:
    problem = Problem.parse({"text": "?", "reference": reference, **fields})
    if policy == "mathvista" and reference in ("B", "east"):
        problem = problem.model_copy(update={"reference": "blue" if fields else reference})
    assert grade(problem, reply, policy=policy).correct  # type: ignore[arg-type]


def test_thinking_alone_is_no_answer() -> None:
    cut = "<think>\nSo the side is 5. The answer is 5? No, wait"
    assert read_answer(QUESTION, cut, cut=True) is None
    assert read_answer(QUESTION, cut, cut=False) is None
    assert not grade(QUESTION, "<think>25</think>").correct


def test_thinking_makes_no_steps() -> None:
    steps = parse_steps("<think>\n1. 20 / 4 = 6? No.\n2. Hm.\n</think>\n1. 20 / 4 = 5\nAnswer: 5")
    assert [step.text for step in steps] == ["20 / 4 = 5", "Answer: 5"]

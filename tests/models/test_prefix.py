"""Models on transformers begin where the last prompt began alike, and replies stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from langchain_core.messages import HumanMessage, SystemMessage

from tests.models.conftest import make_model
from vitarmm_agent.models.folder import FolderChatModel

Load = Callable[..., FolderChatModel]
SYSTEM = SystemMessage("You solve problems step by step. " * 3)
PROBLEM = "A square has a perimeter of 20 cm. What is its area? " * 2
TAILS = ["Solve it.", "Mind the units. Solve it.", "Mind the units. Not 36. Solve it again."]


def test_replies_with_and_without_reuse_are_the_same(tiny: Path, load: Load) -> None:
    reusing, without = load(tiny, max_tokens=40), load(tiny, max_tokens=40, prefix_reuse=False)
    reused = []
    for tail in TAILS:
        messages = [SYSTEM, HumanMessage(f"{PROBLEM}\n{tail}")]
        reply, other = reusing.invoke(messages), without.invoke(messages)
        assert reply.text == other.text
        figures = reply.response_metadata["prefix"]
        assert figures["given"] == figures["reused"] + figures["computed"]
        assert other.response_metadata["prefix"]["reused"] == 0
        assert reply.usage_metadata["input_token_details"]["cache_read"] == figures["reused"]
        reused.append(figures["reused"])
    start = len(without.prepare([SYSTEM, HumanMessage(PROBLEM)]).keys)
    assert reused[0] < 30 and all(n > start - 40 for n in reused[1:])


def test_a_prompt_that_begins_otherwise_reuses_nothing_wrong(tiny: Path, load: Load) -> None:
    model = load(tiny, max_tokens=40)
    fresh = [load(tiny, max_tokens=40, prefix_reuse=False).invoke(text).text for text in TAILS]
    for _ in range(2):
        assert [model.invoke(text).text for text in TAILS] == fresh


def test_a_reply_that_was_left_early_spoils_nothing(tiny: Path, load: Load) -> None:
    model, question = load(tiny, max_tokens=200), HumanMessage(PROBLEM)
    whole = load(tiny, max_tokens=200, prefix_reuse=False).invoke([question]).text
    for _ in range(3):
        stream = model.stream([question])
        next(stream)
        stream.close()
    assert model.invoke([question]).text == whole


def test_a_sliding_window_model_is_neither_reused_nor_wrong(tmp_path: Path, load: Load) -> None:
    folder = make_model(
        tmp_path / "sliding", use_sliding_window=True, sliding_window=16, max_window_layers=1
    )
    model = load(folder)
    first = model.invoke([SYSTEM, HumanMessage(PROBLEM)])
    again = model.invoke([SYSTEM, HumanMessage(PROBLEM)])
    assert first.text == again.text
    assert again.response_metadata["prefix"]["reused"] == 0

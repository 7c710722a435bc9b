from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG
from vitarmm_agent.evals.writers.replay import Neighbours, Replayer
from vitarmm_agent.evals.writers.trials import Probe
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.schema import Example, MemoryEntry
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Problem

PROBLEM = Problem(
    id="p", text=QUESTION, reference="25", answer_type="integer", metadata={"solution": "GOLD"}
)
ENTRY = MemoryEntry(id="m", **LESSON)


def replayer(folder: Path, *replies: Any, **options: Any) -> tuple[Replayer, ScriptedChatModel]:
    model = ScriptedChatModel.of(*replies)
    return Replayer(model, MediaStore(folder), **options), model


@pytest.mark.parametrize(
    ("without", "shown", "effect"),
    [
        (WRONG, RIGHT, "fixes"),
        (RIGHT, WRONG, "breaks"),
        (RIGHT, RIGHT, "nothing"),
        (WRONG, WRONG, "nothing"),
    ],
)
def test_an_entry_fixes_breaks_or_does_nothing(
    tmp_path: Path, without: str, shown: str, effect: str
) -> None:
    trying, model = replayer(tmp_path, without, shown)
    trial = asyncio.run(trying.trial(PROBLEM, ENTRY))
    assert (trial.effect, trial.problem_id) == (effect, "p")
    first, second = (call.messages[-1].text for call in model.calls)
    assert str(LESSON["content"]) in second and str(LESSON["content"]) not in first
    assert first.split("<memory>")[0] == second.split("<memory>")[0]


def test_an_entry_with_an_example_is_shown_as_when_it_is_recalled(tmp_path: Path) -> None:
    """As an earlier turn and in no other way; a placebo as the entry that it is compared with."""
    example = Example(problem="5 + 5?", steps=("5 + 5 = 10",), answer="10")
    worked = ENTRY.model_copy(update={"example": example})
    placebo = worked.model_copy(update={"id": "p", "content": "Something else."})
    trying, model = replayer(tmp_path, WRONG, WRONG, RIGHT, RIGHT, WRONG)
    shown = asyncio.run(trying.trial(PROBLEM, worked, placebo))
    assert (shown.placebo, shown.shown, shown.effect) == ((False,), (True,), "fixes")
    told = asyncio.run(trying.trial(PROBLEM, ENTRY, placebo))
    assert (told.placebo, told.shown, told.without) == ((True,), (False,), (False,))
    _, control, turn, control_text, text = ([m.text for m in call.messages] for call in model.calls)
    assert turn[2] == "1. 5 + 5 = 10\nAnswer: 10" and len(turn) == len(control) == 4
    assert ENTRY.content not in turn[-1] and ENTRY.content in text[-1]
    assert "Something else." in control_text[-1] and len(control_text) == 2
    assert set(trying.known([Probe(problem=PROBLEM, placebo=placebo)])) == set(trying.baselines)


def test_gold_reaches_no_prompt(tmp_path: Path) -> None:
    trying, model = replayer(tmp_path, WRONG, RIGHT)
    asyncio.run(trying.trial(PROBLEM, ENTRY))
    prompts = str([call.messages for call in model.calls])
    assert "GOLD" not in prompts and "25" not in prompts


def test_the_empty_memory_is_tried_once_per_problem(tmp_path: Path) -> None:
    async def both() -> None:
        await asyncio.gather(trying.trial(PROBLEM, ENTRY), trying.trial(PROBLEM, ENTRY))

    empty = {"match": "There are no notes", "content": WRONG}
    trying, model = replayer(tmp_path, empty, RIGHT, RIGHT)
    asyncio.run(both())
    assert len(model.calls) == 3
    again, other = replayer(tmp_path, RIGHT)
    again.remember(trying.baselines)
    assert asyncio.run(again.trial(PROBLEM, ENTRY)).effect == "fixes"
    assert len(other.calls) == 1


def test_several_samples_are_drawn_and_counted(tmp_path: Path) -> None:
    trying, model = replayer(tmp_path, RIGHT, WRONG, RIGHT, RIGHT, samples=2, temperature=0.5)
    trial = asyncio.run(trying.trial(PROBLEM, ENTRY))
    assert (trial.without, trial.shown, trial.effect) == ((True, False), (True, True), "fixes")
    assert {call.options["temperature"] for call in model.calls} == {0.5}


class Letters(Embeddings):
    """A text is where its letters are."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(text.count(letter)) for letter in "abcd"] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_the_nearest_other_problem() -> None:
    problems = [Problem(id=t, text=t) for t in ("aaab", "aabb", "cccd", "dddd")]
    near = Neighbours(problems, Letters())
    assert [p.id for p in near.nearest(problems[0], 2)] == ["aabb", "cccd"]
    copy = Problem(id="copy", text="AAAB ".lower())
    assert near.nearest(copy)[0].id == "aabb"
    assert near.nearest(problems[0], but={"aabb"})[0].id == "cccd"
    assert len(near.nearest(problems[0], 9)) == 3


def test_among_no_problems_none_is_near() -> None:
    near = Neighbours([], DeterministicFakeEmbedding(size=8))
    assert near.nearest(PROBLEM) == []


def test_a_local_model_is_sampled_by_its_seed(tmp_path: Path) -> None:
    from langchain_core.messages import HumanMessage

    from tests.models.conftest import make_model
    from vitarmm_agent.effects import run
    from vitarmm_agent.evals.writers.replay import sampled
    from vitarmm_agent.models.calls import ask, ask_structured
    from vitarmm_agent.models.folder import FolderChatModel

    folder = make_model(tmp_path / "tiny")
    local = FolderChatModel.load(
        folder, home=tmp_path / "home", dtype="float32", device="cpu", max_tokens=12
    )
    prompt = [HumanMessage("Say a word.")]

    def said(seed: int) -> str:
        return run(ask(sampled(local, 2.0, seed), prompt)).message.text

    assert said(1) == said(1) != said(2)
    schema = {"title": "Word", "type": "object", "properties": {"w": {"enum": ["a", "b"]}},
              "required": ["w"], "additionalProperties": False}  # fmt: skip
    found = {run(ask_structured(sampled(local, 5.0, n), schema, prompt)).said for n in range(12)}
    assert len(found) > 1


def test_what_was_cut_off_is_right_only_by_what_it_commits_to(tmp_path: Path) -> None:
    texts = ("1. 20 / 4 = 5\n2. 5 * 5 = 25", f"{RIGHT}\n")
    cut = [{"content": text, "finish_reason": "length"} for text in texts]
    trying, _ = replayer(tmp_path, *cut)
    trial = asyncio.run(trying.trial(PROBLEM, ENTRY))
    assert (trial.without, trial.shown) == ((False,), (True,))

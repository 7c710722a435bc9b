from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.scripts import LESSON, QUESTION, RELATED_QUESTION, RIGHT, WRONG, nothing, operations
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.viewer import create_app

Runs = dict[str, str]
PAYLOADS = (Path(__file__).parent / "payloads.txt").read_text().splitlines()


def script(path: Path, *replies: Any) -> str:
    """Write a script; each reply may be text or the fields of a scripted reply."""
    path.write_text(json.dumps(list(replies)))
    return f"scripted:{path}"


def settings_in(folder: Path, **options: Any) -> Settings:
    """Settings of a page whose runs follow scripts."""
    folder.mkdir(parents=True, exist_ok=True)
    defaults = {
        "data_dir": folder / "data",
        "reasoner": script(folder / "reasoner.json", *[WRONG, RIGHT] * 20),
        "rmm": script(folder / "rmm.json", *[nothing()] * 40),
        "feedback": "arithmetic",
        "page_models": ("*",),
    }
    return Settings.load(**defaults | options)


def seed(settings: Settings, folder: Path) -> Runs:
    """Three runs: one that failed first and taught something, one it helped, one that waits."""
    lesson = script(folder / "lesson.json", operations(LESSON), *[nothing()] * 9)
    oracle = {"feedback": "arithmetic,reference", "oracle": True, "rmm": lesson}
    replies = script(folder / "seed.json", WRONG, RIGHT, RIGHT.replace("20", "36"), RIGHT)
    given = settings.model_dump(exclude_unset=True) | {"reasoner": replies}
    agent = ReasoningAgent.open(settings=Settings.load(**given | oracle))
    taught = agent.solve(
        {"text": QUESTION, "reference": "25", "metadata": {"benchmark": "squares"}}
    )
    helped = agent.solve({"text": RELATED_QUESTION, "reference": "25"})
    waits = script(folder / "waits.json", RIGHT)
    asks = ReasoningAgent.open(
        settings=Settings.load(**given | {"reasoner": waits, "feedback": "arithmetic,human"})
    )
    waiting = asks.solve("Is every square a rhombus?")
    assert taught.passed and waiting.status == "interrupted"
    return {"taught": taught.thread_id, "helped": helped.thread_id, "waiting": waiting.thread_id}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty page."""
    return settings_in(tmp_path / "page")


@pytest.fixture
def runs(settings: Settings, tmp_path: Path) -> Runs:
    """The three runs, by name."""
    return seed(settings, tmp_path)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """A visitor on loopback."""
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8765") as client:
        yield client

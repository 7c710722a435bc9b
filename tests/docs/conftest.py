"""What documentation and examples run with: a scripted model in place of a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
COPIES = 40
ATTEMPT = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
JUDGEMENT = {
    "steps": [{"step": 1, "check": "20 / 4 = 5", "verdict": "right"}],
    "verdict": "right",
}
LESSON = {
    "operations": [
        {
            "kind": "add",
            "title": "Area of a square from its perimeter",
            "applies_when": "the perimeter of a square is given and its area is asked",
            "content": "Divide the perimeter by four and square the result.",
            "entry_type": "insight",
            "confidence": 0.9,
        }
    ]
}


def opening(prompt: str) -> str:
    """First line of a prompt template: what tells the roles apart."""
    return (ROOT / "prompts" / f"{prompt}.md").read_text("utf-8").splitlines()[0]


def script() -> list[dict[str, Any]]:
    """Replies for reasoner, judge and memory writer, as often as any page needs them."""
    roles = [
        {"match": opening("reason_system"), "content": ATTEMPT},
        {"match": opening("judge"), "structured": JUDGEMENT},
        {"match": opening("remember_system"), "structured": LESSON},
    ]
    return [dict(role) for role in roles for _ in range(COPIES)]


@pytest.fixture
def rehearsal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Callable[[str], Path]
) -> Path:
    """A working folder in which the default models follow a script; memory is real."""
    weights("all-minilm-l6-v2")
    reasoner = tmp_path / "reasoner.json"
    reasoner.write_text(json.dumps(script()), encoding="utf-8")
    chat = tmp_path / "chat.json"
    chat.write_text(json.dumps(chat_replies()), encoding="utf-8")
    monkeypatch.setenv("VITARMM_REASONER", f"scripted:{reasoner}")
    monkeypatch.setenv("CHAT_MODEL", f"scripted:{chat}")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def furnish(page: Path, folder: Path) -> None:
    """Put down what a page takes for granted: the VITA page its weights, tiny, and a picture; a solution."""
    (folder / "solution.txt").write_text("1. 48 / 2 = 24\n2. 24 * 3 = 72\nAnswer: 72\n")
    if page.name != "vita.md":
        return
    from PIL import Image

    from tests.models.vita.tiny import Tiny

    Tiny(max_length=6200).write(folder / "VITA-1.5")
    Image.radial_gradient("L").save(folder / "figure.png")


def chat_replies() -> list[dict[str, Any]]:
    """A chat model that calls the solver once and then answers, twice over."""
    problem = "A square has a perimeter of 20 cm. What is its area?"
    call = {"name": "solve_problem", "args": {"problem": problem}, "id": "call-1"}
    return [{"tool_calls": [call]}, {"content": "It is 25 cm²."}] * 2

"""Scripts for the scripted chat model, as tests write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WRONG = "1. The side is 20 / 4 = 6 cm.\n2. The area is 6 * 6 = 36.\nAnswer: 36"
RIGHT = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
QUESTION = "A square has a perimeter of 20 cm. What is its area in square centimeters?"
RELATED_QUESTION = "A square has a perimeter of 36 cm. What is its area?"

LESSON = {
    "title": "Area of a square from its perimeter",
    "applies_when": "the perimeter of a square is given and its area is asked for",
    "content": "Divide the perimeter by four to get the side, then square the side.",
    "entry_type": "insight",
    "confidence": 0.9,
}


def script(path: Path, *replies: Any) -> str:
    """Write a script and return its spec."""
    path.write_text(json.dumps(list(replies)))
    return f"scripted:{path}"


def operations(*entries: dict[str, Any], kind: str = "add") -> str:
    """A memory writer's answer that adds these entries."""
    return json.dumps({"operations": [{"kind": kind, **entry} for entry in entries]})


def nothing() -> str:
    """A memory writer's answer that keeps nothing."""
    return json.dumps({"operations": [{"kind": "none", **LESSON}]})

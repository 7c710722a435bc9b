"""Brackets without end are a fault of who wrote them, and told as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from vitarmm_agent.errors import InputError, OutputError, UserError, WeightsError
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.worklist import read_rows
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.models.structured import read_reply
from vitarmm_agent.models.vita.checkpoint import read_json

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 100_000, DEEP.encode()])
def test_it_is_no_json(text: str | bytes) -> None:
    with pytest.raises(json.JSONDecodeError, match="nested too deeply"):
        parse_json(text)


def test_a_models_reply() -> None:
    with pytest.raises(OutputError, match="not JSON .*nested too deeply"):
        read_reply({"type": "array", "title": "rows"}, AIMessage(DEEP))


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda file: read_rows(file, Sample), InputError),
        (ScriptedChatModel.read, InputError),
        (read_json, WeightsError),
    ],
)
def test_a_file(tmp_path: Path, read: Callable[[Path], Any], error: type[UserError]) -> None:
    file = tmp_path / "deep.json"
    file.write_text(f"{DEEP}\n{{}}\n")
    with pytest.raises(error, match="nested too deeply"):
        read(file)

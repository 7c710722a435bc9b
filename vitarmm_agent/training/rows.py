"""Rows of training data for the memory writer, and their file forms. Plain data.

Layout of a data folder::

    combined_data.json          JSON array of decision rows
    dataset/README.md           names the two configurations for datasets.load_dataset
    dataset/decisions.jsonl     one DecisionRow a line
    dataset/preferences.jsonl   one PreferenceRow a line
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from vitarmm_agent.data import Data
from vitarmm_agent.evals.writers.trials import Trial
from vitarmm_agent.private import private_folder, write_text
from vitarmm_agent.problem import Verdict
from vitarmm_agent.rmm.schema import Situation

Label = Literal["chosen", "rejected", "unlabelled"]
Effect = Literal["fixes", "breaks", "nothing", "untried"]
"""What an entry did to a problem when it was tried on it."""
Candidate = Literal["model", "sampled", "rule"]
"""Who made a decision: the writer as it is, the same sampled, or the rule."""
COMBINED = "combined_data.json"
DATASET = "dataset"
DECISIONS = "decisions.jsonl"
PREFERENCES = "preferences.jsonl"


class ChatMessage(Data):
    """One message of a prompt or completion, in the form that chat templates take."""

    role: Literal["system", "user", "assistant"]
    content: str


class DecisionRow(Data):
    """One decision of a memory writer: a supervised example.

    Attributes:
        prompt: the messages as the writer sends them.
        completion: one assistant message: the operations as canonical JSON.
        benchmark: where the problem comes from.
        attempt: number of the attempt decided on, from 1.
        situation: what was decided on: a success, a failure, or a contrast of both.
        verdict_before: feedback on the attempt decided on.
        verdict_after: feedback on the next attempt of the run; None when there was none.
        label: ``chosen`` when its entries fix a problem and break none; ``rejected`` when they
            break one or do nothing; ``unlabelled`` when they were not tried.
        effect_own: what its entries did to the problem they come from.
        effect_similar: what they did to the most similar other training problem, or to its siblings.
        tried: the trials on siblings behind that.
        candidate: who made the decision.
        oracle: the run's feedback saw the gold answer.
        thread_id: the run.
        key: ``BENCHMARK/PROBLEM/ATTEMPT/CANDIDATE``: unique in the data.
    """

    prompt: tuple[ChatMessage, ...]
    completion: tuple[ChatMessage, ...]
    benchmark: str
    problem_id: str
    attempt: int
    situation: Situation
    verdict_before: Verdict
    verdict_after: Verdict | None = None
    label: Label = "unlabelled"
    effect_own: Effect = "untried"
    effect_similar: Effect = "untried"
    tried: tuple[Trial, ...] = ()
    candidate: Candidate = "model"
    oracle: bool = False
    thread_id: str = ""
    key: str

    @property
    def keeps_nothing(self) -> bool:
        """Whether its operations leave the memory as it is."""
        operations = json.loads(self.completion[-1].content)["operations"]
        return all(operation["kind"] == "none" for operation in operations)


class PreferenceRow(Data):
    """Two decisions on one prompt, of which the first did better.

    Attributes:
        chosen: one assistant message.
        rejected: one assistant message.
        key: keys of the two decisions, joined by ``>``.
    """

    prompt: tuple[ChatMessage, ...]
    chosen: tuple[ChatMessage, ...]
    rejected: tuple[ChatMessage, ...]
    benchmark: str
    problem_id: str
    key: str


def write_rows(
    folder: Path, decisions: Sequence[DecisionRow], preferences: Sequence[PreferenceRow]
) -> None:
    """Write a data folder; each file appears whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    dataset = folder / DATASET
    private_folder(dataset)
    rows = [row.model_dump(mode="json") for row in decisions]
    write_text(folder / COMBINED, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    write_text(dataset / DECISIONS, _lines(decisions))
    write_text(dataset / PREFERENCES, _lines(preferences))
    write_text(dataset / "README.md", _card(decisions, preferences))


def _lines(rows: Iterable[DecisionRow | PreferenceRow]) -> str:
    return "".join(row.model_dump_json() + "\n" for row in rows)


def _card(decisions: Sequence[DecisionRow], preferences: Sequence[PreferenceRow]) -> str:
    configs = [f"- config_name: decisions\n  data_files: {DECISIONS}\n  default: true\n"]
    if preferences:  # an empty file has no columns, and cannot be loaded
        configs.append(f"- config_name: preferences\n  data_files: {PREFERENCES}\n")
    labels = {label: sum(row.label == label for row in decisions) for label in Label.__args__}  # type: ignore[attr-defined]
    counts = ", ".join(f"{count} {label}" for label, count in labels.items())
    return (
        f"---\nconfigs:\n{''.join(configs)}---\n\n"
        "# Decisions of a memory writer\n\n"
        f"{len(decisions)} decisions ({counts}) and {len(preferences)} preference pairs, "
        "simulated with `vitarmm simulate`.\n"
    )

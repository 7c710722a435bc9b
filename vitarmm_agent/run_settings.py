"""The settings that a run records, and which of them whoever goes on with it takes over.

Metadata of checkpoints is written by whoever may write checkpoints: a client of a server, or who mailed the
file. So limits, decoding and the names of verifiers are taken from it, and nothing that says where keys,
problems and files go.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vitarmm_agent.errors import InputError, no_run
from vitarmm_agent.settings import Settings

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

SETTINGS_KEY = "vitarmm_settings"
"""Checkpoint metadata: the settings that were chosen for the run, as JSON."""
TAKEN = frozenset({
    "feedback", "judge_pass_precision", "judge_fail_precision", "oracle", "rmm_think", "images",
    "max_iterations", "max_seconds", "max_run_tokens",
    "temperature", "retry_temperature", "max_tokens", "seed",
    "vita_model_type", "min_tiles", "max_tiles", "thumbnail",
})  # fmt: skip
ASKED = (
    "reasoner", "judge", "rmm", "teacher", "base_url", "extra_body", "embedder", "embedder_base_url",
    "memory", "namespace",
)  # fmt: skip
"""What is the operator's to say; where a run was begun with others, the operator is asked."""
OPTIONS = ("reasoner", "judge", "rmm", "teacher", "base_url", "memory", "namespace")
"""Those of them that the command line has options for."""


def recorded(settings: Settings) -> dict[str, str]:
    """The metadata of a run under these settings: what was chosen, without secrets."""
    return {SETTINGS_KEY: json.dumps(settings.public(only_set=True))}


@dataclass(frozen=True)
class BegunWith:
    """What a run says it was begun with.

    Attributes:
        taken: settings to go on under, by name; of the right types and in range.
        told: what it says of models, servers and memory, to be shown to the operator.
    """

    taken: dict[str, Any] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    def differing(self, settings: Settings) -> dict[str, Any]:
        """What it says of models, servers and memory that is not so in ``settings``."""
        mine = settings.public()
        return {name: said for name, said in self.told.items() if said != mine[name]}


def kept_settings(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the metadata of a run's checkpoint records of settings, for another checkpoint of it."""
    return {k: v for k, v in (metadata or {}).items() if k == SETTINGS_KEY}


def begun_with(checkpointer: BaseCheckpointSaver[str], thread_id: str) -> BegunWith:
    """What a run says it was begun with.

    Raises:
        InputError: there is no such run, or what it says cannot be used.
    """
    found = checkpointer.get_tuple({"configurable": {"thread_id": thread_id}})
    if found is None:
        raise no_run(thread_id)
    said = _said(found.metadata)
    if said is None:
        raise InputError(f"the settings that run {thread_id!r} recorded are no JSON object")
    taken = {name: said[name] for name in TAKEN & said.keys() if said[name] is not None}
    told = {name: said[name] for name in ASKED if said.get(name) is not None}
    if told.get("memory") == "off":  # which is no place
        taken["memory"] = told.pop("memory")
    try:
        Settings.load(**taken, **{k: v for k, v in told.items() if k != "extra_body"})
    except InputError as error:
        raise InputError(f"run {thread_id!r} cannot be gone on with as it says: {error}") from None
    return BegunWith(taken, told)


def settings_in(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says that its run was begun with; nothing, where that cannot be read."""
    return _said(metadata) or {}


def _said(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        said = json.loads(str(metadata.get(SETTINGS_KEY, "{}")))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def in_words(differing: dict[str, Any]) -> str:
    """Settings for a message: ``reasoner 'openai:x', base_url 'http://…'``."""
    return ", ".join(f"{name} {value!r:.200}" for name, value in differing.items())


def as_command(differing: dict[str, Any], command: str) -> str:
    """A command line that gives these settings: options, and variables for what has none."""
    before = [
        f"VITARMM_{name.upper()}={shlex.quote(_text(value))}"
        for name, value in differing.items()
        if name not in OPTIONS and name != "extra_body"
    ]
    after = [
        f"--{name.replace('_', '-')} {shlex.quote(_text(value))}"
        for name, value in differing.items()
        if name in OPTIONS
    ]
    return " ".join([*before, command, *after])


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:500]

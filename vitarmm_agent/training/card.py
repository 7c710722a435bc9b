"""What a finished run leaves: the adapter, its base, its card, and the loss curve."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitarmm_agent.evals.run.folder import versions
from vitarmm_agent.models.adapters import BASE_FILE, CONFIG_FILE, WEIGHTS_FILE
from vitarmm_agent.private import write_text
from vitarmm_agent.training.base import Base, packs
from vitarmm_agent.training.config import TrainingConfig
from vitarmm_agent.training.dataset import Encoded, Encoder, TrainingData, summary
from vitarmm_agent.training.folder import CARD, PLOT
from vitarmm_agent.training.llama_copy import PROMPTS, Agreement, agreement, write_copy
from vitarmm_agent.weights.store import file_sha256

PACKAGES = ("vitarmm-agent", "torch", "transformers", "peft", "trl", "accelerate", "datasets")
LIMITS = "Trained on decisions of the memory writer of vitarmm-agent; use it for nothing else."

History = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Account:
    """What a run was made from."""

    config: TrainingConfig
    data: TrainingData
    encoded: Encoded
    base: Base
    base_fingerprint: str
    processes: int

    def prompts(self) -> list[list[int]]:
        """Prompts of the data, as token ids."""
        encoder = Encoder(self.base.tokenizer, self.config.max_length)
        return [encoder.prompt_ids(row.prompt) for _, row in self.data.rows[:PROMPTS]]

    def record(self) -> dict[str, Any]:
        """As JSON data, written before training starts."""
        return {
            "settings": self.config.fixed(),
            "data_sha256": self.data.sha256,
            "base_fingerprint": self.base_fingerprint,
            "base_sha256": self.base.sha256,
            "processes": self.processes,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "versions": versions(PACKAGES),
        }


def publish(model: Any, account: Account, history: History, *, seconds: float, tokens: int) -> int:
    """Write the adapter with its base, card and curve; returns the bytes of its weights."""
    folder = account.config.output_dir
    model.save_pretrained(folder, selected_adapters=["default"])
    _cast(folder / WEIGHTS_FILE, account.config.save_dtype)
    _name_base(folder / CONFIG_FILE, account.base.name)
    base = {
        "name": account.base.name,
        "fingerprint": account.base_fingerprint,
        "sha256": account.base.sha256,
    }
    write_text(folder / BASE_FILE, json.dumps(base, indent=2) + "\n")
    copy = write_copy(folder, account.base)
    alike = None if copy is None else agreement(model, account.base, copy, account.prompts())
    plot(history, folder / PLOT)
    weights = folder / WEIGHTS_FILE
    text = card(account, history, weights, alike, seconds=seconds, tokens=tokens)
    write_text(folder / CARD, text)
    return weights.stat().st_size


def plot(history: History, path: Path) -> None:
    """Draw training and evaluation loss over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (("loss", "training", "-"), ("eval_loss", "held-out problems", "o--")):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=4)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend()
    figure.savefig(path, dpi=150)


def card(
    account: Account,
    history: History,
    weights: Path,
    alike: Agreement | None,
    *,
    seconds: float,
    tokens: int,
) -> str:
    """The adapter's README, with the metadata that model hubs read."""
    config, base = account.config, account.base
    settings = "\n".join(f"| {name} | {_cell(value)} |" for name, value in _settings(account))
    metrics = "\n".join(
        f"| {name} | {value} |" for name, value in _metrics(account, history, seconds, tokens)
    )
    if alike is not None:
        metrics += f"\n| greedy tokens alike on llama.cpp and transformers | {alike} |"
    packages = ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items())
    return f"""---
library_name: peft
base_model: {json.dumps(base.name)}
tags: [lora, memory-writer, {config.stage}]
---

# Memory writer: LoRA adapter for {base.name}

{LIMITS}

    vitarmm solve --rmm "local:{base.name}+THIS_FOLDER" "…"

Made with

    {account.record()["command"]}

| file | |
|---|---|
| weights | {weights.name}, {weights.stat().st_size:,} bytes, {config.save_dtype} |
| weights SHA-256 | {file_sha256(weights)} |
| base | {base.name} |
| base SHA-256 | {base.sha256} |
| base fingerprint | {account.base_fingerprint} |
| data | {account.data.path.name} |
| data SHA-256 | {account.data.sha256} |

## Metrics

| | |
|---|---|
{metrics}

![Loss]({PLOT})

## Settings

| | |
|---|---|
{settings}

{packages}
"""


def _settings(account: Account) -> list[tuple[str, Any]]:
    values = account.config.fixed()
    for name in ("data_path", "adapter"):  # a path of one machine says little on another
        if values[name]:
            values[name] = Path(values[name]).name
    if values["adapter"]:  # which brings its own shape
        for name in ("lora_r", "lora_alpha", "lora_dropout", "target_modules"):
            del values[name]
    values["learning_rate"] = account.config.rate
    values["packing"] = packs(account.config)
    values["dtype"] = account.base.dtype
    values["processes"] = account.processes
    return list(values.items())


def _metrics(
    account: Account, history: History, seconds: float, tokens: int
) -> list[tuple[str, str]]:
    encoded = account.encoded
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tail = losses[-10:]
    rows = [
        ("rows learned from", f"{len(encoded.train)}"),
        ("rows of held-out problems", f"{len(encoded.evaluation)} ({encoded.held_out} problems)"),
        ("rows left out", summary(encoded.skipped) if encoded.skipped else "none"),
        ("steps", f"{max((entry['step'] for entry in history), default=0)}"),
        ("tokens", f"{tokens:,}"),
        ("time", f"{seconds:,.0f} s ({tokens / seconds:,.0f} tokens/s)"),
    ]
    if losses:
        rows.append(("training loss, first step", f"{losses[0]:.4f}"))
        rows.append((f"training loss, mean of last {len(tail)}", f"{sum(tail) / len(tail):.4f}"))
    for key, name in (
        ("eval_loss", "loss on held-out problems"),
        ("eval_mean_token_accuracy", "token accuracy on held-out problems"),
        ("eval_rewards/accuracies", "held-out pairs ranked right"),
    ):
        values = [entry[key] for entry in history if key in entry]
        if values:
            rows.append((f"{name}, at the end", f"{values[-1]:.4f}"))
    return rows


def _cast(file: Path, dtype: str) -> None:
    """Rewrite weights in another number format."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {name: value.to(getattr(torch, dtype)) for name, value in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


def _name_base(file: Path, name: str) -> None:
    """Name the base as its user does; peft wrote the folder it lay in on this machine."""
    data = json.loads(file.read_text("utf-8"))
    data["base_model_name_or_path"] = name
    write_text(file, json.dumps(data, indent=2, sort_keys=True) + "\n")


def _cell(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

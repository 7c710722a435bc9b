"""The output folder: adapter, card and curve at the top, checkpoints below.

Layout::

    adapter_config.json  adapter_model.safetensors  base.json  README.md
    training.json        settings and hashes, written first
    metrics.jsonl        one line a step
    loss.png
    checkpoints/checkpoint-N/
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.private import private_folder, write_text

RECORD = "training.json"
METRICS = "metrics.jsonl"
PLOT = "loss.png"
CARD = "README.md"
CHECKPOINTS = "checkpoints"
RESUMED_FIELDS = ("settings", "data_sha256", "base_fingerprint", "processes")

logger = logging.getLogger(__name__)


def prepare(folder: Path, record: dict[str, Any], *, resume: bool) -> None:
    """Make the folder and write down what is about to be trained.

    Args:
        folder: the output folder.
        record: settings, hashes and number of processes.
        resume: the folder must hold such a run already.

    Raises:
        InputError: the folder is not empty; or, resuming, it holds no run, or another one.
    """
    file = folder / RECORD
    if resume:
        _check_same(file, record)
        for broken in _checkpoints(folder):
            if not _complete(broken):
                logger.warning("removing an incomplete checkpoint: %s", broken)
                shutil.rmtree(broken)
        return
    check_new(folder)
    try:
        private_folder(folder)
        write_text(file, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise InputError(f"output folder {str(folder)!r} cannot be written: {error}") from None


def check_new(folder: Path) -> None:
    """Make sure that nothing would be overwritten.

    Raises:
        InputError: the folder is not empty, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        resumable = (
            " (or --resume to go on with the run in it)" if (folder / RECORD).is_file() else ""
        )
        raise InputError(
            f"output folder {str(folder)!r} is not empty; give a new one{resumable}: "
            "nothing is overwritten"
        )


def last_good_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; one that a kill cut short does not count."""
    good = [path for path in _checkpoints(folder) if _complete(path)]
    return good[-1] if good else None


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoints, oldest first."""
    found = (folder / CHECKPOINTS).glob("checkpoint-*")
    return sorted((path for path in found if path.name.rpartition("-")[2].isdigit()), key=step_of)


def _complete(checkpoint: Path) -> bool:
    """Whether all of it is there; transformers writes the trainer's state last."""
    try:
        parse_json((checkpoint / "trainer_state.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    weights = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt")
    rng = any(checkpoint.glob("rng_state*.pth"))
    return rng and all((checkpoint / name).is_file() for name in weights)


def _check_same(file: Path, record: dict[str, Any]) -> None:
    try:
        before = parse_json(file.read_text("utf-8"))
    except OSError:
        raise InputError(
            f"nothing to resume: {str(file.parent)!r} holds no training run; leave out --resume"
        ) from None
    except ValueError as error:
        raise InputError(f"{file} is damaged: {error}; start again in a new folder") from None
    differences = []
    for name in RESUMED_FIELDS:
        old, new = before.get(name), record[name]
        if isinstance(new, dict) and isinstance(old, dict):
            differences += [
                f"{key} (was {old.get(key)!r}, now {value!r})"
                for key, value in new.items()
                if old.get(key) != value
            ]
        elif old != new:
            differences.append(f"{name} (was {old!r}, now {new!r})")
    if differences:
        raise InputError(
            f"the run in {str(file.parent)!r} cannot go on with other settings: "
            f"{', '.join(differences)}; give the same ones, or start anew with --adapter "
            f"{file.parent / CHECKPOINTS}/checkpoint-N"
        )

"""What happens at each step: metrics are kept, progress is told, a lost run is stopped."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from vitarmm_agent.errors import UserError
from vitarmm_agent.training.folder import METRICS, last_good_checkpoint, step_of

WATCHED = ("loss", "grad_norm", "eval_loss")


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        step: optimizer steps done.
        total: steps of the whole run.
        loss: of the last step, or None before the first.
    """

    step: int
    total: int
    loss: float | None


class Metrics(TrainerCallback):
    """Keeps one line a step in ``metrics.jsonl``; after a resume, without what is done again."""

    def __init__(self, folder: Path) -> None:
        """Write into ``folder``."""
        self._file = folder / METRICS

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin with what the checkpoint holds; nothing, for a fresh run."""
        if state.is_world_process_zero:
            self._file.write_text("".join(map(_line, state.log_history)), "utf-8")

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the newest line."""
        if state.is_world_process_zero:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(_line(state.log_history[-1]))


class TellProgress(TrainerCallback):
    """Tells a listener how far the run is, from the first process only."""

    def __init__(self, listener: Callable[[Progress], None]) -> None:
        """Tell ``listener``."""
        self._listener = listener
        self._loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell where the run begins."""
        self._tell(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Tell of a step."""
        self._loss = (logs or {}).get("loss", self._loss)
        self._tell(state)

    def _tell(self, state: Any) -> None:
        if state.is_world_process_zero:
            self._listener(Progress(state.global_step, state.max_steps, self._loss))


class StopWhenLost(TrainerCallback):
    """Stops a run whose loss or gradient is no longer a number, before it is saved."""

    def __init__(self, folder: Path) -> None:
        """Name the last good checkpoint of ``folder``."""
        self._folder = folder

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Look at the newest figures.

        Raises:
            UserError: one of them is NaN or infinite.
        """
        lost = [name for name in WATCHED if not math.isfinite((logs or {}).get(name, 0.0))]
        if not lost:
            return
        checkpoint = self._last_good(state, "loss" in lost)
        kept = (
            f"the last good checkpoint is kept: {checkpoint}"
            if checkpoint
            else "there was no checkpoint yet"
        )
        raise UserError(
            f"training stopped at step {state.global_step}: {' and '.join(lost)} is "
            f"{logs[lost[0]]}; {kept}. Start again with a lower --learning_rate "
            f"(it was {args.learning_rate:g})"
            + (f", from the start or with --adapter {checkpoint}" if checkpoint else "")
        )

    def _last_good(self, state: Any, at_the_start: bool) -> Path | None:
        """The newest checkpoint whose weights are sound.

        A loss is computed before the weights move: when it is lost, those of the step before are
        already unsound, though they were saved in good faith.
        """
        checkpoint = last_good_checkpoint(self._folder)
        if at_the_start and checkpoint and step_of(checkpoint) >= state.global_step - 1:
            if state.is_world_process_zero:
                shutil.rmtree(checkpoint)
            checkpoint = last_good_checkpoint(self._folder)
        return checkpoint


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry) + "\n"

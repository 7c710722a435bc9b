"""What a training run is told: one record that is the command's options, too."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from vitarmm_agent.data import Data
from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.settings import DEFAULT_CHAT_MODEL
from vitarmm_agent.training.rows import Label

Stage = Literal["sft", "dpo"]
Precision = Literal["auto", "bfloat16", "float32"]
SaveFormat = Literal["bfloat16", "float32"]
PACKAGES = ("torch", "transformers", "accelerate", "peft", "trl", "datasets", "matplotlib")
DEFAULT_RATES: dict[str, float] = {"sft": 2e-4, "dpo": 2e-5}
FREE_ON_RESUME = frozenset({"output_dir", "resume", "eval_batch_size", "save_steps"})
"""Settings that a resumed run may change: none of them moves the loss curve."""


class TrainingConfig(Data):
    """All settings of one training run.

    Attributes:
        packing: None packs where the attention computes packed rows without their neighbours (CUDA).
        learning_rate: None is 2e-4, and 2e-5 for the ``dpo`` stage.
    """

    model_name: str = Field(
        default=DEFAULT_CHAT_MODEL.removeprefix("local:"),
        description="Base model: a catalogue name, or a folder or GGUF file of any causal model.",
    )
    output_dir: Path = Field(description="New or empty folder for all that is written.")
    data_path: Path = Field(
        description="combined_data.json, the folder that simulate wrote, or a .jsonl of rows."
    )
    stage: Stage = Field(
        default="sft", description="sft: imitate decisions. dpo: prefer better ones."
    )
    adapter: Path | None = Field(
        default=None, description="Adapter to go on from; dpo follows sft so."
    )
    labels: tuple[Label, ...] = Field(
        default=("chosen",), description="Labels of the rows to learn from."
    )
    lora_r: int = Field(default=16, ge=1, description="Rank of the adapter.")
    lora_alpha: int = Field(default=32, ge=1, description="Scale of the adapter.")
    lora_dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout inside the adapter.")
    target_modules: str = Field(
        default="all-linear",
        description="Layers that get an adapter: all-linear, or names joined by commas.",
    )
    train_batch_size: int = Field(default=4, ge=1, description="Rows per process and pass.")
    eval_batch_size: int = Field(
        default=4, ge=1, description="Rows per process and pass in evaluation."
    )
    num_epochs: float = Field(default=3, gt=0, description="Times through the data.")
    max_steps: int | None = Field(
        default=None, ge=1, description="Stop after so many steps instead."
    )
    gradient_accumulation_steps: int = Field(default=8, ge=1, description="Passes per step.")
    learning_rate: float | None = Field(
        default=None, gt=0, description="Learning rate of the adapter."
    )
    beta: float = Field(default=0.1, gt=0, description="dpo: how closely to stay with the start.")
    max_length: int = Field(
        default=2048, ge=8, description="Longest row in tokens; longer ones are left out."
    )
    packing: bool | None = Field(
        default=None, description="sft: put several rows into one sequence."
    )
    gradient_checkpointing: bool = Field(
        default=True, description="Less memory, about a fifth slower."
    )
    dtype: Precision = Field(
        default="auto", description="auto: bfloat16 where the hardware computes it."
    )
    save_dtype: SaveFormat = Field(
        default="bfloat16", description="Number format of the finished adapter."
    )
    qlora: bool = Field(
        default=False, description="Hold the base in 4 bits (CUDA, extra `quantized`)."
    )
    eval_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the problems kept for evaluation."
    )
    save_steps: int = Field(default=50, ge=1, description="Steps between checkpoints.")
    seed: int = Field(default=0, ge=0, description="Seed of all that is drawn at random.")
    resume: bool = Field(default=False, description="Go on where it stopped.")

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if self.stage == "dpo" and self.packing:
            raise ValueError("packing is for the sft stage; leave it out for dpo")
        if not self.labels:
            raise ValueError("labels is empty: name chosen, rejected or unlabelled")
        return self

    @classmethod
    def parse(cls, **values: Any) -> TrainingConfig:
        """Settings from options; None stands for the default.

        Raises:
            InputError: a value is out of range or does not go with another.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            lines = [
                f"{'.'.join(map(str, e['loc'])) or 'training'}: {e['msg']}, got {e['input']!r}"
                if e["loc"]
                else e["msg"]
                for e in error.errors()
            ]
            raise InputError(f"training cannot start: {'; '.join(lines)}") from None

    @property
    def rate(self) -> float:
        """The learning rate in force."""
        return self.learning_rate or DEFAULT_RATES[self.stage]

    @property
    def base_name(self) -> str:
        """The base model without the ``local:`` of a model spec."""
        return self.model_name.removeprefix("local:")

    @property
    def targets(self) -> str | list[str]:
        """Layers in the form that peft takes."""
        if self.target_modules == "all-linear":
            return self.target_modules
        return [name.strip() for name in self.target_modules.split(",") if name.strip()]

    def fixed(self) -> dict[str, Any]:
        """What a resumed run must have in common with the run it goes on with, as JSON data."""
        return self.model_dump(mode="json", exclude=set(FREE_ON_RESUME))


def require_packages(config: TrainingConfig) -> None:
    """Look for what training needs before anything of it is imported.

    Raises:
        MissingExtraError: a package is not installed.
    """
    if any(find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError("training", "train")
    if config.qlora and find_spec("bitsandbytes") is None:
        raise MissingExtraError("--qlora", "quantized")

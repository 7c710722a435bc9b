"""Training a LoRA adapter on trl and peft: supervised, or on preferences.

    result = train(TrainingConfig(data_path=…, output_dir=…), home=settings.home)
    load_chat_model(f"local:{config.base_name}+{result.adapter}")

Under ``accelerate launch`` every process calls :func:`train`; the first one writes.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import LoraConfig, PeftModel
from transformers import PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.adapters import fingerprint
from vitarmm_agent.training.base import Base, open_adapter, open_base, packs
from vitarmm_agent.training.callbacks import Metrics, Progress, StopWhenLost, TellProgress
from vitarmm_agent.training.card import Account, publish
from vitarmm_agent.training.config import TrainingConfig
from vitarmm_agent.training.dataset import Encoded, Encoder, TrainingData, encode, read_data
from vitarmm_agent.training.folder import CHECKPOINTS, check_new, last_good_checkpoint, prepare
from vitarmm_agent.training.out_of_memory import ran_out, what_to_lower
from vitarmm_agent.training.preferences import preference_trainer

KEPT_CHECKPOINTS = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        adapter: folder of the finished adapter.
        tokens: tokens that went through the model in training, all processes together; of a
            resumed run, those since it was resumed.
        seconds: wall time of training, without loading.
        losses: training loss by step.
        eval_loss: loss on the held-out problems at the end, or None when none were held out.
        size: bytes of the adapter's weights.
    """

    adapter: Path
    data: TrainingData
    encoded: Encoded
    tokens: int
    seconds: float
    losses: tuple[float, ...]
    eval_loss: float | None
    size: int


def train(
    config: TrainingConfig, *, home: Path, on_progress: Callable[[Progress], None] | None = None
) -> TrainingResult:
    """Train an adapter and write it with its card, metrics and loss curve.

    Args:
        config: all settings.
        home: cache of weights.
        on_progress: told of each step, in the first process.

    Raises:
        InputError: the data, the output folder or the settings cannot be used as given.
        WeightsError: base or adapter cannot be opened, or do not fit each other.
        UserError: the loss was lost, or memory ran out.
    """
    _one_gpu_per_process()
    if is_first() and not config.resume:
        check_new(config.output_dir)
    data = read_data(config.data_path, config.stage, config.labels)
    base = open_base(config, home)
    encoded = encode(data, Encoder(base.tokenizer, config.max_length), config)
    account = Account(config, data, encoded, base, fingerprint(base.model), processes())
    if is_first():
        prepare(config.output_dir, account.record(), resume=config.resume)
    with quiet_libraries():
        trainer = build_trainer(config, base, encoded)
        trainer.add_callback(Metrics(config.output_dir))
        trainer.add_callback(StopWhenLost(config.output_dir))
        if on_progress is not None:
            trainer.add_callback(TellProgress(on_progress))
        start = time.perf_counter()
        _run(trainer, config)
        seconds = time.perf_counter() - start
    return _finish(trainer, account, seconds)


def build_trainer(config: TrainingConfig, base: Base, encoded: Encoded) -> Any:
    """The trl trainer of the stage, over the base with its adapter."""
    model: Any = base.model
    peft_config: LoraConfig | None = _lora(config)
    if config.adapter is not None:
        model, peft_config = open_adapter(base, config.adapter), None
    datasets = (Dataset.from_list(encoded.train), _rows(encoded.evaluation))
    arguments = _arguments(config, base, evaluates=bool(encoded.evaluation))
    if config.stage == "dpo":
        trainer: Any = preference_trainer(
            config, arguments, model, peft_config, base.tokenizer, datasets
        )
    else:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                **arguments,
                max_length=config.max_length,
                packing=packs(config),
                completion_only_loss=True,
            ),
            train_dataset=datasets[0],
            eval_dataset=datasets[1],
            processing_class=base.tokenizer,
            peft_config=peft_config,
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return os.environ.get("RANK", "0") == "0"


def _lora(config: TrainingConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.targets,
        task_type="CAUSAL_LM",
    )


def _arguments(config: TrainingConfig, base: Base, *, evaluates: bool) -> dict[str, Any]:
    """Training arguments that both stages share."""
    return {
        "output_dir": str(config.output_dir / CHECKPOINTS),
        "per_device_train_batch_size": config.train_batch_size,
        "per_device_eval_batch_size": config.eval_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "num_train_epochs": config.num_epochs,
        "max_steps": config.max_steps or -1,
        "learning_rate": config.rate,
        "bf16": base.dtype == "bfloat16",
        "use_cpu": base.model.device.type == "cpu" and not torch.cuda.is_available(),
        "gradient_checkpointing": config.gradient_checkpointing,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_steps": config.save_steps,
        "save_total_limit": KEPT_CHECKPOINTS,
        "eval_strategy": "epoch" if evaluates else "no",
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "report_to": "none",
        "seed": config.seed,
    }


def _rows(rows: list[dict[str, Any]]) -> Dataset | None:
    return Dataset.from_list(rows) if rows else None


def _run(trainer: Any, config: TrainingConfig) -> None:
    checkpoint = last_good_checkpoint(config.output_dir) if config.resume else None
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if trainer.eval_dataset is not None and not _evaluated(trainer):
            trainer.evaluate()
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise what_to_lower(config, evaluating=not trainer.model.training) from error


def _evaluated(trainer: Any) -> bool:
    """Whether the last step has been evaluated."""
    state = trainer.state
    return any(
        "eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history
    )


def _finish(trainer: Any, account: Account, seconds: float) -> TrainingResult:
    """Write the adapter, in the first process, and say what was made."""
    history = trainer.state.log_history
    tokens = max(
        (int(entry["num_tokens"]) for entry in history if "num_tokens" in entry), default=0
    )
    evaluations = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    size = 0
    if is_first():
        model = trainer.accelerator.unwrap_model(trainer.model)
        assert isinstance(model, PeftModel)
        size = publish(model, account, history, seconds=seconds, tokens=tokens)
    trainer.accelerator.wait_for_everyone()
    return TrainingResult(
        adapter=account.config.output_dir,
        data=account.data,
        encoded=account.encoded,
        tokens=tokens,
        seconds=seconds,
        losses=tuple(entry["loss"] for entry in history if "loss" in entry),
        eval_loss=evaluations[-1] if evaluations else None,
        size=size,
    )


def _one_gpu_per_process() -> None:
    """Refuse what trl cannot do: one process over several GPUs.

    Raises:
        InputError: several GPUs are visible and there is one process.
    """
    count = torch.cuda.device_count()
    if count > 1 and processes() == 1:
        raise InputError(
            f"{count} GPUs are visible to one process; start one for each with: "
            f"accelerate launch --num_processes {count} -m vitarmm_agent.cli train … "
            "(or set CUDA_VISIBLE_DEVICES=0 to use one)"
        )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries from drawing bars and from reporting home; both are global switches.

    The warnings left out are of transformers about an argument that trl still goes by.
    """
    import datasets
    from huggingface_hub import constants

    shown, reports = datasets.is_progress_bar_enabled(), constants.HF_HUB_DISABLE_TELEMETRY
    datasets.disable_progress_bars()
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*checkpointing(_enable|_disable)?` is deprecated"
            )
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = reports
        if shown:
            datasets.enable_progress_bars()

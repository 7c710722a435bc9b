"""The second stage: direct preference optimization over pairs of decisions.

The reference is the model as the stage began: the base alone, or the base with the adapter that
training goes on from.
"""

from __future__ import annotations

from typing import Any

from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from vitarmm_agent.training.config import TrainingConfig


def preference_trainer(
    config: TrainingConfig,
    arguments: dict[str, Any],
    model: Any,
    peft_config: Any,
    tokenizer: Any,
    datasets: tuple[Any, Any],
) -> DPOTrainer:
    """The trainer of trl over pairs.

    Args:
        config: all settings.
        arguments: training arguments that both stages share.
        model: base, or peft model to go on with.
        peft_config: adapter to add, or None when the model has one.
        tokenizer: the base's.
        datasets: rows to learn from and rows to evaluate on (or None).
    """
    return DPOTrainer(
        model=model,
        args=DPOConfig(**arguments, max_length=config.max_length, beta=config.beta),
        train_dataset=datasets[0],
        eval_dataset=datasets[1],
        processing_class=tokenizer,
        peft_config=peft_config,
    )

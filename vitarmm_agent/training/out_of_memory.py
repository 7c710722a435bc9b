"""Running out of memory, told as the setting to lower."""

from __future__ import annotations

from vitarmm_agent.errors import UserError
from vitarmm_agent.training.config import TrainingConfig

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")


def ran_out(error: BaseException) -> bool:
    """Whether an error is one of memory, on a GPU or on the CPU."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(s in str(error).lower() for s in SIGNS)


def what_to_lower(config: TrainingConfig, *, evaluating: bool) -> UserError:
    """The error for a run that ran out of memory, by what would help most."""
    remedies = []
    if evaluating:
        if config.eval_batch_size > 1:
            remedies.append(f"lower --eval-batch-size (it is {config.eval_batch_size})")
    elif config.train_batch_size > 1:
        half = max(1, config.train_batch_size // 2)
        steps = config.gradient_accumulation_steps * config.train_batch_size // half
        remedies.append(
            f"lower --train-batch-size from {config.train_batch_size} to {half} "
            f"(--gradient-accumulation-steps {steps} keeps the result the same)"
        )
    if not config.gradient_checkpointing:
        remedies.append("turn --gradient-checkpointing on")
    remedies.append(f"lower --max-length (it is {config.max_length})")
    if not config.qlora:
        remedies.append("hold the base in 4 bits with --qlora (CUDA)")
    during = "evaluation" if evaluating else "training"
    return UserError(
        f"out of memory in {during}: {'; or '.join(remedies)}. "
        "Checkpoints are kept: the run can go on from the last one as --adapter"
    )

"""From the published on-disk layout of VITA to a whole folder of transformers."""

from __future__ import annotations

from pathlib import Path

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.vita.modeling import VitaForConditionalGeneration
from vitarmm_agent.models.vita.processing import VitaProcessor

DTYPES = ("bfloat16", "float16", "float32")


def convert(
    source: str | Path,
    target: str | Path,
    vita_model_type: str | None = None,
    dtype: str | None = None,
) -> Path:
    """Write a checkpoint as a normal transformers folder, which loads without any conversion.

    Args:
        source: folder in the published layout.
        target: folder to write; made when it is not there.
        vita_model_type: overrides what the folder says.
        dtype: ``bfloat16``, ``float16`` or ``float32``; default: the checkpoint's.

    Raises:
        InputError: ``target`` is not empty, or ``source`` is no VITA checkpoint.
        WeightsError: tensors are missing or misshapen.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is not empty; name a new folder")
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is unknown; use one of {', '.join(DTYPES)}")
    processor = VitaProcessor.from_pretrained(source, vita_model_type=vita_model_type)
    model = VitaForConditionalGeneration.from_pretrained(
        source, vita_model_type=vita_model_type, **({"dtype": dtype} if dtype else {})
    )
    model.save_pretrained(target)
    processor.save_pretrained(target)
    return target

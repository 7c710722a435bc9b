"""Processors of vision-language models, for still pictures, without torchvision."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vitarmm_agent.models import safely

logger = logging.getLogger(__name__)


def open_processor(folder: Path, model_type: str) -> Any:
    """The processor of a vision-language model, its images prepared with Pillow.

    Some processors also take videos, which needs torchvision. Where it is not installed, theirs is
    opened without that part.

    Raises:
        OSError, ValueError, ImportError: transformers cannot open it.
    """
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, backend="pil", **safely.FOLDER)
    except ImportError as error:
        if "ideo" not in str(error):
            raise
        logger.info("%s: opened without its video part: %s", folder, str(error).strip())
        return _without_video(folder, model_type, error)


def _without_video(folder: Path, model_type: str, cause: ImportError) -> Any:
    import transformers
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.models.auto import processing_auto

    name = processing_auto.PROCESSOR_MAPPING_NAMES.get(model_type)  # type: ignore[attr-defined]
    if name is None:
        raise cause
    still = _still_class(getattr(transformers, name))
    parts: dict[str, Callable[[], Any]] = {
        "tokenizer": partial(AutoTokenizer.from_pretrained, folder, **safely.FOLDER),
        "image_processor": partial(
            AutoImageProcessor.from_pretrained, folder, backend="pil", **safely.FOLDER
        ),
        "video_processor": lambda: None,
    }
    wanted = still.get_attributes()
    if not set(wanted) <= set(parts):
        raise cause
    settings, _ = still.get_processor_dict(folder)
    return still.from_args_and_dict([parts[part]() for part in wanted], settings)


def _still_class(processor_class: Any) -> Any:
    """The class, whose video processor may be None."""

    class StillProcessor(processor_class):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument is None:
                return type(None)
            return super().check_argument_for_proper_class(argument_name, argument)

    return StillProcessor

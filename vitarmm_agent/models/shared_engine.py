"""Weights on disk become a shared :class:`Engine`."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.models import safely
from vitarmm_agent.models.engine import Engine
from vitarmm_agent.models.processors import open_processor
from vitarmm_agent.weights.store import check_model_folder

END_TOKENS = frozenset(
    {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "<end_of_turn>"}
)

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_building: dict[Hashable, threading.Lock] = {}
_shared: weakref.WeakValueDictionary[Hashable, Engine] = weakref.WeakValueDictionary()


def shared_engine(key: Hashable, build: Callable[[], Engine]) -> Engine:
    """The engine of that key, built when no chat model holds one; threads wait for each other.

    It is freed when the last chat model over it is.
    """
    with _lock:
        building = _building.setdefault(key, threading.Lock())
    with building:
        engine = _shared.get(key)
        if engine is None:
            with quiet_bars():
                engine = _shared[key] = build()
        return engine


@contextmanager
def quiet_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars, which are for the command line to draw."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def default_device() -> str:
    """The best device there is: ``cuda``, ``mps`` or ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def open_folder(folder: Path, *, name: str, dtype: str, device: str) -> Engine:
    """Load a transformers folder: a language model, or a vision-language model.

    Raises:
        WeightsError: it is no such folder, or transformers cannot open it.
    """
    from transformers import AutoConfig

    check_model_folder(folder)
    try:
        config = AutoConfig.from_pretrained(folder, **safely.FOLDER)
        model, processor = _open(folder, config, dtype)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise WeightsError(f"{folder} cannot be opened: {safely.reason(folder, error)}") from error
    tokenizer = getattr(processor, "tokenizer", processor)
    return Engine(
        model.to(device),
        tokenizer,
        name=name,
        stop_ids=stop_ids(model, tokenizer),
        context=getattr(config.get_text_config(), "max_position_embeddings", None),
        processor=None if processor is tokenizer else processor,
    )


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end a reply: those of tokenizer, configuration and generation configuration.

    Control tokens that end a turn by convention count too: GGUF files name only one of them.
    """
    added = tokenizer.added_tokens_decoder.items()
    found = {i for i, token in added if token.special and token.content in END_TOKENS}
    for source in (tokenizer, model.config.get_text_config(), model.generation_config):
        ids = getattr(source, "eos_token_id", None)
        found.update([ids] if isinstance(ids, int) else ids or ())
    return frozenset(found)


def _open(folder: Path, config: Any, dtype: str) -> tuple[Any, Any]:
    """Model, and its processor or tokenizer."""
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
    )

    if getattr(config, "vision_config", None) is None:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **safely.WEIGHTS)
        return model, AutoTokenizer.from_pretrained(folder, **safely.FOLDER)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, **safely.WEIGHTS)
    return model, open_processor(folder, config.model_type)

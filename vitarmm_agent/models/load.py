"""From a spec to a chat model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.settings import Settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

FORMS = (
    "local:NAME_OR_PATH, local:NAME_OR_PATH+ADAPTER_PATH, vita:PATH, scripted:FILE, "
    "or provider:model (such as openai:gpt-5-mini)"
)


def load_chat_model(
    spec: str, *, settings: Settings | None = None, **options: Any
) -> BaseChatModel:
    """The chat model that a spec names.

    Args:
        spec: ``local:NAME_OR_PATH`` (``+ADAPTER_PATH`` for a peft adapter), ``vita:PATH``,
            ``scripted:FILE``, or ``provider:model`` for a hosted one.
        settings: where weights lie and how to decode; read from all sources when None.
        options: fields of the chat model, over the settings.

    Raises:
        InputError: a spec of no known form.
        MissingExtraError: what it needs is not installed.
        WeightsError: its weights are missing or cannot be opened.
    """
    settings = settings or Settings.load()
    scheme, colon, rest = spec.partition(":")
    if not colon or not scheme or not rest:
        raise InputError(f"unknown model {spec!r}; use {FORMS}")
    model = SCHEMES.get(scheme, _hosted)(spec, rest, settings, options)
    if settings.images == "ocr":
        from vitarmm_agent.models.ocr import OcrChatModel

        return OcrChatModel.over(model)
    return model


def _local(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    try:
        from vitarmm_agent.models.local import LocalChatModel
    except ImportError as error:
        raise MissingExtraError(f"the model {spec!r}", "local") from error
    weights, _, adapter = rest.partition("+")
    return LocalChatModel.load(
        weights,
        home=settings.home,
        adapter=adapter or None,
        prefix_bytes=settings.prefix_cache_mb * 1024 * 1024,
        **_decoding(settings) | options,
    )


def _vita(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    try:
        from vitarmm_agent.models.vita.chat import VitaChatModel
    except ImportError as error:
        raise MissingExtraError(f"the model {spec!r}", "local") from error
    path, _, adapter = rest.partition("+")
    model: BaseChatModel = VitaChatModel.load(
        Path(path),
        adapter=adapter or None,
        prefix_bytes=settings.prefix_cache_mb * 1024 * 1024,
        **_decoding(settings) | options,
    )
    return model


def _scripted(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    from vitarmm_agent.models.scripted import ScriptedChatModel

    return ScriptedChatModel.read(rest)


def _hosted(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    """A model of a provider that LangChain knows."""
    from langchain.chat_models import init_chat_model

    provider = spec.partition(":")[0]
    values = _decoding(settings) | options
    if provider != "openai":
        values.pop("seed", None)  # not every provider knows it
    elif settings.base_url:
        values.setdefault("base_url", settings.base_url)
        values.setdefault("api_key", "none")
    try:
        return init_chat_model(spec, **{k: v for k, v in values.items() if v is not None})
    except ImportError as error:
        if provider == "openai":
            raise MissingExtraError(f"the model {spec!r}", "openai") from error
        raise InputError(f"the model {spec!r} cannot be loaded: {error}") from error
    except ValueError as error:
        raise InputError(f"unknown model {spec!r}: {error}; use {FORMS}") from error


def _decoding(settings: Settings) -> dict[str, Any]:
    return {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed,
    }


SCHEMES: dict[str, Callable[[str, str, Settings, dict[str, Any]], BaseChatModel]] = {
    "local": _local,
    "vita": _vita,
    "scripted": _scripted,
}
"""Forms of spec that run here; every other is a provider's."""

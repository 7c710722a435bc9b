"""From a spec to a chat model."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError, MissingExtraError, UserError, WeightsError
from vitarmm_agent.redaction import public_address
from vitarmm_agent.servers.openai import client_errors, is_openai, server, thinks
from vitarmm_agent.settings import Settings
from vitarmm_agent.user_path import user_path

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vitarmm_agent.llama.process import Options

FORMS = (
    "local:NAME_OR_PATH, local:NAME_OR_PATH+ADAPTER_PATH, vita:PATH, scripted:FILE, "
    "or provider:model (such as openai:gpt-5-mini)"
)
_CLAUDE = re.compile(
    r"claude-(?:[a-z]{1,20}-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?", re.IGNORECASE
)
"""Its version: ``claude-sonnet-5``, ``claude-opus-4-7``, ``claude-3-5-haiku-20241022``."""


def load_chat_model(
    spec: str, *, settings: Settings | None = None, **options: Any
) -> BaseChatModel:
    """The chat model that a spec names.

    Args:
        spec: ``local:NAME_OR_PATH`` (``+ADAPTER_PATH`` for a LoRA adapter), ``vita:PATH``,
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
        raise InputError(f"unknown model {spec!r}{_perhaps(spec, settings)}; use {FORMS}")
    try:
        model = SCHEMES.get(scheme, _hosted)(spec, rest, settings, options)
    except ValidationError as error:
        faults = error_lines(error, got=False)  # it may be a key
        raise InputError(f"options of {spec!r} cannot be used: {faults}") from error
    if settings.images == "ocr":
        from vitarmm_agent.models.ocr import OcrChatModel

        return OcrChatModel.over(model)
    return model


def _perhaps(spec: str, settings: Settings) -> str:
    """What a name without a provider may be meant to be."""
    from vitarmm_agent.weights import CATALOG

    if settings.base_url:
        return f" (did you mean 'openai:{spec}', at {public_address(settings.base_url)}?)"
    return f" (did you mean 'local:{spec}'?)" if spec in CATALOG else ""


def _local(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    """A GGUF file on llama.cpp, or a folder on transformers."""
    weights, adapter = _parts(spec, rest)
    given: dict[str, Any] = {
        "home": settings.home,
        "adapter": adapter or None,
        **_decoding(settings),
        **options,
    }
    if _is_folder(weights, settings):
        _require(spec, adapter)
        _calm_threads()
        from vitarmm_agent.models.folder import FolderChatModel

        return FolderChatModel.load(weights, **given)
    from vitarmm_agent.models.local import LocalChatModel

    return LocalChatModel.load(weights, **{"options": _held(settings)} | given)


def _parts(spec: str, rest: str) -> tuple[str, str]:
    """Weights and adapter of a spec; a path that has a plus in it is one path.

    Raises:
        InputError: nothing stands behind the plus.
    """
    if "+" not in rest or user_path(rest).exists():
        return rest, ""
    weights, _, adapter = rest.partition("+")
    if not adapter:
        raise InputError(
            f"no adapter stands behind the plus of {spec!r}; leave it out, or name one"
        )
    return weights, adapter


def adapter_hashes(specs: Iterable[str | None]) -> dict[str, str]:
    """By the spec that names it behind a plus, what an adapter's files hold, hashed.

    Raises:
        InputError: nothing stands behind the plus.
    """
    from vitarmm_agent.models.adapters import content_hash

    found: dict[str, str] = {}
    for spec in filter(None, specs):
        scheme, _, rest = spec.partition(":")
        if scheme in ("local", "vita") and (adapter := _parts(spec, rest)[1]):
            found[spec] = content_hash(user_path(adapter))
    return found


def _is_folder(weights: str, settings: Settings) -> bool:
    """Whether weights are a folder for transformers, rather than a GGUF file.

    Raises:
        InputError: they are an embedder's.
        WeightsError: they are missing, or a folder that holds no model.
    """
    from vitarmm_agent.weights import CATALOG, resolve
    from vitarmm_agent.weights.store import check_model_folder

    known = CATALOG.get(weights)
    if known is not None and known.kind == "embedding":
        raise InputError(f"{weights!r} gives vectors and writes no text; name a chat model")
    path = resolve(weights, settings.home)
    if path.is_dir():
        check_model_folder(path)
        return True
    return False


def look_for(spec: str, settings: Settings) -> None:
    """Look for what the model of a spec needs, without loading weights or asking a server.

    Raises:
        UserError: as :func:`load_chat_model`, as far as it can be seen from here.
    """
    scheme, _, rest = spec.partition(":")
    if scheme not in ("local", "vita") or not rest:
        load_chat_model(spec, settings=settings)
        return
    from vitarmm_agent.llama.gguf_file import GgufFile
    from vitarmm_agent.weights import resolve
    from vitarmm_agent.weights.store import check_model_folder

    weights, adapter = _parts(spec, rest)
    if scheme == "vita":
        check_model_folder(user_path(weights))
        _require(spec, adapter)
    elif _is_folder(weights, settings):
        _require(spec, adapter)
    else:
        file = GgufFile.open(resolve(weights, settings.home))
        file.check_chat(weights)
        file.check_whole()
    if adapter and not user_path(adapter).exists():
        raise WeightsError(f"the adapter of {spec!r} is not there: {adapter!r}; name one that is")


def begin(spec: str, settings: Settings) -> object:
    """Begin to read the weights that a spec names, if it names a GGUF file alone.

    Returns:
        What is to be held until the chat model is loaded. What is wrong with the spec, loading says.
    """
    from vitarmm_agent.llama.server import shared_server
    from vitarmm_agent.weights import resolve

    scheme, _, rest = spec.partition(":")
    try:
        if scheme != "local" or _parts(spec, rest)[1] or _is_folder(rest, settings):
            return None
        server = shared_server(resolve(rest, settings.home), _held(settings))
    except UserError:
        return None
    server.start()
    return server


def _held(settings: Settings) -> Options:
    """How the settings say that a GGUF file is held."""
    from vitarmm_agent.llama.process import Options

    return Options(
        context=settings.context,
        slots=settings.parallel,
        threads=settings.threads,
        cache_mb=settings.prefix_cache_mb,
    )


def _vita(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    path, adapter = _parts(spec, rest)
    _require(spec, adapter)
    _calm_threads()
    from vitarmm_agent.models.vita.chat import VitaChatModel

    tiles = {
        "min_tiles": settings.min_tiles,
        "max_tiles": settings.max_tiles,
        "use_thumbnail": settings.thumbnail,
    }
    model: BaseChatModel = VitaChatModel.load(
        path,
        adapter=adapter or None,
        **{"vita_model_type": settings.vita_model_type} | _decoding(settings) | tiles | options,
    )
    return model


def _require(spec: str, adapter: str) -> None:
    """Look for the packages of models on transformers before anything of them is imported.

    Raises:
        MissingExtraError: one is not installed.
    """
    packages = ["torch", "transformers", "accelerate", "xgrammar"]
    if adapter:
        packages.append("peft")
    if any(find_spec(package) is None for package in packages):
        raise MissingExtraError(f"the model {spec!r}", "torch")


def _calm_threads() -> None:
    """Let OpenMP threads sleep soon when they wait, unless the user has set how long they spin.

    Where another process wants the same core, spinning slows generation down 28-fold (measured on
    two cores: 0.54 tokens/s by default, 15.1 with this; no difference on an idle machine). It is
    read once, when torch is first loaded.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _scripted(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    from vitarmm_agent.models.scripted import ScriptedChatModel

    return ScriptedChatModel.read(rest)


def _hosted(spec: str, rest: str, settings: Settings, options: dict[str, Any]) -> BaseChatModel:
    """A model of a provider that LangChain knows, or of a server of one's own."""
    provider = spec.partition(":")[0]
    values = _decoding(settings)
    if provider == "openai":
        values |= _server(settings, options)
    else:
        del values["seed"]  # not every provider knows it
    given = {name: value for name, value in (values | options).items() if value is not None}
    if (provider == "openai" and thinks(rest)) or sets_its_temperature(rest):
        given["temperature"] = options.get("temperature")
    try:
        if provider == "openai":
            from vitarmm_agent.servers.connections import connections

            given = connections(given.get("base_url"), given.get("openai_proxy")) | given
            if not is_openai(given.get("base_url")):
                from vitarmm_agent.models.openai_server import OpenAIServerModel

                return OpenAIServerModel(model=rest, **given)
        from langchain.chat_models import init_chat_model

        model: BaseChatModel = init_chat_model(spec, **given)
        _check_key(spec, model)
    except ImportError as error:
        if provider == "openai":
            raise MissingExtraError(f"the model {spec!r}", "openai") from error
        raise InputError(f"the model {spec!r} cannot be loaded: {error}") from error
    except (ValidationError, InputError):
        raise
    except client_errors() as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"unknown model {spec!r} ({reason}); use {FORMS}") from error
    return model


def sets_its_temperature(model: str) -> bool:
    """Whether a name is that of a Claude from 4.7 on, which answers 400 to any temperature but its own."""
    named = _CLAUDE.search(model)
    return named is not None and (int(named[1]), int(named[2] or 0)) >= (4, 7)


def _check_key(spec: str, model: BaseChatModel) -> None:
    """Refuse a client that was made without its key, which it would say at its first call only.

    Raises:
        InputError: the key is empty, and no token stands in its place.
    """
    for name, variable in model.lc_secrets.items():
        empty = name.endswith("api_key") and not _plain(getattr(model, name, None))
        if empty and not os.environ.get(variable.replace("API_KEY", "AUTH_TOKEN")):
            raise InputError(f"no key for {spec!r}: set {variable}")


def _plain(secret: Any) -> str:
    """The text of a secret, or nothing."""
    return str(secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret or "")


def _server(settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    """Where ``openai:`` models run.

    Raises:
        InputError: neither a server nor a key is given, or the server's address cannot be used.
    """
    base_url = options.pop("base_url", None) or settings.base_url
    where = server("the openai models", base_url, options.pop("api_key", None))
    more = {"extra_body": settings.extra_body} if "base_url" in where else {}
    # Its options would not be used, and it would warn that proxies are not: they are, by our clients.
    return {"stream_usage": True, "http_socket_options": ()} | where | more


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

"""What :meth:`ReasoningAgent.open` takes besides its own arguments, for type checkers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict

from vitarmm_agent.errors import InputError
from vitarmm_agent.nearest import did_you_mean
from vitarmm_agent.settings import Settings


class OpenOptions(TypedDict, total=False):
    """The fields of :class:`~vitarmm_agent.settings.Settings` by name; ``None`` leaves one as it is.

    Who solves, judges, teaches and remembers are arguments of their own, which take objects as well.
    """

    judge_pass_precision: float | None
    judge_fail_precision: float | None
    trusted_precision: float | None
    teacher_calls: int | None
    rmm_think: bool | None
    embedder: str | None
    embedder_base_url: str | None
    max_iterations: int | None
    oracle: bool | None
    max_seconds: float | None
    max_run_tokens: int | None
    images: Literal["model", "ocr"] | None
    server_hosts: tuple[str, ...] | None
    server_origins: tuple[str, ...] | None
    page_models: tuple[str, ...] | None
    run_models: tuple[str, ...] | None
    run_verifiers: tuple[str, ...] | None
    run_memories: tuple[str, ...] | None
    local_files: bool | None
    temperature: float | None
    retry_temperature: float | None
    max_tokens: int | None
    seed: int | None
    base_url: str | None
    extra_body: dict[str, Any] | None
    context: int | None
    parallel: int | None
    threads: int | None
    prefix_cache_mb: int | None
    vita_model_type: str | None
    min_tiles: int | None
    max_tiles: int | None
    thumbnail: bool | None
    home: str | Path | None
    data_dir: str | Path | None
    database: str | None
    namespace: tuple[str, ...] | None
    upkeep_hours: float | None
    keep_runs: str | None
    keep_history: str | None


def one_of(what: str, value: object, allowed: Iterable[object]) -> None:
    """Refuse a value that is not one of those there are; ``None`` is nothing said.

    Raises:
        InputError: it is none of them; the message lists them.
    """
    known = [str(one) for one in allowed]
    if value is not None and value not in known:
        near = did_you_mean(str(value), known)
        raise InputError(f"{what} must be one of {', '.join(known)}; got {value!r:.100}{near}")


def check_batch(problems: object, max_concurrency: int) -> None:
    """Refuse a single problem in place of several, and a batch of which none would run.

    Raises:
        InputError: it is one.
    """
    if isinstance(problems, str) or not isinstance(problems, Sequence):
        raise InputError(
            f"problems must be a list, got {problems!r:.100}; solve takes a single one"
        )
    if max_concurrency < 1:
        raise InputError(f"max_concurrency must be 1 or more, got {max_concurrency!r}")


def settings_with(given: Settings | None, options: Mapping[str, Any]) -> Settings:
    """The settings that were given, or are found, with options over them.

    Raises:
        InputError: something else was given, or a value that cannot be used.
    """
    if given is not None and not isinstance(given, Settings):
        raise InputError(
            f"settings must be a Settings, got {given!r:.100}; give options by name, max_iterations=2"
        )
    base = given.model_dump(exclude_unset=True) if given else {}
    return Settings.load(**{**base, **options})


def check_names(options: Mapping[str, Any], others: Iterable[str]) -> None:
    """Refuse an option that is not there.

    Args:
        options: what was given by name.
        others: further names that could have been meant.

    Raises:
        InputError: one is no setting; the message names the nearest there is.
    """
    known = [*Settings.model_fields, *others]
    for name in options:
        if name not in Settings.model_fields:
            raise InputError(
                f"option {name!r} is unknown{did_you_mean(name, known)}; options are the fields of "
                "Settings, listed in docs/configuration.md"
            )

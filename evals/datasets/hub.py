"""Rows by the ``datasets`` library: from the hub, or from a folder it can load."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.evals.datasets.reading import Row
from vitarmm_agent.evals.datasets.records import Format


def read_hub(form: Format, path: str, split: str | None) -> tuple[list[Row], str, str]:
    """Rows, a SHA-256 over them, and their source in words.

    Args:
        form: the benchmark.
        path: ``hub:``, ``hub:OWNER/NAME``, ``hub:OWNER/NAME:CONFIGURATION``, or a folder.
        split: default: the one that the benchmark is usually evaluated on.

    Raises:
        InputError: there is no hub, repository, configuration or split of that name.
        MissingExtraError: ``datasets`` is not installed.
    """
    try:
        import datasets  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("reading a benchmark by its hub name", "eval") from None
    name, configuration, usual = _named(form, path)
    used = split or usual
    try:
        table = datasets.load_dataset(name, configuration, split=used)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(_failed(form, name, used, error)) from None
    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    digest = hashlib.sha256()
    rows = []
    for number, fields in enumerate(table, start=1):
        digest.update(json.dumps(fields, sort_keys=True, default=_plain).encode())
        rows.append(Row(number, {**fields, **_split_mark(fields, used)}))
    if not rows:
        raise InputError(f"split {used!r} of {name} is empty; choose another")
    return rows, digest.hexdigest(), _source(path, name, configuration, used)


def _named(form: Format, path: str) -> tuple[str, str | None, str | None]:
    if not path.startswith("hub:"):
        return path, None, form.hub[2] if form.hub else "train"
    name, _, configuration = path.removeprefix("hub:").partition(":")
    if name:
        same = form.hub is not None and name == form.hub[0]
        usual = form.hub[1] if same and form.hub else None
        return name, configuration or usual, form.hub[2] if form.hub else "train"
    if form.hub is None:
        raise InputError(f"{form.title} has no usual hub repository; give hub:OWNER/NAME")
    return form.hub


def _failed(form: Format, name: str, split: str | None, error: Exception) -> str:
    words = str(error).strip().splitlines()
    reason = words[0][:300] if words else type(error).__name__
    return (
        f"{form.title} cannot be read from {name!r} (split {split!r}): {reason}. "
        "Where no hub can be reached, download the benchmark elsewhere and give its file"
    )


def _split_mark(fields: dict[str, Any], split: str | None) -> dict[str, Any]:
    return {} if "split" in fields or "subject" not in fields else {"split": split}


def _source(path: str, name: str, configuration: str | None, split: str | None) -> str:
    if not path.startswith("hub:"):
        return Path(path).name
    return ":".join(part for part in ("hub", name, configuration, split) if part)


def _plain(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)

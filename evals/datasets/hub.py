"""Rows by the ``datasets`` library: from the hub, or from a folder it can load."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.evals.datasets.reading import Loaded, Row
from vitarmm_agent.evals.datasets.records import Format


def read_hub(form: Format, path: str, split: str | None) -> Loaded:
    """Rows of one split.

    Args:
        form: the benchmark.
        path: ``hub:``, ``hub:OWNER/NAME``, ``hub:OWNER/NAME:CONFIGURATION``, or a folder.
        split: default: the one that the benchmark is usually evaluated on, or the only one.

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
        if path.startswith("hub:"):
            table = datasets.load_dataset(name, configuration, split=used)
        else:
            used, table = _of_folder(datasets.load_dataset(name), split, usual)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise InputError(_failed(form, path, name, error)) from None
    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    digest = hashlib.sha256()
    rows = []
    for number, fields in enumerate(table, start=1):
        digest.update(json.dumps(fields, sort_keys=True, default=_plain).encode())
        rows.append(Row(number, fields))
    if not rows:
        raise InputError(f"split {used!r} of {name} is empty; choose another")
    source = _source(path, name, configuration, used)
    return Loaded(rows, digest.hexdigest(), source, used or "")


def _of_folder(tables: Any, split: str | None, usual: str | None) -> tuple[str, Any]:
    """The split asked for, the usual one, or the only one, whose name then says nothing."""
    if split in tables or (split is None and usual in tables):
        chosen = split or usual or ""
        return chosen, tables[chosen]
    if len(tables) != 1 or (split is not None and list(tables) != ["train"]):
        raise ValueError(f"its splits are {', '.join(tables)}; choose one of them")
    return split or "", next(iter(tables.values()))


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


def _failed(form: Format, path: str, name: str, error: Exception) -> str:
    words = str(error).strip().splitlines()
    reason = (words[0][:300] if words else type(error).__name__).rstrip(".")
    text = f"{form.title} cannot be read from {name!r}: {reason}"
    if not path.startswith("hub:"):
        return text
    return f"{text}. Where no hub can be reached, fetch the benchmark elsewhere and give its file"


def _source(path: str, name: str, configuration: str | None, split: str | None) -> str:
    if not path.startswith("hub:"):
        return Path(path).name
    return ":".join(part for part in ("hub", name, configuration, split) if part)


def _plain(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)

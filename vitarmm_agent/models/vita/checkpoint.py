"""What lies in a checkpoint folder, read from the headers of its safetensors files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.json_text import parse_json

SHOWN = 10
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class TensorHeader:
    """Shape, safetensors dtype name (``BF16``, ``F16``, ``F32`` …) and file of one tensor."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        WeightsError: the file is missing or holds something else.
    """
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise WeightsError(f"{path} is no JSON: {error}; download it again") from None
    if not isinstance(data, dict):
        raise WeightsError(f"{path} holds a {type(data).__name__}, not an object")
    return data


def weight_files(folder: Path) -> list[Path]:
    """Safetensors files at the top level of a folder: those of its index, or the only one.

    Raises:
        WeightsError: there is none, or one that the index names is missing.
    """
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise WeightsError(
                f"{folder} lacks {len(missing)} of {len(names)} weight files: {listed(missing)}; "
                "download the rest"
            )
        return [folder / name for name in names]
    if not (folder / WEIGHTS).is_file():
        raise WeightsError(
            f"{folder} holds neither {WEIGHTS} nor {INDEX}; is it the checkpoint folder?"
        )
    return [folder / WEIGHTS]


def read_headers(folder: Path) -> dict[str, TensorHeader]:
    """Headers of all tensors of a folder; no weights are read.

    Raises:
        WeightsError: no weight files, or one that is damaged.
    """
    from safetensors import SafetensorError, safe_open

    headers = {}
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():
                    part = tensors.get_slice(name)
                    headers[name] = TensorHeader(tuple(part.get_shape()), part.get_dtype(), file)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file} is damaged ({error}); download it again") from None
    return headers


def check_tensors(
    folder: Path,
    headers: Mapping[str, TensorHeader],
    expected: Mapping[str, tuple[int, ...]],
    hint: str = "",
) -> None:
    """Refuse a checkpoint that does not fill the model.

    Raises:
        WeightsError: tensors are missing or of another shape; at most ten are named.
    """
    missing = [f"{name} (missing)" for name in expected if name not in headers]
    misshapen = [
        f"{name} (is {list(headers[name].shape)}, should be {list(shape)})"
        for name, shape in expected.items()
        if name in headers and headers[name].shape != shape
    ]
    if missing or misshapen:
        raise WeightsError(
            f"{folder} does not fit its config: {len(missing)} tensors are missing, "
            f"{len(misshapen)} have another shape: {listed([*misshapen, *missing])}{hint}"
        )


def listed(names: Iterable[str]) -> str:
    """At most ten of the names, and how many more there are."""
    everything = list(names)
    more = f" and {len(everything) - SHOWN} more" if len(everything) > SHOWN else ""
    return ", ".join(everything[:SHOWN]) + more

"""Rows of a file, each with its line; images of a folder."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.records import RowError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.media import MIMES, ImageRef, inspect_image, read_image_bytes

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv")
MAX_BYTES = 512 * 2**20
"""Of a file's text, however small it is compressed."""


class Row(NamedTuple):
    """One row: its fields, or why it has none; and its file, where there are several."""

    line: int
    fields: Mapping[str, Any]
    damage: str = ""
    file: str = ""


class Loaded(NamedTuple):
    """Rows with where they are from.

    Attributes:
        sha256: of the file, or of the rows where there is no one file.
        source: in words.
        split: known from the source, or empty.
    """

    rows: list[Row]
    sha256: str
    source: str
    split: str = ""


def read_file(path: Path) -> Loaded:
    """Rows of a ``.jsonl``, ``.json`` or ``.csv`` file, plain or ``.gz``.

    Raises:
        InputError: it is missing, empty, no such file, or not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read: {error.strerror}; check the path"
        ) from None
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{str(path)!r} is of no kind that is read; use {', '.join(SUFFIXES)}, plain or .gz"
        )
    text = _text(path, data)
    if not text.strip():
        raise InputError(f"{str(path)!r} is empty; check the file")
    if suffix == ".csv":
        rows = list(_csv(text))
    elif suffix == ".json":
        rows = _json(path, text)
    else:
        rows = list(_lines(text))
    if not rows:
        raise InputError(f"{str(path)!r} holds no rows; check the file")
    return Loaded(rows, hashlib.sha256(data).hexdigest(), path.name)


def csv_files(folder: Path) -> list[Path]:
    """The CSV files of a folder, by name, as MMLU has one for each subject."""
    return sorted(path for path in folder.iterdir() if path.name.endswith((".csv", ".csv.gz")))


def read_files(folder: Path, files: Sequence[Path]) -> Loaded:
    """Rows of several files, each with the name of its own.

    Raises:
        InputError: as :func:`read_file`.
    """
    rows: list[Row] = []
    digest = hashlib.sha256()
    for file in files:
        loaded = read_file(file)
        digest.update(f"{file.name} {loaded.sha256}\n".encode())
        rows += [row._replace(file=file.name) for row in loaded.rows]
    return Loaded(rows, digest.hexdigest(), folder.name)


def unpacked(path: Path, data: bytes) -> bytes:
    """The bytes of a file, of a ``.gz`` file those inside; a small one may hold a thousandfold.

    Raises:
        InputError: there are more than 512 MiB.
        OSError, EOFError, zlib.error: it is a damaged ``.gz`` file.
    """
    if data[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(data)) as file:
            data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{str(path)!r} holds more than {MAX_BYTES // 2**20} MiB; split it")
    return data


def _text(path: Path, data: bytes) -> str:
    try:
        return unpacked(path, data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{str(path)!r} is a damaged .gz file: {error}; fetch it again") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start}); check the file"
        ) from None


def _lines(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            yield Row(number, {}, f"is no JSON: {error}")
            continue
        yield _row(number, value)


def _row(number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    return Row(number, {}, f"is a JSON {type(value).__name__}, not an object")


def _json(path: Path, text: str) -> list[Row]:
    """An array of rows, an object of rows by their id, or JSON lines under the name ``.json``."""
    try:
        value = parse_json(text)
    except ValueError as error:
        rows = list(_lines(text))
        if len(rows) > 1 and not rows[0].damage:
            return rows
        raise InputError(f"{str(path)!r} is no JSON: {error}; check the file") from None
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        value = [{"pid": key, **fields} for key, fields in value.items()]
    elif isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise InputError(f"{str(path)!r} holds a JSON {type(value).__name__}, not rows")
    return [_row(number, item) for number, item in enumerate(value, start=1)]


def _csv(text: str) -> Iterator[Row]:
    """MMLU's CSV: headerless with a letter last, or with a header."""
    lines = csv.reader(io.StringIO(text, newline=""))
    header: list[str] | None = None
    try:
        for number, cells in enumerate(lines):
            if not cells:
                continue
            if number == 0 and "question" in (names := [c.strip().casefold() for c in cells]):
                header = names
                continue
            yield Row(lines.line_num, *_csv_fields(header, cells))
    except csv.Error as error:
        yield Row(lines.line_num, {}, f"is no CSV: {error}")


def _csv_fields(header: list[str] | None, cells: list[str]) -> tuple[dict[str, Any], str]:
    if header is None:
        if len(cells) != 6:
            return {}, f"has {len(cells)} columns; a headerless MMLU row has 6"
        return {"question": cells[0], "choices": cells[1:5], "answer": cells[5]}, ""
    if len(cells) != len(header):
        return {}, f"has {len(cells)} columns; the header has {len(header)}"
    named = dict(zip(header, cells, strict=True))
    keys = [k for k in named if k in ("a", "b", "c", "d", "e") or k[:6] == "choice" and k[6:]]
    fields: dict[str, Any] = {k: v for k, v in named.items() if k and k not in keys}
    if keys:
        fields["choices"] = [named[key] for key in sorted(keys)]
        if keys[0].startswith("choice") and str(fields.get("answer", "")).strip().isdecimal():
            fields["answer"] = int(fields["answer"])
    elif "choices" in fields:
        try:
            fields["choices"] = parse_json(fields["choices"])
        except ValueError:
            return {}, "choices is no JSON list"
    return fields, ""


class ImageFolder:
    """Images that rows name, checked: present, inside the folder, decodable, as the row's hash says."""

    def __init__(self, folder: Path) -> None:
        """Look for images in ``folder``, and nowhere else.

        Raises:
            InputError: there is no such folder.
        """
        if not folder.is_dir():
            raise InputError(f"image folder {str(folder)!r} does not exist; check the path")
        self.folder = folder

    def __call__(self, named: Any, row: Mapping[str, Any]) -> ImageRef:
        """The checked reference of a row's image.

        Args:
            named: a path inside the folder, a ``data:`` URL, or what ``datasets`` gives undecoded
                (``{"bytes": …, "path": …}``).
            row: may hold ``image_sha256``, itself or in its metadata.

        Raises:
            RowError: there is no image, or it cannot be used.
        """
        if named in (None, "", {}):
            raise RowError("has no image")
        try:
            source, data, name = self._read(named)
            image_format, width, height = inspect_image(data, name)
        except InputError as error:
            raise RowError(str(error)) from None
        digest = hashlib.sha256(data).hexdigest()
        facts = row.get("metadata")
        wanted = row.get("image_sha256") or (
            facts.get("image_sha256") if isinstance(facts, Mapping) else None
        )
        if wanted and wanted != digest:
            raise RowError(f"image {name!r} is not the one the row names: its SHA-256 is {digest}")
        return ImageRef(
            source=source or f"data:{MIMES[image_format]};base64,{_base64(data)}",
            sha256=digest,
            mime=MIMES[image_format],
            width=width,
            height=height,
            name=name,
        )

    def _read(self, named: Any) -> tuple[str, bytes, str]:
        if isinstance(named, Mapping) and isinstance(named.get("bytes"), bytes):
            return "", named["bytes"], str(named.get("path") or "image")
        if isinstance(named, Mapping):
            named = named.get("path")
        if not isinstance(named, str):
            raise RowError(f"image is {type(named).__name__}, not a file name")
        if named.startswith("data:"):
            return named, *read_image_bytes(named)
        path = self._path(named)
        return str(path), *read_image_bytes(path)

    def _path(self, named: str) -> Path:
        root = self.folder.resolve()
        tried = [self.folder / named, self.folder / Path(named).name]
        with suppress(OSError, ValueError):  # a name no file can have
            for path in tried:
                if path.resolve().is_relative_to(root) and path.is_file():
                    return path
        raise RowError(
            f"image {named[:80]!r} is not in the image folder {self.folder.name!r}; put it there"
        )


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()

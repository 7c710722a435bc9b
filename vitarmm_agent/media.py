"""Images by content hash, kept outside graph state.

State, checkpoints and traces hold an :class:`ImageRef`; the bytes lie once in a
:class:`MediaStore`, as ``<first two of the hash>/<hash>.<suffix>``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import tempfile
import warnings
from pathlib import Path
from urllib.parse import unquote, urlparse

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.errors import InputError

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64 * 1024 * 1024
SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "GIF": ".gif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
}
MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp",
         "BMP": "image/bmp", "TIFF": "image/tiff"}  # fmt: skip


class ImageRef(BaseModel):
    """One image: where it is and, once stored, what it is.

    ``source`` is a path or a ``data:`` URL until :meth:`MediaStore.put` has stored the bytes;
    afterwards it is the path inside the store and ``sha256`` is set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    sha256: str = ""
    mime: str = ""
    width: int = 0
    height: int = 0
    name: str = ""

    def __repr_args__(self) -> list[tuple[str | None, object]]:
        """Keep data URLs out of logs and error texts."""
        source = self.source if len(self.source) < 200 else f"{self.source[:60]}…"
        return [("source", source), ("sha256", self.sha256[:12])]


class MediaStore:
    """Images on disk, each stored once under the hash of its bytes."""

    def __init__(self, folder: Path | str) -> None:
        """Use ``folder``, which is made on the first :meth:`put`."""
        self.folder = Path(folder)

    def put(self, image: ImageRef | str | Path | bytes) -> ImageRef:
        """Check an image, store its bytes, and return a reference that needs no bytes.

        Raises:
            InputError: the file is missing, empty, no image, or larger than 32 MiB or 64 megapixels.
        """
        if isinstance(image, ImageRef) and image.sha256 and self.path(image).is_file():
            return image
        source = image.source if isinstance(image, ImageRef) else image
        data, name = read_image_bytes(source)
        image_format, width, height = inspect_image(data, name)
        digest = hashlib.sha256(data).hexdigest()
        target = self.folder / digest[:2] / f"{digest}{SUFFIXES[image_format]}"
        if not target.exists():
            _write_atomically(target, data)
        return ImageRef(
            source=str(target),
            sha256=digest,
            mime=MIMES[image_format],
            width=width,
            height=height,
            name=name,
        )

    def path(self, image: ImageRef) -> Path:
        """Path of a stored image, by its hash."""
        suffix = next((SUFFIXES[f] for f, mime in MIMES.items() if mime == image.mime), "")
        return self.folder / image.sha256[:2] / f"{image.sha256}{suffix}"

    def find(self, sha256: str) -> Path | None:
        """Path of the image with this hash, or None; the only way the page serves images."""
        if len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
            return None
        return next(self.folder.glob(f"{sha256[:2]}/{sha256}.*"), None)


def read_image_bytes(source: str | Path | bytes) -> tuple[bytes, str]:
    """Bytes and display name of an image given as bytes, path, file: or data: URL."""
    if isinstance(source, bytes):
        return _bounded(source, "image bytes"), "bytes"
    text = str(source)
    if text.startswith("data:"):
        return _bounded(_decode_data_url(text), "data URL"), "data URL"
    if text.startswith(("http://", "https://")):
        raise InputError(
            f"image {text!r} is a web address; download it and pass the file: "
            "images are not fetched over the network"
        )
    path = Path(unquote(urlparse(text).path)) if text.startswith("file://") else Path(text)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(_too_large(path.name, path.stat().st_size))
        return path.read_bytes(), path.name
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"image {text!r} cannot be read: {reason}; check the path") from None


def inspect_image(data: bytes, name: str) -> tuple[str, int, int]:
    """Format, width and height of an image that can be decoded completely.

    Raises:
        InputError: not an image, truncated, of zero size, or too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise InputError(
                        f"image {name!r} has {width}×{height} pixels; the limit is {MAX_PIXELS}"
                    )
                if image.format not in SUFFIXES:
                    raise InputError(
                        f"image {name!r} is of format {image.format}; use one of {', '.join(SUFFIXES)}"
                    )
                image.load()
                return image.format, width, height
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"image {name!r} has too many pixels; the limit is {MAX_PIXELS}") from None
    except UnidentifiedImageError:
        raise InputError(f"{name!r} is not an image that can be read") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"image {name!r} is damaged: {error}") from None


def data_url(path: Path, mime: str) -> str:
    """The ``data:`` URL of a stored image, as chat model providers take it."""
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _decode_data_url(url: str) -> bytes:
    header, _, payload = url.partition(",")
    if not header.endswith(";base64"):
        raise InputError("data URL of an image must be base64: data:image/png;base64,…")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"data URL of an image is not valid base64: {error}") from None


def _bounded(data: bytes, name: str) -> bytes:
    if not data:
        raise InputError(f"{name} is empty; pass an image")
    if len(data) > MAX_BYTES:
        raise InputError(_too_large(name, len(data)))
    return data


def _too_large(name: str, size: int) -> str:
    return f"image {name!r} has {size:,} bytes; the limit is {MAX_BYTES:,}: make it smaller"


def _write_atomically(target: Path, data: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(data)
        os.replace(file.name, target)
    except OSError as error:
        raise InputError(
            f"image folder {str(target.parent)!r} cannot be written: {error.strerror}"
        ) from None

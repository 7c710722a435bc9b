"""Images by content hash, kept outside graph state.

State, checkpoints and traces hold an :class:`ImageRef`; the bytes lie once in a
:class:`MediaStore`, as ``<first two of the hash>/<hash>.<suffix>``. What a reference says is untrusted:
bytes leave the store only where their hash is the one that was asked for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import stat
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlparse

from pydantic import BaseModel, ConfigDict, Field

from vitarmm_agent.errors import InputError
from vitarmm_agent.private import private_folder, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 16 * 1024 * 1024
"""Pixels of one image. A few kilobytes can hold that many, and decoding WebP takes 16 bytes for each."""
MAX_SCANS = 100
"""Scans of a JPEG file. A scan of some ten bytes passes over all pixels once more."""
DECODING = threading.Lock()
"""Images are decoded one at a time, however many runs there are: each may take 250 MB."""
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
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_URL_SAFE = str.maketrans("-_", "+/")
MIME_OF = {SUFFIXES[kind]: mime for kind, mime in MIMES.items()}


class ImageRef(BaseModel):
    """One image: where it is and, once stored, what it is.

    ``source`` is a path or a ``data:`` URL until :meth:`MediaStore.put` has stored the bytes;
    afterwards it is the path inside the store and ``sha256`` is set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    mime: str = Field(default="", pattern=rf"^({'|'.join(MIMES.values())})?$")
    width: int = 0
    height: int = 0
    name: str = ""

    def __repr_args__(self) -> list[tuple[str | None, object]]:
        """Keep data URLs out of logs and error texts."""
        source = self.source if len(self.source) < 200 else f"{self.source[:60]}…"
        return [("source", source), ("sha256", self.sha256[:12])]


class SharedImages(Protocol):
    """Where several machines keep their images together, by hash."""

    def keep(self, sha256: str, suffix: str, data: bytes) -> None:
        """Keep bytes, unless they are there."""
        ...

    def load(self, sha256: str) -> tuple[str, bytes] | None:
        """Suffix and bytes of an image, or None."""
        ...


class MediaStore:
    """Images on disk, each stored once under the hash of its bytes."""

    def __init__(
        self, folder: Path | str, *, local_files: bool = False, shared: SharedImages | None = None
    ) -> None:
        """Use ``folder``, which is made on the first :meth:`put`.

        Args:
            folder: where the images lie.
            local_files: let :meth:`put` read image files that a string names, as problems do. Leave
                it off where the problems are someone else's. A ``Path`` is the caller's own word.
            shared: where they lie for all machines; the folder then has copies of those that were used
                here.
        """
        self.folder = Path(folder)
        self.local_files = local_files
        self._shared = shared

    def put(self, image: ImageRef | str | Path | bytes) -> ImageRef:
        """Check an image, store its bytes, and return a reference that needs no bytes.

        Raises:
            InputError: the image is empty, none, or larger than 32 MiB or 16 megapixels; or it is
                a file that is missing, or that may not be read.
        """
        if isinstance(image, ImageRef) and image.sha256:
            if (known := self.find(image.sha256)) == self.path(image):
                self._share(known)
                return image.model_copy(update={"source": str(known)}) if self._shared else image
        source = image.source if isinstance(image, ImageRef) else image
        own = self.local_files or isinstance(source, Path)
        data, name = read_image_bytes(source, local_files=own)
        image_format, width, height = inspect_image(data, name)
        digest = hashlib.sha256(data).hexdigest()
        target = self.folder / digest[:2] / f"{digest}{SUFFIXES[image_format]}"
        if not _holds(target, digest):
            _write(target, data)
        if self._shared is not None:
            self._shared.keep(digest, target.suffix, data)
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
        """Path of the image with this hash, or None."""
        if len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
            return None
        found = (self.folder / sha256[:2] / f"{sha256}{suffix}" for suffix in MIME_OF)
        return next((path for path in found if path.is_file()), None) or self._fetched(sha256)

    def _fetched(self, sha256: str) -> Path | None:
        """A copy here of an image that another machine has kept."""
        found = self._shared.load(sha256) if self._shared is not None else None
        if found is None or found[0] not in MIME_OF:
            return None
        suffix, data = found
        if len(data) > MAX_BYTES or hashlib.sha256(data).hexdigest() != sha256:
            return None
        path = self.folder / sha256[:2] / f"{sha256}{suffix}"
        _write(path, data)
        return path

    def _share(self, path: Path) -> None:
        """Give the other machines an image that may have been stored before they shared them."""
        if self._shared is not None:
            data, _ = self.read(path.stem)
            self._shared.keep(path.stem, path.suffix, data)

    def read(self, sha256: str) -> tuple[bytes, str]:
        """Bytes and MIME type of a stored image; the only way anything in the store gets out.

        A folder that was mailed may hold a link to another file under an image's name: bytes of
        another hash are not given.

        Raises:
            InputError: there is no such image.
        """
        path = self.find(sha256)
        try:
            data = b"" if path is None else _read_bounded(path)
        except (OSError, InputError):
            data = b""
        if path is None or not data:
            raise InputError(f"there is no image {sha256[:100]!r} in the image folder")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(
                f"image {sha256!r} in the image folder is damaged, or another file under its name; "
                "give the image again to have it kept anew"
            )
        return data, MIME_OF[path.suffix]

    def data_url(self, sha256: str) -> str:
        """The ``data:`` URL of a stored image, as chat model providers take it.

        Raises:
            InputError: there is no such image.
        """
        data, mime = self.read(sha256)
        return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def read_image_bytes(source: str | Path | bytes, *, local_files: bool = True) -> tuple[bytes, str]:
    """Bytes and display name of an image given as bytes, path, file: or data: URL.

    Raises:
        InputError: it cannot be read, or is a file and ``local_files`` is off. Nothing then tells
            whether there is such a file.
    """
    if isinstance(source, bytes):
        return _bounded(source, "image bytes"), "bytes"
    text = str(source)
    if text[:5].lower() == "data:":
        return _bounded(_decode_data_url(text), "data URL"), "data URL"
    if _ADDRESS.match(text) and text[:5].lower() != "file:":
        raise InputError(
            f"image {text[:200]!r} is a web address; download it and pass the file: "
            "images are not fetched over the network"
        )
    if not local_files:
        raise InputError(
            f"image {text[:200]!r} is a file, and no files are read for this caller; pass each "
            "image as a data: URL, or set VITARMM_LOCAL_FILES=true where its callers may read files"
        )
    try:
        path = _local_path(text)
        return _read_bounded(path), path.name
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"image {text[:200]!r} cannot be read: {reason}; check the path") from None


def _local_path(text: str) -> Path:
    """Path that a ``file:`` URL or a string names; ``~`` is the home folder."""
    named = unquote(urlparse(text).path) if text[:5].lower() == "file:" else text
    return Path(os.path.expanduser(named))


def inspect_image(data: bytes, name: str) -> tuple[str, int, int]:
    """Format, width and height of an image that can be decoded completely.

    Raises:
        InputError: not an image, truncated, of zero size, or too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with DECODING, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[*SUFFIXES]) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise InputError(
                        f"image {name!r} has {width}×{height} pixels; the limit is {MAX_PIXELS}: "
                        "make it smaller"
                    )
                kind = "JPEG" if image.format == "MPO" else str(image.format)
                if kind == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
                    raise InputError(f"image {name!r} has over {MAX_SCANS} scans; save it anew")
                image.load()
                return kind, width, height
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"image {name!r} has too many pixels; the limit is {MAX_PIXELS}") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{name!r} is not an image that can be read; use one of {', '.join(SUFFIXES)}"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"image {name!r} is damaged: {error}") from None


def _decode_data_url(url: str) -> bytes:
    """Bytes of a ``data:`` URL, also where base64 is broken into lines, URL-safe, or not padded."""
    header, _, payload = url.partition(",")
    if not header.lower().rstrip().endswith(";base64"):
        raise InputError("data URL of an image must be base64: data:image/png;base64,…")
    if len(payload) > 2 * MAX_BYTES:
        raise InputError(_too_large("data URL", len(payload) // 4 * 3))
    payload = "".join(unquote(payload).split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(payload + "=" * (-len(payload) % 4), validate=True)
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


def _read_bounded(path: Path) -> bytes:
    """Bytes of a regular file; a pipe or device is not waited for.

    Raises:
        InputError: it is no regular file, or larger than 32 MiB.
        OSError: it cannot be opened.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(f"image {path.name!r} is no regular file; pass an image file")
        if facts.st_size > MAX_BYTES:
            raise InputError(_too_large(path.name, facts.st_size))
        return _bounded(file.read(MAX_BYTES + 1), path.name)


def _holds(path: Path, digest: str) -> bool:
    """Whether a file has the bytes of this hash; a damaged one is written anew."""
    try:
        return hashlib.sha256(_read_bounded(path)).hexdigest() == digest
    except (OSError, InputError):
        return False


def _write(target: Path, data: bytes) -> None:
    try:
        private_folder(target.parent)
        write_bytes(target, data)
    except OSError as error:
        raise InputError(
            f"image folder {str(target.parent)!r} cannot be written: {error.strerror}"
        ) from None


def to_rgb(picture: Image) -> Image:
    """The picture as RGB, upright, its first frame, transparency laid over white.

    16-bit and float greys are scaled to 8 bits; CMYK and every other mode is converted by Pillow.
    """
    from PIL import Image, ImageOps

    picture.seek(0)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _eight_bit(picture).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return picture.convert("RGB")


def _eight_bit(picture: Image) -> Image:
    """Scale 16-bit and float grey values to 8 bits; a plain conversion would clip them."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    top = 65535.0 if picture.mode.startswith("I") else max(float(values.max()), 1.0)
    return Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))

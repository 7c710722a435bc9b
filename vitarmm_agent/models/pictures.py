"""Pictures of any mode as models take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


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

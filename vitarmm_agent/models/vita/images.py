"""Pictures of any kind to RGB, and RGB to the tiles that VITA sees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import DECODING, MAX_PIXELS, inspect_image, read_image_bytes, to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_TILES = 64


def open_image(source: Any) -> Image:
    """One image as RGB, whatever it was; see :func:`~vitarmm_agent.media.to_rgb`.

    Args:
        source: path, bytes, ``data:`` or ``file:`` URL, PIL image, or (height, width, 3) uint8
            array.

    Raises:
        InputError: no image, damaged, of zero size, of more than 16 megapixels, or a web address.
    """
    from PIL import Image

    if isinstance(source, (str, Path, bytes)):
        data, name = read_image_bytes(source)
        inspect_image(data, name)
        image: Image.Image = Image.open(io.BytesIO(data))
    else:
        image = source if isinstance(source, Image.Image) else _from_array(source)
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(f"image of {width}×{height} pixels is empty")
    if width * height > MAX_PIXELS:
        raise InputError(
            f"image of {width}×{height} pixels is too large; the limit is {MAX_PIXELS}"
        )
    try:
        with DECODING:
            return to_rgb(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"image is damaged: {error}") from None


def _from_array(source: Any) -> Image:
    import numpy as np
    from PIL import Image

    array = np.asarray(source)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise InputError(
            f"an image array must be (height, width, 3) of uint8, got {array.shape} of {array.dtype}"
        )
    return Image.fromarray(array)


def tile_grid(
    width: int, height: int, size: int, min_tiles: int = 1, max_tiles: int = 12
) -> tuple[int, int]:
    """Columns and rows of the grid whose shape is nearest to the image's.

    Candidates have ``min_tiles`` to ``max_tiles`` cells and are visited by increasing number. Of
    two that are equally near, the later wins only if the image fills more than half of it.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        size: side of a tile in pixels.
        min_tiles: fewest cells of the grid.
        max_tiles: most cells of the grid.

    Raises:
        InputError: the limits contradict each other or exceed 64 tiles.
    """
    if not 1 <= min_tiles <= max_tiles <= MAX_TILES:
        raise InputError(
            f"tiles per image must be 1 ≤ min ≤ max ≤ {MAX_TILES}, "
            f"got min {min_tiles} and max {max_tiles}"
        )
    cells = range(1, max_tiles + 1)
    grids = [(c, r) for c in cells for r in cells if min_tiles <= c * r <= max_tiles]
    best, best_distance = (1, 1), float("inf")
    for columns, rows in sorted(grids, key=lambda grid: grid[0] * grid[1]):
        distance = abs(width / height - columns / rows)
        fills = width * height > 0.5 * size * size * columns * rows
        if distance < best_distance or (distance == best_distance and fills):
            best, best_distance = (columns, rows), distance
    return best


def count_tiles(
    width: int,
    height: int,
    size: int,
    min_tiles: int = 1,
    max_tiles: int = 12,
    thumbnail: bool = True,
) -> int:
    """Number of tiles that :func:`cut_tiles` makes of an image of this size."""
    columns, rows = tile_grid(width, height, size, min_tiles, max_tiles)
    return columns * rows + (thumbnail and columns * rows > 1)


def cut_tiles(
    image: Image, size: int, min_tiles: int = 1, max_tiles: int = 12, thumbnail: bool = True
) -> list[Image]:
    """Tiles of an RGB image, row by row; the whole image, small, comes last.

    The image is stretched to the grid (bicubic); its aspect ratio is not kept. A grid of one tile
    gets no thumbnail.
    """
    columns, rows = tile_grid(*image.size, size, min_tiles, max_tiles)
    stretched = image.resize((size * columns, size * rows))
    tiles = [
        stretched.crop((c * size, r * size, (c + 1) * size, (r + 1) * size))
        for r in range(rows)
        for c in range(columns)
    ]
    return [*tiles, image.resize((size, size))] if thumbnail and len(tiles) > 1 else tiles

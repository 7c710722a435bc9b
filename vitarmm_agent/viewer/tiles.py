"""Where VITA cut an image into tiles."""

from __future__ import annotations

from vitarmm_agent.models.vita.images import MAX_TILES, tile_grid
from vitarmm_agent.result import Result

TILE = 448
Box = tuple[float, float, float, float]


def tiles_of(result: Result) -> dict[str, list[Box]]:
    """Boxes (left, top, right, bottom; pixels) of the tiles of each image, by its hash.

    VITA reports how many tiles it made of each image; when there are several, the last one is the
    thumbnail of the whole. The others are the cells of the grid that fits the image best.
    """
    told = (attempt.metadata.get("tiles_per_image") for attempt in result.attempts)
    counts: list[object] = next((counts for counts in told if isinstance(counts, list)), [])
    found: dict[str, list[Box]] = {}
    for image, count in zip(result.problem.images, counts, strict=False):
        if isinstance(count, int) and 2 < count <= MAX_TILES + 1 and image.width and image.height:
            found[image.sha256] = _cells(image.width, image.height, count - 1)
    return found


def _cells(width: int, height: int, count: int) -> list[Box]:
    columns, rows = tile_grid(width, height, TILE, count, count)
    wide, high = width / columns, height / rows
    return [
        (c * wide, r * high, (c + 1) * wide, (r + 1) * high)
        for r in range(rows)
        for c in range(columns)
    ]

"""Pictures of every kind, and the tiles cut from them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.models.vita.conftest import noise, png
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.vita.images import count_tiles, cut_tiles, open_image, tile_grid


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((448, 448), (1, 1)),
        ((900, 300), (3, 1)),
        ((640, 1200), (1, 2)),
        ((100, 80), (4, 3)),
        ((1, 4000), (1, 12)),
        ((4000, 1), (12, 1)),
        ((448 * 2, 448 * 2), (2, 2)),  # fills more than half of the larger of two equal grids
        ((100, 100), (1, 1)),  # does not
    ],
)
def test_the_grid_is_the_nearest_in_shape(size, grid):
    assert tile_grid(*size, size=448) == grid


@pytest.mark.parametrize("limits", [(0, 12), (3, 2), (1, 65)])
def test_limits_that_contradict_each_other(limits):
    with pytest.raises(InputError, match=f"min {limits[0]} and max {limits[1]}"):
        tile_grid(10, 10, 448, *limits)


def test_tiles_run_row_by_row_and_the_thumbnail_is_last():
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    whole = Image.new("RGB", (112, 112))
    for i, colour in enumerate(colours):
        whole.paste(colour, (56 * (i % 2), 56 * (i // 2), 56 * (i % 2) + 56, 56 * (i // 2) + 56))
    tiles = cut_tiles(whole, 56)
    assert len(tiles) == count_tiles(112, 112, 56) == 5
    assert [tile.getpixel((28, 28)) for tile in tiles[:4]] == colours
    assert tiles[4].getpixel((10, 10)) == colours[0] and tiles[4].getpixel((45, 45)) == colours[3]
    assert len(cut_tiles(whole, 56, thumbnail=False)) == 4
    assert len(cut_tiles(whole, 56, max_tiles=1)) == 1  # one tile needs no thumbnail


def mean(image):
    return np.asarray(image, dtype=float).mean(axis=(0, 1))


def test_transparent_pixels_are_laid_on_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert mean(open_image(png(clear))).tolist() == [255, 255, 255]
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert mean(open_image(half)) == pytest.approx([255, 127, 127], abs=1)
    indexed = Image.new("P", (8, 8), 0)
    indexed.putpalette([10, 20, 30])
    indexed.info["transparency"] = 0
    file = io.BytesIO()
    indexed.save(file, "PNG", transparency=0)
    assert mean(open_image(file.getvalue())).tolist() == [255, 255, 255]


def test_sixteen_bits_keep_their_shades():
    deep = np.array([[0, 32768, 65535]], dtype=np.uint16).repeat(3, axis=0)
    image = open_image(png(Image.fromarray(deep)))
    shades = np.asarray(image)[0, :, 0].tolist()
    assert image.mode == "RGB"
    assert shades == pytest.approx([0, 128, 255], abs=1)  # a plain conversion gives 0, 255, 255


def test_cmyk_palette_and_grey():
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(file, "JPEG")
    assert mean(open_image(file.getvalue())) == pytest.approx([254, 0, 0], abs=3)
    assert mean(open_image(png(Image.new("L", (4, 4), 77)))).tolist() == [77, 77, 77]
    assert mean(open_image(png(Image.new("1", (4, 4), 1)))).tolist() == [255, 255, 255]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert mean(open_image(file.getvalue())) == pytest.approx([255, 0, 0], abs=2)


def test_a_photo_is_turned_upright():
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show
    noise(30, 10).save(file, "JPEG", exif=exif)
    assert open_image(file.getvalue()).size == (10, 30)


def test_paths_data_urls_arrays_and_images_are_the_same_picture(tmp_path):
    import base64

    picture = noise(9, 7)
    path = tmp_path / "a picture.png"
    path.write_bytes(png(picture))
    url = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    for source in (path, str(path), path.as_uri(), url, path.read_bytes(), np.asarray(picture)):
        assert open_image(source).tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "empty"),
        (b"not an image", "not an image"),
        (png(noise(64, 64))[:-2000], "damaged"),
        ("https://example.org/a.png", "not fetched over the network"),
        ("nowhere.png", "cannot be read"),
        (Image.new("RGB", (0, 5)), "is empty"),
        (np.zeros((4, 4), dtype=np.uint8), "must be \\(height, width, 3\\)"),
        (np.zeros((4, 4, 3)), "uint8"),
    ],
)
def test_images_that_cannot_be_used(source, message):
    with pytest.raises(InputError, match=message):
        open_image(source)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked():
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    with pytest.raises(InputError, match="pixels"):
        open_image(bomb)

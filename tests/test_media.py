from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MAX_BYTES, ImageRef, MediaStore


def png(size: tuple[int, int] = (4, 3), colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media", local_files=True)


def test_the_same_bytes_are_stored_once(store: MediaStore, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    refs = [store.put(tmp_path / "a.png"), store.put(png()), store.put(url)]
    assert len({ref.sha256 for ref in refs}) == 1
    assert (refs[0].width, refs[0].height, refs[0].mime) == (4, 3, "image/png")
    assert len([p for p in store.folder.rglob("*") if p.is_file()]) == 1
    assert store.find(refs[0].sha256) == store.path(refs[0])


def test_a_stored_image_is_not_read_again(store: MediaStore) -> None:
    ref = store.put(png())
    assert store.put(ref) is ref


def test_the_suffix_follows_the_bytes_not_the_name(store: MediaStore, tmp_path: Path) -> None:
    (tmp_path / "wrong.jpg").write_bytes(png())
    assert store.put(tmp_path / "wrong.jpg").source.endswith(".png")


@pytest.mark.parametrize("sha", ["../../etc/passwd", "a" * 63, "A" * 64, "*" * 64, ""])
def test_only_hashes_find_images(store: MediaStore, sha: str) -> None:
    store.put(png())
    assert store.find(sha) is None


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("missing.png", "No such file"),
        ("https://example.org/a.png", "not fetched"),
        ("data:image/png;base64,###", "base64"),
        ("data:image/png,abc", "base64"),
        ("bad\0name", "null"),
        (b"", "empty"),
        (b"not an image", "not an image"),
        (png()[:40], "damaged|not an image"),
        (b"\x89PNG" + bytes(MAX_BYTES), "limit"),
    ],
)
def test_bad_images_are_refused(store: MediaStore, source: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        store.put(source)
    assert not store.folder.exists()


def test_a_decompression_bomb_is_refused(store: MediaStore) -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    with pytest.raises(InputError, match="pixels"):
        store.put(buffer.getvalue())


def test_a_data_url_does_not_fill_the_log() -> None:
    assert len(repr(ImageRef(source="data:image/png;base64," + "A" * 9000))) < 200

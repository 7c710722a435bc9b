from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

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


def lines(text: str, end: str, width: int = 76) -> str:
    return end.join(text[i : i + width] for i in range(0, len(text), width))


@pytest.mark.parametrize(
    "written",
    [
        lambda plain: lines(plain, "\n"),
        lambda plain: lines(plain, "\r\n") + "\r\n",
        lambda plain: lines(plain, "\n    ", 64),
        lambda plain: f" {plain} ",
        lambda plain: plain.replace("+", "-").replace("/", "_"),
        lambda plain: plain.rstrip("="),
        lambda plain: lines(plain.rstrip("="), "\n").replace("+", "-").replace("/", "_"),
        lambda plain: quote(plain, safe=""),
        lambda plain: quote(lines(plain, "\n")),
    ],
)
def test_base64_may_be_written_in_several_ways(
    written: Callable[[str], str], store: MediaStore
) -> None:
    noisy = io.BytesIO()
    Image.effect_noise((20, 21), 90).save(noisy, "PNG")
    while len(noisy.getvalue()) % 3 != 1:  # so that padding is there to be left out
        noisy.write(b"\0")
    plain = base64.b64encode(noisy.getvalue()).decode()
    assert {"+", "/"} <= set(plain) and plain.endswith("==")
    for header in ("data:image/png;base64,", "data:;base64,", "DATA:image/png;name=a.png;BASE64 ,"):
        ref = store.put(header + written(plain))
        assert ref.sha256 == store.put(noisy.getvalue()).sha256


@pytest.mark.parametrize("payload", ["A", "AAA=AAA=", "QUJD*", "QUJD%00", "=", ""])
def test_what_no_base64_says_is_not_guessed(payload: str, store: MediaStore) -> None:
    with pytest.raises(InputError, match="base64|empty"):
        store.put(f"data:image/png;base64,{payload}")


def test_a_tilde_is_the_home_folder(
    store: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "i j.png").write_bytes(png())
    (tmp_path / "~").mkdir()
    for source in ("~/i j.png", Path("~/i j.png"), f"file://{tmp_path}/i%20j.png", "./i j.png"):
        assert store.put(source).name == "i j.png"
    with pytest.raises(InputError, match="image '~nobody-here/i.png' cannot be read"):
        store.put("~nobody-here/i.png")
    with pytest.raises(InputError, match="is a file, and no files are read"):
        MediaStore(tmp_path / "media").put("~/i j.png")


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

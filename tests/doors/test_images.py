"""Images are untrusted: their names, the hashes they claim, their size and what they unpack to."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.scripts import RIGHT
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.reasoning import build_reasoning_graph
from vitarmm_agent.media import ImageRef, MediaStore, inspect_image, read_image_bytes, to_rgb
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Problem

SECRET = b"TOP-SECRET sk-of-this-machine\n"


def encoded(kind: str, size: tuple[int, int], mode: str = "RGB", **options: Any) -> bytes:
    data = io.BytesIO()
    Image.new(mode, size, (1, 1, 1) if mode == "LAB" else 1).save(data, kind, **options)
    return data.getvalue()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.png"
    path.write_bytes(SECRET)
    return path


def asked(problem: dict[str, Any]) -> str:
    """All that a reasoner was sent for a problem that a client put into graph state."""
    reasoner = ScriptedChatModel.of(RIGHT)
    graph = build_reasoning_graph(reasoner=reasoner, verifiers="arithmetic", memory="off")
    graph.invoke({"problem": problem})
    return repr(reasoner.calls)


@pytest.mark.parametrize("claimed", ["../{}", "../../etc/passwd", "a" * 63 + "\n", "A" * 64])
def test_a_hash_that_is_a_path_reaches_no_file(
    secret: Path, own_data_dir: Path, claimed: str
) -> None:
    (own_data_dir / "media").mkdir(parents=True)
    away = os.path.relpath(secret, own_data_dir / "media" / "..")
    problem = {
        "text": "Describe it",
        "images": [{"source": "x", "sha256": claimed.format(away), "mime": "text/plain"}],
    }
    with pytest.raises(InputError, match="sha256"):
        asked(problem)


@pytest.mark.parametrize("kind", ["there", "missing", "folder", "device", "file url", "by hash"])
def test_graph_state_names_no_file_and_learns_nothing_of_one(tmp_path: Path, kind: str) -> None:
    there = tmp_path / "there.png"
    there.write_bytes(encoded("PNG", (2, 2)))
    source = {
        "there": str(there),
        "missing": str(tmp_path / "missing.png"),
        "folder": str(tmp_path),
        "device": "/dev/zero",
        "file url": there.as_uri(),
        "by hash": str(there),
    }[kind]
    image: Any = {"source": source, "sha256": "a" * 64} if kind == "by hash" else source
    for given in (
        {"problem": {"text": "x", "images": [image]}},
        {"messages": [("user", [{"type": "image", "url": source}])]},
    ):
        graph = build_reasoning_graph(
            reasoner=ScriptedChatModel.of(RIGHT), verifiers="arithmetic", memory="off"
        )
        with pytest.raises(InputError) as refused:
            graph.invoke(given)
        assert str(refused.value).replace(source, "…") == (
            "image '…' is a file, and no files are read for this caller; pass each image as a "
            "data: URL, or set VITARMM_LOCAL_FILES=true where its callers may read files"
        )


def test_the_operator_may_let_files_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.png").write_bytes(encoded("PNG", (2, 2)))
    monkeypatch.setenv("VITARMM_LOCAL_FILES", "true")
    assert "image/png" in asked({"text": "x", "images": [str(tmp_path / "there.png")]})


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    source = {"pipe": pipe, "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    code = (
        "import sys; from vitarmm_agent.media import read_image_bytes as read\n"
        "from vitarmm_agent.errors import InputError\n"
        "try: read(sys.argv[1])\n"
        "except InputError as error: print(error)\n"
    )
    limited = lambda: resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))  # noqa: E731
    shown = subprocess.run(
        [sys.executable, "-c", code, str(source)],
        capture_output=True, text=True, timeout=30, preexec_fn=limited,
    )  # fmt: skip
    assert "no regular file" in shown.stdout or "Is a directory" in shown.stdout, shown


def test_bytes_leave_the_store_only_under_their_own_hash(tmp_path: Path, secret: Path) -> None:
    """A mailed folder may hold a link to any file under an image's name."""
    store = MediaStore(tmp_path / "media")
    kept = store.put(encoded("PNG", (3, 3)))
    assert store.read(kept.sha256) == (encoded("PNG", (3, 3)), "image/png")
    for name, other in (("b" * 64, secret), ("c" * 64, Path("/dev/zero"))):
        (store.folder / name[:2]).mkdir()
        (store.folder / name[:2] / f"{name}.png").symlink_to(other)
    (store.folder / kept.sha256[:2] / f"{kept.sha256}.png").write_bytes(SECRET)
    for name in ("b" * 64, "c" * 64, "d" * 64, kept.sha256, "../secret.png"):
        with pytest.raises(InputError, match="no image|damaged"):
            store.read(name)


def test_a_claimed_type_is_one_of_the_known() -> None:
    with pytest.raises(ValueError, match="mime"):
        ImageRef(source="x", mime="text/html;base64,PHNjcmlwdD4=,")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("WEBP", "RGB"), ("WEBP", "RGBA"), ("PNG", "RGBA"), ("TIFF", "F"), ("GIF", "L"),
     ("JPEG", "RGB")],
)  # fmt: skip
def test_sixteen_megapixels_at_most(kind: str, mode: str) -> None:
    over = encoded(kind, (4097, 4097), mode, **({"lossless": True} if kind == "WEBP" else {}))
    with pytest.raises(InputError, match="pixels"):
        inspect_image(over, "x")


def test_small_files_take_bounded_memory() -> None:
    """Three at once, in a process of their own: one is decoded at a time."""
    code = (
        "import io, resource, sys, threading; from PIL import Image\n"
        "from vitarmm_agent.media import inspect_image\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "runs = [threading.Thread(target=inspect_image, args=(data, 'x')) for _ in range(3)]\n"
        "[run.start() for run in runs]; [run.join() for run in runs]\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    path = Path(os.environ["VITARMM_DATA_DIR"]).parent / "bomb.webp"
    path.write_bytes(encoded("WEBP", (4096, 4096), lossless=True))
    assert path.stat().st_size < 4000
    shown = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
    )
    assert int(shown.stdout) < 400, shown


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    data = encoded("JPEG", (2000, 2000), progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    many = data[:-2] + last * 2000 + data[-2:]
    assert len(many) < 500_000  # it took seconds
    with pytest.raises(InputError, match="scans"):
        inspect_image(many, "x")
    assert inspect_image(data, "x") == ("JPEG", 2000, 2000)


def test_at_most_sixteen_images_and_one_choice_a_letter() -> None:
    Problem.parse({"text": "x", "images": ["a.png"] * 16, "choices": ["a"] * 26})
    with pytest.raises(InputError, match="images.*16"):
        Problem.parse({"text": "x", "images": ["a.png"] * 17})
    with pytest.raises(InputError, match="choices.*26"):
        Problem.parse({"text": "x", "choices": [str(n) for n in range(27)]})
    with pytest.raises(InputError, match="choices.*100,001"):
        Problem.parse({"text": "x", "choices": ["a", "b" * 100_000]})


def test_a_long_data_url_is_not_decoded() -> None:
    with pytest.raises(InputError, match="limit"):
        read_image_bytes("DATA:image/png;BASE64," + "A" * 60_000_000)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_zipped_text_and_profiles_are_not_unpacked_without_end(kind: bytes) -> None:
    png, bomb = encoded("PNG", (9, 9)), zlib.compress(b"A" * 200_000_000)
    body = kind + (b"k\0\1\0\0\0" if kind == b"iTXt" else b"k\0\0") + bomb
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(InputError, match="too large"):
        inspect_image(png[:33] + chunk + png[33:], "x")


@pytest.mark.parametrize("data", [b"<svg onload='alert(1)'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b""])
def test_what_would_be_run_is_no_image(data: bytes) -> None:
    with pytest.raises(InputError, match="not an image"):
        inspect_image(data, "x")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("TIFF", "F"), ("TIFF", "I;16"), ("TIFF", "LAB"), ("JPEG", "CMYK"), ("PNG", "1")],
)
def test_odd_modes_are_seen_as_pictures(kind: str, mode: str) -> None:
    data = encoded(kind, (9, 9), mode)
    assert inspect_image(data, "x") == (kind, 9, 9)
    assert to_rgb(Image.open(io.BytesIO(data))).mode == "RGB"

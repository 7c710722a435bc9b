"""A file is replaced whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vitarmm_agent.config_file import read_config, trust
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.transfer import dump_lines, writing

resource = pytest.importorskip("resource", reason="there are no such limits here")
PIXEL = Path(__file__).parent.parent / "docs" / "images" / "run-380-light.png"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond some bytes: what is written then fails halfway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("VITARMM_CONFIG", raising=False)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vitarmm.toml").write_text('base_url = "http://here/v1"\n')
    monkeypatch.chdir(tmp_path / "one")
    trust(Path("vitarmm.toml"))
    lines = tmp_path / "entries.jsonl"
    lines.write_text("as it was\n")
    picture = PIXEL.read_bytes()
    images = MediaStore(tmp_path / "media")
    there = sorted(path for path in tmp_path.rglob("*") if path.is_file())

    with full_disk():
        with pytest.raises(InputError, match="cannot be written"):
            trust(tmp_path / "two" / "vitarmm.toml")
        with pytest.raises(InputError, match="cannot be written"):
            images.put(picture)
        with pytest.raises(InputError, match="cannot be written"), writing(lines) as file:
            file.writelines(dump_lines([MemoryEntry(entry_type="fact", content="x")]))

    assert read_config() == {"base_url": "http://here/v1"}  # still trusted
    assert lines.read_text() == "as it was\n"
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == there

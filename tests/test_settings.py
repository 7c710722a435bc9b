from __future__ import annotations

from pathlib import Path

import pytest

from vitarmm_agent.errors import InputError
from vitarmm_agent.settings import Settings


def test_explicit_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load().max_iterations == 3
    (tmp_path / "vitarmm.toml").write_text('max_iterations = 4\nnamespace = ["team", "me"]\n')
    assert Settings.load().max_iterations == 4
    assert Settings.load().namespace == ("team", "me")
    monkeypatch.setenv("VITARMM_MAX_ITERATIONS", "5")
    assert Settings.load().max_iterations == 5
    assert Settings.load(max_iterations=6).max_iterations == 6
    assert Settings.load(max_iterations=None).max_iterations == 5


def test_the_address_of_a_memory_is_read_as_it_is_meant() -> None:
    assert Settings.load(memory=" HTTP://chroma:8000 ").memory == "http://chroma:8000"
    for folder in ("off", "mine:2", "a/b:80", "C:8"):
        assert Settings.load(memory=folder).memory == folder


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("max_iterations = 0\n", "max_iterations.*0"),
        ("max_iteration = 3\n", "max_iteration"),
        ("temperature = 'hot'\n", "temperature.*'hot'"),
        ("temperature = 9\n", "temperature.*less than or equal to 2.*9"),
        ("this is no toml\n", "vitarmm.toml"),
        ("memory = 'htp://chroma:8000'\n", "memory.*http://HOST:PORT.*'htp://chroma:8000'"),
        ("memory = 'chroma.example.org:8000'\n", "memory.*http://HOST:PORT"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, file: str, says: str) -> None:
    (tmp_path / "vitarmm.toml").write_text(file)
    with pytest.raises(InputError, match=says):
        Settings.load()

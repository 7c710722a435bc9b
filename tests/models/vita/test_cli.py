"""The command line on a tiny checkpoint: nonsense text, real plumbing."""

from __future__ import annotations

import json

import pytest

from tests.models.vita.conftest import noise, png
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.models.vita import VitaForConditionalGeneration


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(png(noise(112, 56)))
    return path


def test_solve_runs_the_whole_loop_and_shows_tiles_and_tokens(tiny_dir, picture, capfd):
    command = ["solve", "How many?", "--image", str(picture), "--reasoner", f"vita:{tiny_dir}"]
    command += ["--feedback", "arithmetic", "--memory", "off", "--max-tokens", "16"]
    code = run_app([*command, "--thread", "tiny"])
    shown = capfd.readouterr().out
    assert code == 0
    assert "3 tiles, 12 image tokens" in shown
    assert run_app(["trace", "show", "tiny"]) == 0
    assert "3 tiles, 12 image tokens" in capfd.readouterr().out


def test_solve_with_settings_of_its_own(tiny_dir, picture, capfd):
    command = ["solve", "How many?", "--image", str(picture), "--reasoner", f"vita:{tiny_dir}"]
    command += ["--feedback", "arithmetic", "--memory", "off", "--max-tokens", "4", "--json"]
    run_app([*command, "--max-tiles", "1"])
    result = json.loads(capfd.readouterr().out)
    assert result["attempts"][0]["metadata"]["tiles_per_image"] == [1]
    assert run_app([*command, "--vita-model-type", "gpt"]) == 2
    assert "'gpt' is unknown" in capfd.readouterr().err


def test_convert_vita(tiny_dir, tmp_path, capfd):
    target = tmp_path / "converted"
    assert run_app(["models", "convert-vita", str(tiny_dir), str(target)]) == 0
    assert str(target) in capfd.readouterr().out
    assert VitaForConditionalGeneration.from_pretrained(target).dtype is not None
    assert run_app(["models", "convert-vita", str(tiny_dir), str(target)]) == 2
    assert "is not empty" in capfd.readouterr().err
    assert run_app(["models", "convert-vita", str(tmp_path), str(tmp_path / "x")]) == 2
    assert "no VITA checkpoint" in capfd.readouterr().err
    wrong = ["--dtype", "int8"]
    assert run_app(["models", "convert-vita", str(tiny_dir), str(tmp_path / "y"), *wrong]) == 2
    assert "'int8' is unknown" in capfd.readouterr().err

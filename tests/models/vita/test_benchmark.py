"""The script that is run on GPU machines works, in its small size."""

from __future__ import annotations

import re
import sys

import pytest

from vitarmm_agent.evals.speed import vita


def test_the_small_size_runs_and_equals_the_plain_model(monkeypatch, capfd, tmp_path):
    argv = ["vita", "--size", "tiny", "--device", "cpu", "--repeat", "1"]
    monkeypatch.setattr(sys, "argv", [*argv, "--dtype", "float32", "--scratch", str(tmp_path)])
    vita.main()
    shown = capfd.readouterr().out
    for row in ("load", "memory after loading", "prefill, tower included", "decode"):
        assert re.search(rf"^\| {row} \| [\d.e+-]+ \S+ \| [\d.e+-]+ \S+ \(Qwen2", shown, re.M)
    assert float(re.search(r"same embeddings: (\S+)", shown)[1]) < 1e-5
    assert not list(tmp_path.iterdir())  # the random checkpoint is gone


def test_the_full_size_is_not_tried_on_a_cpu(monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["vita", "--device", "cpu"])
    with pytest.raises(SystemExit):
        vita.main()
    assert "needs a GPU" in capfd.readouterr().err


def test_shapes_of_the_full_size_are_the_published_ones(tmp_path):
    import torch

    from vitarmm_agent.models.vita import VitaConfig, VitaForConditionalGeneration

    text = vita.TEXT_SIZES["full"]
    config = VitaConfig(text_config={"model_type": "qwen2", **text})
    with torch.device("meta"):
        model = VitaForConditionalGeneration(config)
    language = sum(p.numel() for p in model.model.language_model.parameters())
    language += model.lm_head.weight.numel()
    tower = sum(p.numel() for p in model.model.vision_tower.parameters())
    assert language == 7_615_616_512  # Qwen2.5-7B
    assert round(tower / 1e6, 1) == 304.0
    published = vita.published_shapes({k: tuple(v.shape) for k, v in model.state_dict().items()})
    assert len(published) == 339 + 340 + 4

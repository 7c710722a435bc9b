"""The original code's outputs on a tiny checkpoint, reproduced."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vitarmm_agent.models.vita import VitaForConditionalGeneration, VitaProcessor
from vitarmm_agent.models.vita.conversation import Turn, conversation
from vitarmm_agent.models.vita.processing import VitaImageProcessor

CASES = ("text_short", "image1_short", "image2_short", "text_full", "image1_full")
SIZES = ("448x448", "900x300", "640x1200", "100x80")


@lru_cache
def _load(folder: Path) -> tuple[Any, Any, dict[str, Any], Any]:
    model = VitaForConditionalGeneration.from_pretrained(folder)
    cases = {c["name"]: c for c in json.loads((folder / "parity.json").read_text())["cases"]}
    arrays = dict(np.load(folder / "parity.npz"))
    return model, VitaProcessor.from_pretrained(folder), cases, arrays


@pytest.fixture
def proof(shared: Path) -> tuple[Any, Any, dict[str, Any], Any]:
    return _load(shared / "fixtures" / "vita_a")


def test_the_cases_are_all_there_are(proof):
    assert set(proof[2]) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_inputs_are_exact(proof, shared, name):
    _, processor, cases, arrays = proof
    case = cases[name]
    images = [shared / "fixtures" / "vita_a" / image for image in case["images"]]
    ready = processor.prepare(case["prompt"], images)
    assert processor.tokenize_prompt(case["prompt"]) == arrays[f"{name}__input_ids"][0].tolist()
    assert list(ready.tiles) == case["tiles_per_image"]
    assert len(ready.input_ids) == case["sequence_length"]
    if images:
        assert np.array_equal(ready.pixel_values.numpy(), arrays[f"{name}__pixel_values"])
    else:
        assert ready.pixel_values is None


@pytest.mark.parametrize("name", CASES)
def test_logits_features_and_greedy_tokens(proof, shared, name):
    model, processor, cases, arrays = proof
    case = cases[name]
    images = [shared / "fixtures" / "vita_a" / image for image in case["images"]] or None
    inputs = processor(text=case["prompt"], images=images)
    with torch.no_grad():
        output = model(**inputs)
    wanted = torch.from_numpy(arrays[f"{name}__logits"])
    assert (output.logits[:, -wanted.shape[1] :] - wanted).abs().max() <= 1e-4
    if images:
        features = torch.from_numpy(arrays[f"{name}__image_features"])
        assert (output.image_hidden_states - features).abs().max() <= 1e-4
    # the reference was decoded with the end token disabled
    ids = model.generate(**inputs, max_new_tokens=16, eos_token_id=None)
    new = ids[0, inputs["input_ids"].shape[1] :]
    assert new.tolist() == arrays[f"{name}__greedy_ids"][0].tolist()


def test_unequal_prompts_in_one_batch(proof, shared):
    model, processor, cases, arrays = proof
    folder = shared / "fixtures" / "vita_a"
    inputs = processor(
        text=[cases[name]["prompt"] for name in CASES],
        images=[[folder / image for image in cases[name]["images"]] for name in CASES],
    )
    assert inputs["attention_mask"].sum(1).tolist() == [
        cases[name]["sequence_length"] for name in CASES
    ]
    ids = model.generate(**inputs, max_new_tokens=16, eos_token_id=None)
    new = ids[:, inputs["input_ids"].shape[1] :].tolist()
    assert new == [arrays[f"{name}__greedy_ids"][0].tolist() for name in CASES]


def test_a_converted_folder_gives_the_same(proof, shared, tmp_path):
    from vitarmm_agent.models.vita.convert import convert

    model, processor, cases, arrays = proof
    convert(shared / "fixtures" / "vita_a", tmp_path / "converted")
    again = VitaForConditionalGeneration.from_pretrained(tmp_path / "converted")
    case = cases["image1_short"]
    images = [shared / "fixtures" / "vita_a" / image for image in case["images"]]
    inputs = VitaProcessor.from_pretrained(tmp_path / "converted")(
        text=case["prompt"], images=images
    )
    with torch.no_grad():
        logits = again(**inputs).logits
    assert (logits - torch.from_numpy(arrays["image1_short__logits"])).abs().max() <= 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_the_published_size(shared, size):
    folder = shared / "fixtures" / "vita_preprocess"
    cases = json.loads((folder / "preprocess.json").read_text())["cases"]
    mine = [case for case in cases if case["image"] == f"grad_{size}.png"]
    assert mine
    for case in mine:
        got = VitaImageProcessor()(folder / case["image"], max_tiles=case["max_num"])
        pixels = got["pixel_values"].numpy()
        assert list(pixels.shape) == case["shape"]
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == case["sha256_float32"]


@pytest.mark.parametrize("layout", ["qwen2p5_instruct", "mixtral_two", "mixtral_zh", "nemo"])
def test_prompts_are_byte_identical(shared, layout):
    wanted = json.loads((shared / "fixtures" / "vita_a" / "prompts.json").read_text())[layout]
    talk = conversation(layout)
    one = [Turn("user", "QUESTION")]
    tiles = [Turn("user", "<image><image>\nQUESTION")]
    two = [Turn("user", "Q1"), Turn("assistant", "A1"), Turn("user", "Q2")]
    got = {
        "lang": talk.prompt(one),
        "any": talk.prompt(one),
        "image": talk.prompt(tiles),
        "video": talk.prompt(tiles, "video"),
        "lang_two_turns": talk.prompt(two),
    }
    assert {name: got[name] for name in wanted} == wanted

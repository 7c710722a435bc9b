"""What lies on disk: layouts, shards, towers, damage."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from tests.models.vita.conftest import noise
from tests.models.vita.tiny import Tiny
from vitarmm_agent.errors import InputError, WeightsError
from vitarmm_agent.models.vita import VitaConfig, VitaForConditionalGeneration, VitaProcessor
from vitarmm_agent.models.vita.convert import convert

TOWER = "model.vision_tower.vision_tower."


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_shards_in_half_precision(tiny, tmp_path, dtype):
    folder = tiny.write(tmp_path / "vita", shards=4, dtype=dtype)
    model = VitaForConditionalGeneration.from_pretrained(folder)
    assert model.dtype == dtype  # from the files: config.json says float16 either way
    whole = tiny.write(tmp_path / "whole", dtype=dtype)
    assert same(weights(model), weights(VitaForConditionalGeneration.from_pretrained(whole)))
    asked = VitaForConditionalGeneration.from_pretrained(folder, dtype="float32")
    assert {p.dtype for p in asked.parameters()} == {torch.float32}


@pytest.mark.parametrize("device_map", ["cpu", "auto"])
def test_device_map(tiny_dir, device_map):
    plain = VitaForConditionalGeneration.from_pretrained(tiny_dir)
    mapped = VitaForConditionalGeneration.from_pretrained(tiny_dir, device_map=device_map)
    assert same(weights(plain), weights(mapped))


def test_the_separate_tower_loses_against_the_checkpoint(tiny, tiny_dir, tmp_path):
    folder = tiny.write(tmp_path / "vita")
    tiny.write_tower(folder, factor=3.0)
    with_folder = VitaForConditionalGeneration.from_pretrained(folder)
    assert same(
        weights(with_folder), weights(VitaForConditionalGeneration.from_pretrained(tiny_dir))
    )


@pytest.mark.parametrize("shards", [1, 3])
def test_a_checkpoint_without_a_tower_borrows_the_separate_one(
    tiny, tiny_dir, tmp_path, caplog, shards
):
    rest = {k: v for k, v in tiny.tensors().items() if not k.startswith(TOWER)}
    folder = tiny.write(tmp_path / "vita", shards=shards, tensors=rest)
    with pytest.raises(WeightsError, match="neither model.safetensors"):
        VitaForConditionalGeneration.from_pretrained(folder)
    tiny.write_tower(folder)
    with caplog.at_level(logging.WARNING):
        model = VitaForConditionalGeneration.from_pretrained(folder)
    assert "may not be the trained ones" in caplog.text
    assert same(weights(model), weights(VitaForConditionalGeneration.from_pretrained(tiny_dir)))
    assert model.config.name_or_path == str(folder)


def test_the_tower_config_may_be_given_or_lie_at_the_named_path(tiny, tmp_path):
    folder = tiny.write(tmp_path / "vita")
    elsewhere = tmp_path / "models" / "InternViT-elsewhere"
    elsewhere.parent.mkdir()
    (folder / "InternViT-300M-448px").rename(elsewhere)
    with pytest.raises(WeightsError, match="built in"):  # 24 layers of width 1024
        VitaForConditionalGeneration.from_pretrained(folder)
    given = VitaForConditionalGeneration.from_pretrained(
        folder, vision_config=VitaConfig.from_pretrained(tiny.write(tmp_path / "b")).vision_config
    )
    edit_config(folder, mm_vision_tower=str(elsewhere))
    named = VitaForConditionalGeneration.from_pretrained(folder)
    assert same(weights(given), weights(named))


def test_image_statistics_come_from_the_towers_folder(tiny, tmp_path):
    folder = tiny.write(tmp_path / "vita")
    stored = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "InternViT-300M-448px" / "preprocessor_config.json").write_text(json.dumps(stored))
    processor = VitaProcessor.from_pretrained(folder)
    assert processor.image_processor.image_mean == (0.5, 0.5, 0.5)
    assert processor.image_processor.image_std == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("kind", ["qwen2p5_instruct", "mixtral-8x7b", "nemo"])
def test_a_converted_folder_loads_without_conversion(kind, tmp_path):
    tiny = Tiny(kind=kind)
    source = tiny.write(tmp_path / "vita", shards=2)
    target = convert(source, tmp_path / "converted")
    assert json.loads((target / "config.json").read_text())["model_type"] == "vita"
    names = load_file(target / "model.safetensors").keys()
    assert not any("qkv" in name or "audio" in name or "block_sparse" in name for name in names)
    before = weights(VitaForConditionalGeneration.from_pretrained(source))
    assert same(before, weights(VitaForConditionalGeneration.from_pretrained(target)))


@pytest.mark.thorough
def test_a_converted_folder_needs_no_conversion_code(tmp_path):
    source = Tiny(kind="mixtral-8x7b").write(tmp_path / "vita")
    target = convert(source, tmp_path / "converted")
    script = (
        "import sys\n"
        "from vitarmm_agent.models.vita import VitaForConditionalGeneration, VitaProcessor\n"
        f"model = VitaForConditionalGeneration.from_pretrained({str(target)!r})\n"
        f"VitaProcessor.from_pretrained({str(target)!r})\n"
        "assert 'vitarmm_agent.models.vita.conversion' not in sys.modules\n"
        f"model.save_pretrained({str(tmp_path / 'again')!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert same(again, load_file(target / "model.safetensors"))


def test_the_processor_survives_saving(tiny_dir, tmp_path):
    before = VitaProcessor.from_pretrained(tiny_dir)
    before.image_processor.max_tiles = 5
    before.save_pretrained(tmp_path)
    VitaConfig.from_pretrained(tiny_dir).save_pretrained(tmp_path)
    after = VitaProcessor.from_pretrained(tmp_path)
    picture = noise(300, 100)
    prompt = "<image>\nWhat?"
    one, other = (p(text=prompt, images=picture) for p in (before, after))
    assert torch.equal(one["input_ids"], other["input_ids"])
    assert torch.equal(one["pixel_values"], other["pixel_values"])
    assert after.max_sequence_length == 2000
    assert after.chat_template == before.chat_template


@pytest.mark.parametrize("layout", ["published", "converted"])
def test_auto_classes(tiny_dir, tmp_path, layout):
    folder = tiny_dir if layout == "published" else convert(tiny_dir, tmp_path / "converted")
    assert type(AutoConfig.from_pretrained(folder)) is VitaConfig
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(model) is VitaForConditionalGeneration
    assert same(weights(model), weights(VitaForConditionalGeneration.from_pretrained(tiny_dir)))
    assert type(AutoProcessor.from_pretrained(folder)) is VitaProcessor


def test_decoding_is_never_inherited(tiny, tmp_path):
    folder = tiny.write(tmp_path / "vita")
    sampling = {
        "do_sample": True,
        "temperature": 0.7,
        "repetition_penalty": 1.05,
        "eos_token_id": 3,
    }
    (folder / "generation_config.json").write_text(json.dumps(sampling))
    settings = VitaForConditionalGeneration.from_pretrained(folder).generation_config
    tokenizer = tiny.tokenizer
    assert settings.do_sample is False
    assert settings.repetition_penalty in (None, 1.0)
    stops = ["<|im_end|>", "<|im_start|>", "<|endoftext|>"]
    assert settings.eos_token_id == tokenizer.convert_tokens_to_ids(stops)


def test_the_model_type_can_be_given(tiny, tmp_path):
    folder = tiny.write(tmp_path / "vita")
    edit_config(folder, model_type="vita-next")
    with pytest.raises(InputError, match="'vita-next'.*--vita-model-type.*qwen2p5_fo_instruct"):
        VitaForConditionalGeneration.from_pretrained(folder)
    model = VitaForConditionalGeneration.from_pretrained(
        folder, vita_model_type="qwen2p5_fo_instruct"
    )
    assert model.config.vita_model_type == "qwen2p5_fo_instruct"
    processor = VitaProcessor.from_pretrained(folder, vita_model_type="nemo")
    assert processor.conversation.name == "nemo"
    with pytest.raises(InputError, match="'gpt' is unknown"):
        VitaProcessor.from_pretrained(folder, vita_model_type="gpt")


@pytest.mark.parametrize("loader", [VitaForConditionalGeneration, VitaProcessor])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no folder"),
        ({}, "no config.json"),
        ({"config.json": '{"model_type": "llama"}'}, "no VITA checkpoint.*'llama'"),
        ({"config.json": "{"}, "is no JSON"),
        ({"config.json": "[]"}, "not an object"),
    ],
)
def test_a_folder_that_is_no_vita_checkpoint(tmp_path, loader, content, message):
    folder = tmp_path / "x"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises((InputError, WeightsError), match=message):
        loader.from_pretrained(folder)


def test_missing_and_misshapen_tensors_are_named(tiny, tmp_path):
    tensors = tiny.tensors()
    del tensors["model.layers.1.mlp.up_proj.weight"]
    tensors["model.mm_projector.0.weight"] = torch.zeros(7, 7)
    tensors[f"{TOWER}encoder.layers.0.attn.qkv.weight"] = torch.zeros(9, 16)
    folder = tiny.write(tmp_path / "vita", tensors=tensors)
    with pytest.raises(WeightsError) as caught:
        VitaForConditionalGeneration.from_pretrained(folder)
    message = str(caught.value)
    assert "1 tensors are missing, 2 have another shape" in message
    assert "model.layers.1.mlp.up_proj.weight (missing)" in message
    assert "model.mm_projector.0.weight (is [7, 7], should be [32, 64])" in message
    assert f"{TOWER}encoder.layers.0.attn.qkv.weight (is [9, 16], should be [48, 16])" in message


def test_at_most_ten_tensors_are_named(tiny, tmp_path):
    rest = {k: v for k, v in tiny.tensors().items() if ".layers.0." not in k}
    folder = tiny.write(tmp_path / "vita", tensors=rest)
    with pytest.raises(WeightsError, match="and 16 more") as caught:
        VitaForConditionalGeneration.from_pretrained(folder)
    assert str(caught.value).count("(missing)") == 10


def test_a_converted_folder_is_checked_too(tiny_dir, tmp_path):
    folder = convert(tiny_dir, tmp_path / "converted")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.mm_projector.2.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"model.mm_projector.2.bias \(missing\)"):
        VitaForConditionalGeneration.from_pretrained(folder)


def test_a_shard_that_is_missing_or_damaged(tiny, tmp_path):
    folder = tiny.write(tmp_path / "vita", shards=3)
    shard = folder / "model-00002-of-00003.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="00002.*is damaged"):
        VitaForConditionalGeneration.from_pretrained(folder)
    shard.unlink()
    with pytest.raises(WeightsError, match="lacks 1 of 3 weight files: model-00002"):
        VitaForConditionalGeneration.from_pretrained(folder)


def test_a_folder_without_tokenizer(tiny, tmp_path):
    folder = tiny.write(tmp_path / "vita")
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(WeightsError, match="no usable tokenizer"):
        VitaProcessor.from_pretrained(folder)


def test_converting_never_overwrites(tiny_dir, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        convert(tiny_dir, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_lora_on_the_language_model(tiny_dir, tmp_path):
    peft = pytest.importorskip("peft")
    model = VitaForConditionalGeneration.from_pretrained(tiny_dir)
    processor = VitaProcessor.from_pretrained(tiny_dir)
    inputs = processor(text="<image>\nWhat?", images=noise(112, 56))
    with torch.no_grad():
        plain = model(**inputs).logits
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=r".*language_model.*\.(q|v)_proj", init_lora_weights=False
    )
    adapted = peft.get_peft_model(model, config)
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert trained and all("language_model" in name for name in trained)
    with torch.no_grad():
        changed = adapted(**inputs).logits
    assert (changed - plain).abs().max() > 1e-3
    adapted.save_pretrained(tmp_path / "lora")
    fresh = VitaForConditionalGeneration.from_pretrained(tiny_dir)
    again = peft.PeftModel.from_pretrained(fresh, tmp_path / "lora")
    by_folder = VitaForConditionalGeneration.from_pretrained(tmp_path / "lora")
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, changed)
        assert torch.equal(by_folder(**inputs).logits, changed)
        merged = again.merge_and_unload()
        assert (merged(**inputs).logits - changed).abs().max() < 1e-4


def test_four_bits(tmp_path):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    folder = Tiny(width=64).write(tmp_path / "vita")
    skip = ["model.vision_tower", "model.mm_projector", "lm_head"]
    model = VitaForConditionalGeneration.from_pretrained(
        folder,
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=skip),
    )
    kinds = {name: type(m).__name__ for name, m in model.named_modules()}
    assert kinds["model.language_model.layers.0.self_attn.q_proj"] == "Linear4bit"
    assert kinds["model.vision_tower.encoder.layer.0.attention.q_proj"] == "Linear"
    inputs = VitaProcessor.from_pretrained(folder)(text="<image>\n?", images=noise(56, 56))
    with torch.no_grad():
        assert torch.isfinite(model(**inputs).logits).all()

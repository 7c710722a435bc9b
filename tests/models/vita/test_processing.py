"""Prompts and images to ids and pixels."""

from __future__ import annotations

import pytest
import torch

from tests.models.vita.conftest import noise
from tests.models.vita.tiny import Tiny
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.vita import VitaProcessor
from vitarmm_agent.models.vita.conversation import MODEL_TYPES, Turn


@pytest.fixture(scope="module")
def processor(tiny_dir):
    return VitaProcessor.from_pretrained(tiny_dir)


def test_a_tag_per_image_or_per_tile_is_the_same(processor):
    pictures = [noise(112, 56), noise(56, 56, 1)]  # 2 + 1 tiles, and 1
    per_image = processor(text="A <image>\nB <image>\nC", images=pictures)
    per_tile = processor(text="A <image><image><image>\nB <image>\nC", images=pictures)
    assert torch.equal(per_image["input_ids"], per_tile["input_ids"])
    assert per_image["pixel_values"].shape == (4, 3, 56, 56)
    assert int((per_image["input_ids"] == -200).sum()) == 4 * 4


@pytest.mark.parametrize("text", ["no tag", "<image> <image>", "<image>" * 4])
def test_tags_and_images_must_agree(processor, text):
    with pytest.raises(InputError, match="1 images of 3 tiles"):
        processor(text=text, images=noise(112, 56))


def test_tiles_can_be_limited_per_call(processor):
    picture = noise(112, 56)
    ids = [
        int((processor(text="<image>", images=picture, **limits)["input_ids"] == -200).sum()) // 4
        for limits in ({}, {"use_thumbnail": False}, {"max_tiles": 1}, {"min_tiles": 8})
    ]
    assert ids == [3, 2, 1, 9]
    with pytest.raises(InputError, match="min 3 and max 2"):
        processor(text="<image>", images=picture, min_tiles=3, max_tiles=2)


def test_pieces_are_tokenized_apart_and_only_the_first_bos_stays(tmp_path):
    processor = VitaProcessor.from_pretrained(Tiny(kind="nemo").write(tmp_path / "vita"))
    tokenizer = processor.tokenizer
    plain = tokenizer("ab", add_special_tokens=False).input_ids
    ids = processor.tokenize_prompt("ab<image><image>ab")
    assert ids == [tokenizer.bos_token_id, *plain, -200, -200, *plain]
    assert processor.tokenize_prompt("<image>ab") == [tokenizer.bos_token_id, -200, *plain]


def test_rows_are_padded_on_the_left(processor):
    batch = processor(text=["short", "a longer one"])
    assert batch["attention_mask"].tolist() == [[0] * 7 + [1] * 5, [1] * 12]
    pad = processor.tokenizer.pad_token_id
    assert batch["input_ids"][0, :7].tolist() == [pad] * 7
    assert "pixel_values" not in batch
    with pytest.raises(InputError, match="pads left"):
        processor(text="x", padding_side="right")


def test_images_for_another_number_of_prompts(processor):
    with pytest.raises(InputError, match="2 prompts but images for 3"):
        processor(text=["<image>", "<image>"], images=[noise(56, 56)] * 3)
    with pytest.raises(InputError, match="needs a text"):
        processor(images=noise(56, 56))


def test_a_prompt_beyond_the_context_is_refused_with_the_tiles_that_fit(tiny_dir):
    processor = VitaProcessor.from_pretrained(tiny_dir)
    processor.max_sequence_length = 60
    prompt = "<image>" + "x" * 23  # 37 positions are left: 9 tiles of 4
    with pytest.raises(InputError, match=r"75 tokens, 52 of them for 13 tiles.* 9 tiles fit"):
        processor(text=prompt, images=noise(280, 224))
    fits = processor(text=prompt, images=noise(280, 224), max_tiles=9, use_thumbnail=False)
    assert fits["input_ids"].shape[1] <= 60
    with pytest.raises(InputError, match="61 tokens.*shorten"):
        processor(text="x" * 61)


@pytest.mark.parametrize("kind", list(MODEL_TYPES))
def test_the_chat_template_writes_the_same_prompt(kind, tmp_path):
    processor = VitaProcessor.from_pretrained(Tiny(kind=kind).write(tmp_path / "vita"))
    said = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Q {1}\n"}]},
        {"role": "assistant", "content": "A1 'quoted'"},
        {"role": "user", "content": "Q2"},
    ]
    turns = [
        Turn("user", "<image>\nQ {1}\n"),
        Turn("assistant", "A1 'quoted'"),
        Turn("user", "Q2"),
    ]
    wanted = processor.conversation.prompt(turns)
    assert processor.apply_chat_template(said, add_generation_prompt=True) == wanted
    plain = [{"role": "user", "content": "Q"}]
    prompt = processor.apply_chat_template(plain, add_generation_prompt=True)
    assert prompt == processor.conversation.prompt([Turn("user", "Q")])


def test_the_chat_template_tokenizes_with_images(processor):
    said = [
        {
            "role": "user",
            "content": [{"type": "image", "image": noise(112, 56)}, {"type": "text", "text": "?"}],
        }
    ]
    inputs = processor.apply_chat_template(
        said, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert int((inputs["input_ids"] == -200).sum()) == 3 * 4
    assert inputs["pixel_values"].shape[0] == 3

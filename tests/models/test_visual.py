"""Vision-language models through the same path as text models."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import HumanMessage
from PIL import Image

from tests.models.conftest import make_tokenizer
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.folder import FolderChatModel

Load = Callable[..., FolderChatModel]
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
}


def picture(color: str, size: tuple[int, int] = (56, 56)) -> dict[str, Any]:
    """An image block of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return {"type": "image", "base64": data, "mime_type": "image/png"}


def llava(folder: Path) -> Path:
    """A tiny LLaVA: positions as in a text model."""
    from transformers import (
        CLIPImageProcessorPil,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = make_tokenizer()
    config = LlavaConfig(
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), **TEXT},
        vision_config={
            "model_type": "clip_vision_model", "image_size": 56, "patch_size": 14,
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "projection_dim": 32,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 56, "width": 56}
    images = CLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False)
    LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
    return folder


def qwen2_vl(folder: Path) -> Path:
    """A tiny Qwen2-VL: three positions per token, set by the model itself."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
    )

    tokenizer = make_tokenizer()
    names = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    template = tokenizer.chat_template.replace(
        "<image>", "<|vision_start|><|image_pad|><|vision_end|>"
    )
    tokenizer.chat_template = template
    ids = {f"{k}_token_id": tokenizer.convert_tokens_to_ids(v) for k, v in
           zip(("vision_start", "vision_end", "image", "video"), names, strict=True)}  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    config = Qwen2VLConfig(
        text_config={"vocab_size": len(tokenizer), "rope_parameters": rope, **TEXT},
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4,
                       "patch_size": 14, "mlp_ratio": 2},
        **ids,
    )  # fmt: skip
    config.text_config.eos_token_id = tokenizer.eos_token_id
    torch.manual_seed(0)
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    # as published: no file for the processor itself, nor for its video part
    Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=56 * 56).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[llava, qwen2_vl], ids=["llava", "qwen2-vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = request.param(tmp_path_factory.mktemp("vlm"))
    return made


def reference(
    model: FolderChatModel, content: list[dict[str, Any]], images: list[Image.Image]
) -> str:
    """Greedy reply by transformers' own ``generate``."""
    processor = model.engine.processor
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    inputs = processor(text=[text], return_tensors="pt", images=images or None)
    out = model.engine.model.generate(**inputs, max_new_tokens=12, do_sample=False)
    return str(processor.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def test_replies_to_images_equal_transformers(folder: Path, load: Load) -> None:
    model = load(folder)
    assert model.sees_images
    blocks = [picture("red"), {"type": "text", "text": "Which?"}, picture("blue", (112, 56))]
    reply = model.invoke([HumanMessage(blocks)])
    slots = [{"type": "image"}, {"type": "text", "text": "Which?"}, {"type": "image"}]
    images = [Image.new("RGB", (56, 56), "red"), Image.new("RGB", (112, 56), "blue")]
    assert reply.text == reference(model, slots, images)
    assert reply.response_metadata["images"] == 2


def test_images_change_the_reply(folder: Path, load: Load) -> None:
    model = load(folder)
    replies = {model.invoke([HumanMessage([picture(c)])]).text for c in ("red", "green", "blue")}
    assert len(replies) > 1


def test_text_alone_equals_transformers(folder: Path, load: Load) -> None:
    content = [{"type": "text", "text": "Hi"}]
    model = load(folder)
    assert model.invoke("Hi").text == reference(model, content, [])


def test_several_at_once_equal_one_by_one(folder: Path, load: Load) -> None:
    model = load(folder)
    asked = [[HumanMessage([picture(c), {"type": "text", "text": "?" * n}])]
             for n, c in enumerate(("red", "green", "blue"))]  # fmt: skip
    alone = [model.invoke(messages).text for messages in asked]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda m: model.invoke(m).text, asked)) == alone


def test_a_typed_image_token_is_text(folder: Path, load: Load) -> None:
    model = load(folder)
    token = model.engine.processor.image_token
    reply = model.invoke([HumanMessage(f"What does {token} mean?")])
    assert "images" not in reply.response_metadata


def test_web_addresses_are_refused(folder: Path, load: Load) -> None:
    block = {"type": "image", "url": "https://example.org/x.png"}
    with pytest.raises(InputError, match="not fetched over the network"):
        load(folder).invoke([HumanMessage([block])])

"""The network against its stock parts, put together by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from tests.models.vita.conftest import noise
from tests.models.vita.tiny import Tiny
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.vita import VitaConfig, VitaForConditionalGeneration, VitaProcessor
from vitarmm_agent.models.vita.conversation import Turn
from vitarmm_agent.models.vita.modeling import pixel_shuffle

VARIANTS = {
    "Qwen2": {"kind": "qwen2p5_instruct"},
    "fo-Qwen2": {"kind": "qwen2p5_fo_instruct", "layers": 3},
    "Mixtral": {"kind": "mixtral-8x7b"},
    "Mistral with its own head size": {"kind": "nemo", "layers": 1},
    "larger tiles": {"tile": 84, "tower_layers": 3},
    "smallest tiles": {"tile": 28, "tower_layers": 1},
}


def load(folder):
    return (
        VitaForConditionalGeneration.from_pretrained(folder),
        VitaProcessor.from_pretrained(folder),
    )


def ask(processor, text, images=1):
    turn = Turn("user", "<image>\n" * images + text)
    return processor.conversation.prompt([turn])


@pytest.fixture(scope="module")
def loaded(tiny_dir):
    return load(tiny_dir)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_equals_its_parts(name, tmp_path):
    tiny = Tiny(**VARIANTS[name])
    model, processor = load(tiny.write(tmp_path / "vita"))
    inputs = processor(text=ask(processor, "How many?"), images=noise(120, 60))
    with torch.no_grad():
        output = model(**inputs)
    wanted = tiny.logits(inputs["input_ids"][0].tolist(), inputs["pixel_values"])
    assert (output.logits[0] - wanted).abs().max() < 1e-4
    features = tiny.features(inputs["pixel_values"])
    assert output.image_hidden_states.shape[1] == tiny.tokens_per_tile
    assert (output.image_hidden_states - features).abs().max() < 1e-4


def test_text_alone_is_the_plain_language_model(tiny, loaded):
    model, processor = loaded
    inputs = processor(text=ask(processor, "2 + 2?", images=0))
    with torch.no_grad():
        logits = model(**inputs).logits[0]
    assert (logits - tiny.logits(inputs["input_ids"][0].tolist(), None)).abs().max() < 1e-4


def test_the_feature_scale_matters(loaded):
    model, processor = loaded
    pixels = processor(text=ask(processor, "?"), images=noise(56, 56))["pixel_values"]
    with torch.no_grad():
        trained = model.get_image_features(pixels)
        model.config.feature_scale = 1.0
        unscaled = model.get_image_features(pixels)
        model.config.feature_scale = 0.5
    assert (trained - unscaled).abs().max() > 0.1


def test_pixel_shuffle_keeps_the_order_of_the_four():
    grid = torch.arange(16.0).reshape(1, 4, 4, 1)
    assert pixel_shuffle(grid).tolist() == [
        [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    ]


def test_a_left_padded_batch_equals_one_by_one(loaded):
    model, processor = loaded
    texts = [ask(processor, "Which is larger, and why?"), "plain", ask(processor, "?", images=2)]
    images = [[noise(120, 60)], [], [noise(56, 56, 1), noise(60, 170, 2)]]
    batch = processor(text=texts, images=images)
    together = model.generate(**batch, max_new_tokens=8, eos_token_id=None)
    with torch.no_grad():
        logits = model(**batch).logits[:, -1]
    for row, (text, own) in enumerate(zip(texts, images, strict=True)):
        alone = processor(text=text, images=own or None)
        ids = model.generate(**alone, max_new_tokens=8, eos_token_id=None)
        assert ids[0, -8:].tolist() == together[row, -8:].tolist()
        with torch.no_grad():
            assert (model(**alone).logits[0, -1] - logits[row]).abs().max() < 1e-4


@pytest.mark.parametrize("where", ["before the image", "inside a tile", "behind the image"])
def test_generation_goes_on_from_a_cache_cut_anywhere(loaded, where):
    model, processor = loaded
    inputs = processor(text=ask(processor, "Go on?"), images=noise(120, 60))
    length = inputs["input_ids"].shape[1]
    places = (inputs["input_ids"][0] == -200).nonzero()
    first, last = int(places[0]), int(places[-1])
    kept = {"before the image": first - 3, "inside a tile": last - 5}.get(where, last + 3)
    fresh = model.generate(**inputs, max_new_tokens=8, eos_token_id=None)
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(**inputs, past_key_values=cache, use_cache=True)
    cache.crop(kept - length)
    reused = model.generate(**inputs, past_key_values=cache, max_new_tokens=8, eos_token_id=None)
    assert reused.tolist() == fresh.tolist()


def test_copies_of_a_prompt_keep_their_tiles_together(loaded):
    model, processor = loaded
    texts = [ask(processor, "Which?"), "no image", ask(processor, "And these?", images=2)]
    images = [[noise(112, 56)], [], [noise(56, 56, 1), noise(56, 56, 2)]]
    batch = processor(text=texts, images=images)
    numbers = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 56, 56)  # 3 tiles, then 1 + 1
    ids, expanded = model._expand_inputs_for_generation(
        2, input_ids=batch["input_ids"], pixel_values=numbers
    )
    assert ids.shape[0] == 6
    order = expanded["pixel_values"][:, 0, 0, 0].tolist()
    assert order == [0, 1, 2, 0, 1, 2, 3, 4, 3, 4]
    beams = model.generate(**batch, max_new_tokens=6, eos_token_id=None, num_beams=3)
    assert beams.shape == (3, batch["input_ids"].shape[1] + 6)


def test_a_repetition_penalty_sees_new_tokens_only(loaded):
    model, processor = loaded
    inputs = processor(text=ask(processor, "Again?"), images=noise(56, 56))
    free = model.generate(**inputs, max_new_tokens=12, eos_token_id=None)
    tried = model.generate(**inputs, max_new_tokens=12, eos_token_id=None, repetition_penalty=100.0)
    new = tried[0, -12:].tolist()
    assert len(set(new)) == 12  # so strong a penalty forbids every repetition
    assert tried[0, -12] == free[0, -12]  # the first token has nothing before it


def test_ids_without_a_token_are_never_generated(loaded):
    model, processor = loaded
    rows = model.config.text_config.vocab_size
    assert model.generation_config.suppress_tokens == list(range(len(processor.tokenizer), rows))
    with torch.no_grad():
        model.lm_head.weight[-1] += 100 * model.lm_head.weight[7]
    inputs = processor(text=ask(processor, "?", images=0))
    ids = model.generate(**inputs, max_new_tokens=8, eos_token_id=None)
    assert ids[0, -8:].max() < len(processor.tokenizer)


@pytest.mark.parametrize("tiles", [0, 1, 3])
def test_tiles_and_placeholders_must_agree(loaded, tiles):
    model, processor = loaded
    inputs = processor(text=ask(processor, "?"), images=noise(112, 56), use_thumbnail=False)
    pixels = torch.zeros(tiles, 3, 56, 56) if tiles else None
    with pytest.raises(InputError, match="8 image tokens but"):
        model(input_ids=inputs["input_ids"], pixel_values=pixels)


def test_labels_give_a_loss_whose_gradient_reaches_the_tower(tiny_dir):
    model, processor = load(tiny_dir)
    inputs = processor(text=ask(processor, "Learn."), images=noise(56, 56))
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == -200, -100)
    loss = model(**inputs, labels=labels).loss
    loss.backward()
    assert torch.isfinite(loss)
    patch = model.model.vision_tower.embeddings.patch_embeddings.projection.weight
    plain = patch.grad.clone()
    assert plain.abs().sum() > 0
    model.zero_grad()
    model.activation_checkpointing_enable()
    model.train()(**inputs, labels=labels).loss.backward()
    assert torch.allclose(patch.grad, plain, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vita_model_type": "vita-9"}, "'vita-9' is unknown"),
        ({"mm_projector_type": "resampler"}, "'resampler' is unknown"),
        ({"vision_config": {"image_size": 70}}, "even number of patches"),
        ({"vision_config": {"image_size": [56, 112]}}, "square"),
    ],
)
def test_configurations_that_cannot_be_built(wrong, message):
    with pytest.raises(InputError, match=message):
        VitaConfig(**wrong)


def test_the_default_configuration_is_the_published_tower():
    config = VitaConfig()
    assert (config.tile_size, config.tokens_per_tile) == (448, 256)
    assert config.vision_config.attention_bias and config.vision_config.num_hidden_layers == 24

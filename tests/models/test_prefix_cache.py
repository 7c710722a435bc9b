"""Reuse of prompt beginnings: what is kept, what is dropped, and that replies stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from langchain_core.messages import HumanMessage, SystemMessage

from tests.models.conftest import make_model
from vitarmm_agent.models.folder import FolderChatModel
from vitarmm_agent.models.prefix_cache import Layers, PrefixCache, cuts
from vitarmm_agent.settings import Settings

Load = Callable[..., FolderChatModel]
SYSTEM = SystemMessage("You solve problems step by step. " * 3)
PROBLEM = "A square has a perimeter of 20 cm. What is its area? " * 2
TAILS = ["Solve it.", "Mind the units. Solve it.", "Mind the units. Not 36. Solve it again."]


def values(length: int, seed: int = 0) -> Layers:
    torch.manual_seed(seed)
    return [(torch.randn(1, 2, length, 4), torch.randn(1, 2, length, 4)) for _ in range(3)]


def same(found: Layers | None, layers: Layers, length: int) -> bool:
    return found is not None and all(
        torch.equal(a, b[..., :length, :])
        for pair, other in zip(found, layers, strict=True)
        for a, b in zip(pair, other, strict=True)
    )


@pytest.mark.parametrize(
    ("total", "block", "ends"),
    [
        (1, 128, [1]),
        (32, 128, [32]),
        (33, 128, [32, 33]),
        (400, 128, [32, 64, 128, 256, 384, 400]),
        (1100, 512, [32, 64, 128, 256, 512, 1024, 1100]),
        (20, 8, [8, 16, 20]),
        (200, 96, [32, 64, 96, 192, 200]),
    ],
)
def test_blocks_end_at_fixed_positions(total: int, block: int, ends: list[int]) -> None:
    assert cuts(total, block) == ends


def test_ends_do_not_depend_on_the_length() -> None:
    longest = cuts(5_000, 128)
    for total in range(1, 2_000, 37):
        assert cuts(total, 128)[:-1] == [end for end in longest if end < total]


def test_the_longest_known_beginning_is_found() -> None:
    cache = PrefixCache(128, 10**9)
    layers = values(300)
    cache.store(range(300), layers)
    assert same(cache.find(range(300)), layers, 256)
    assert same(cache.find([*range(200), *range(1000, 1200)]), layers, 128)
    assert same(cache.find([*range(64), -1, -2]), layers, 64)
    assert cache.find([-1, *range(1, 300)]) is None


def test_one_position_is_always_left_to_compute() -> None:
    cache = PrefixCache(128, 10**9)
    cache.store(range(64), values(64))
    found = cache.find(range(64))
    assert found is not None and found[0][0].shape[-2] == 32


def test_roots_are_apart() -> None:
    cache = PrefixCache(128, 10**9)
    cache.store(range(64), values(64), root="adapter")
    assert cache.find(range(64)) is None
    assert cache.find(range(64), root="adapter") is not None


def test_shared_beginnings_are_kept_once() -> None:
    cache = PrefixCache(128, 10**9)
    cache.store([*range(128), *range(500, 756)], values(384))
    alone = cache.size
    cache.store([*range(128), *range(900, 1156)], values(384))
    assert cache.size == alone + alone * 256 // 384


def test_memory_stays_within_the_limit_and_old_ends_go_first() -> None:
    cache = PrefixCache(128, 0)
    per_position = 3 * 2 * 2 * 4 * 4
    cache.limit = 300 * per_position
    first, second = [*range(256)], [*range(128), *range(500, 628)]
    cache.store(first, values(256))
    cache.store(second, values(256))
    assert cache.size <= cache.limit
    found = cache.find([*second, 0])
    assert found is not None and found[0][0].shape[-2] == 256
    rest = cache.find([*first, 0])
    assert rest is not None and rest[0][0].shape[-2] == 128  # shared, so still in use
    cache.limit = 0
    cache.store([9] * 200, values(200))
    assert cache.find([9] * 200) is None


def test_what_is_kept_does_not_change_with_the_prompts_own_cache() -> None:
    cache, layers = PrefixCache(128, 10**9), values(64)
    before = [(k.clone(), v.clone()) for k, v in layers]
    cache.store(range(65), layers)
    layers[0][0].zero_()
    assert same(cache.find(range(65)), before, 64)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_replies_with_and_without_reuse_are_the_same(tiny: Path, load: Load, dtype: str) -> None:
    reusing = load(tiny, dtype=dtype, max_tokens=40)
    reusing.engine.prefix.clear()
    without = load(tiny, dtype=dtype, max_tokens=40, prefix_reuse=False)
    reused = []
    for tail in TAILS:
        messages = [SYSTEM, HumanMessage(f"{PROBLEM}\n{tail}")]
        reply, other = reusing.invoke(messages), without.invoke(messages)
        assert reply.text == other.text
        figures = reply.response_metadata["prefix"]
        assert figures["given"] == figures["reused"] + figures["computed"]
        assert other.response_metadata["prefix"]["reused"] == 0
        assert reply.usage_metadata["input_token_details"]["cache_read"] == figures["reused"]
        reused.append(figures["reused"])
    assert reused == [0, 128, 128]


def test_logits_with_reuse_are_equal_to_the_last_bit(tmp_path: Path, load: Load) -> None:
    """Cutting the prompt elsewhere does change them."""
    from vitarmm_agent.models.batch import Batch, Request
    from vitarmm_agent.models.decoding import Decoding

    folder = make_model(tmp_path / "wide", hidden_size=256, num_hidden_layers=4)
    model = load(folder)
    prompt = model.prepare([SYSTEM, HumanMessage(PROBLEM)])
    batch = Batch(model.engine.model, PrefixCache(128, 10**9), 10**9)

    def logits(reuse: bool) -> tuple[torch.Tensor, int]:
        request = Request(prompt, Decoding(), None, reuse, lambda event: None)
        found, _, reused = batch.prefill(request)
        return found, reused

    with torch.inference_mode():
        plain, _ = logits(False)
        _, cold = logits(True)
        warm, reused = logits(True)
        ids = torch.tensor([list(prompt.keys)])
        whole = model.engine.model(ids).logits[0, -1]
    assert (cold, reused) == (0, 128)
    assert torch.equal(plain, warm)
    assert not torch.equal(plain, whole)


def test_a_limit_of_zero_turns_reuse_off(tmp_path: Path, load: Load) -> None:
    model = load(make_model(tmp_path / "off"), prefix_bytes=0)
    for _ in range(2):
        reply = model.invoke([SYSTEM, HumanMessage(PROBLEM)])
        assert reply.response_metadata["prefix"]["reused"] == 0


def test_a_sliding_window_model_is_neither_reused_nor_wrong(tmp_path: Path, load: Load) -> None:
    folder = make_model(
        tmp_path / "sliding", use_sliding_window=True, sliding_window=16, max_window_layers=1
    )
    model = load(folder)
    first = model.invoke([SYSTEM, HumanMessage(PROBLEM)])
    again = model.invoke([SYSTEM, HumanMessage(PROBLEM)])
    assert first.text == again.text
    assert again.response_metadata["prefix"]["reused"] == 0


@pytest.mark.weights
def test_real_replies_with_and_without_reuse_are_the_same(
    weights: Callable[[str], Path], load: Load
) -> None:
    weights("smollm2-135m-instruct")
    home = Settings.load().home
    options = {"home": home, "device": "cpu", "max_tokens": 8}
    reusing = FolderChatModel.load("smollm2-135m-instruct", **options)
    without = FolderChatModel.load("smollm2-135m-instruct", prefix_reuse=False, **options)
    for number, tail in enumerate(TAILS):
        messages = [SYSTEM, HumanMessage(f"{PROBLEM}\n{tail}")]
        reply = reusing.invoke(messages)
        assert reply.text == without.invoke(messages).text
        assert bool(reply.response_metadata["prefix"]["reused"]) == bool(number)

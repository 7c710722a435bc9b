"""Room reserved ahead: rows join, grow and leave in place, and none touches another."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from langchain_core.messages import HumanMessage

from tests.models.conftest import make_model
from vitarmm_agent.models.local import LocalChatModel
from vitarmm_agent.models.prefix_cache import Layers
from vitarmm_agent.models.row_cache import AHEAD, RowCache, room_for

LAYERS, HEADS, SIZES = 2, 3, (4, 6)  # keys and values need not be of one size
POSITION_BYTES = LAYERS * HEADS * sum(SIZES) * 4

Load = Callable[..., LocalChatModel]


@pytest.fixture
def fresh_memory_is_nan() -> Iterator[None]:
    """Whatever reads memory that was never written gets NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def values(rows: int, length: int) -> Layers:
    return [
        (torch.randn(rows, HEADS, length, SIZES[0]), torch.randn(rows, HEADS, length, SIZES[1]))
        for _ in range(LAYERS)
    ]


class Plain:
    """The same rows, each in tensors of its own: what the cache must show."""

    def __init__(self) -> None:
        self.rows: list[tuple[Layers, int]] = []  # keys and values, positions still to come

    @property
    def width(self) -> int:
        return max(layers[0][0].shape[-2] for layers, _ in self.rows)

    @property
    def longest(self) -> int:
        return self.width + max(remaining for _, remaining in self.rows)

    def step(self, new: Layers) -> None:
        for place, (layers, remaining) in enumerate(self.rows):
            grown = [
                (torch.cat([k, nk[place, None]], dim=-2), torch.cat([v, nv[place, None]], dim=-2))
                for (k, v), (nk, nv) in zip(layers, new, strict=True)
            ]
            self.rows[place] = grown, remaining - 1

    def leave(self, cache: RowCache) -> None:
        """Rows that are over leave, and later ones take their places."""
        stay = [remaining > 0 for _, remaining in self.rows]
        count = sum(stay)
        free = [i for i in range(count) if not stay[i]]
        later = [i for i in range(count, len(stay)) if stay[i]]
        for place, old in zip(free, later, strict=True):
            self.rows[place] = self.rows[old]
        del self.rows[count:]
        if count:
            cache.keep(dict(zip(free, later, strict=True)), count, self.width)

    def shown_by(self, cache: RowCache) -> bool:
        return cache.get_seq_length() == self.width and all(
            torch.equal(shown, torch.cat([padded(row[index][kind], self.width) for row, _ in rows]))
            for rows in [self.rows]
            for index, layer in enumerate(cache.layers)
            for kind, shown in enumerate((layer.keys, layer.values))
        )


def padded(tensor: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[-2], 0))


@pytest.mark.usefixtures("fresh_memory_is_nan")
@pytest.mark.parametrize("seed", range(6))
def test_rows_stay_what_they_are_while_others_come_and_go(seed: int) -> None:
    torch.manual_seed(seed)
    chance, plain = random.Random(seed), Plain()
    limit = 8 * 700 * POSITION_BYTES
    cache = RowCache(values(1, 1), limit)
    widths = set()
    for turn in range(400):
        while not plain.rows or (len(plain.rows) < 8 and chance.random() < 0.1):
            row, remaining = values(1, chance.randint(1, 300)), chance.randint(1, 200)
            plain.rows.append((row, remaining))
            cache.join(row, plain.longest)
        cache.make_room(plain.longest)
        new = values(len(plain.rows), 1)
        for index, (keys, vals) in enumerate(new):
            cache.update(keys, vals, index)
        plain.step(new)
        assert plain.shown_by(cache), f"turn {turn}"
        assert cache.reserved <= limit
        widths.add(plain.width)
        plain.leave(cache)
        if not plain.rows:
            cache = RowCache(values(1, 1), limit)
        else:
            assert plain.shown_by(cache), f"turn {turn}, after leaving"
    assert max(widths) > 300 + AHEAD  # beyond what was first reserved


def test_growing_seldom_takes_new_memory() -> None:
    cache = RowCache(values(1, 1), 10**9)
    cache.join(values(1, 100), 1_100)
    places = set()
    for _ in range(1_000):
        cache.make_room(1_100)
        for index, (keys, vals) in enumerate(values(1, 1)):
            places.add(cache.update(keys, vals, index)[0].data_ptr())
    assert cache.get_seq_length() == 1_100
    assert len(places) <= 12 * LAYERS


def test_writing_where_no_room_is_reserved_is_refused() -> None:
    cache = RowCache(values(1, 1), 10**9)
    cache.join(values(1, 10), 11)
    first, second = values(1, 1), values(1, 1)
    cache.update(*first[0], 0)
    with pytest.raises(RuntimeError, match="exceeds"):
        cache.update(*second[0], 0)
    assert torch.equal(cache.layers[0].keys[..., -1:, :], first[0][0])


def test_buffers_keep_nothing_of_the_prompts_cache() -> None:
    row = values(1, 10)
    before = [(keys.clone(), vals.clone()) for keys, vals in row]
    cache = RowCache(row, 10**9)
    cache.join(row, 20)
    for pair in row:
        for tensor in pair:
            tensor.zero_()
    for layer, (keys, vals) in zip(cache.layers, before, strict=True):
        assert torch.equal(layer.keys, keys) and torch.equal(layer.values, vals)


@pytest.mark.parametrize(
    ("rows", "width", "longest", "limit", "room"),
    [
        (1, 100, 1_000, 10**6, (1, 164)),  # a little ahead
        (5, 400, 1_000, 10**6, (8, 500)),  # a quarter ahead, rows by doubling
        (5, 400, 420, 10**6, (8, 420)),  # no more than rows may come to
        (5, 400, 1_000, 3_000, (6, 500)),  # within the limit
        (5, 400, 1_000, 100, (5, 500)),  # what is there must fit in any case
        (1, 900, 901, 100, (1, 901)),
    ],
)
def test_what_is_reserved(
    rows: int, width: int, longest: int, limit: int, room: tuple[int, int]
) -> None:
    assert room_for(rows, width, longest, limit) == room


def test_replies_that_join_and_leave_at_any_step_equal_those_alone(
    tmp_path: Path, load: Load
) -> None:
    model = load(make_model(tmp_path / "own"))
    chance = random.Random(1)
    calls = [
        ("Why? " * chance.randint(1, 40) + f"What is {n} times {n}?", chance.randint(2, 220))
        for n in range(24)
    ]

    def ask(call: tuple[str, int]) -> str:
        return model.invoke(call[0], max_tokens=call[1]).text

    alone = [ask(call) for call in calls]
    model.engine.max_batch = 5  # the rest wait, and each joins when another has left
    before = model.engine.figures
    with ThreadPoolExecutor(len(calls)) as pool:
        together = list(pool.map(ask, calls))
    after = model.engine.figures
    assert together == alone
    assert after.steps - before.steps < (after.output_tokens - before.output_tokens) / 2


def test_decoding_leaves_the_prefix_cache_as_it_is(tmp_path: Path, load: Load) -> None:
    model = load(make_model(tmp_path / "own"))
    questions = [f"{'So it is. ' * n}Why?" for n in (8, 14, 20)]
    prompts = [model.prepare([HumanMessage(question)]) for question in questions]
    for question in questions:
        model.invoke(question, max_tokens=1)
    prefix = model.engine.prefix
    kept = [prefix.find([*prompt.keys, -1]) for prompt in prompts]
    assert all(kept)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda q: model.invoke(q, max_tokens=200), questions))
    for prompt, layers in zip(prompts, kept, strict=True):
        now = prefix.find([*prompt.keys, -1])
        assert now is not None and layers is not None
        for pair, old in zip(now, layers, strict=True):
            assert torch.equal(pair[0], old[0]) and torch.equal(pair[1], old[1])

"""Turning tokens into text as they come, and stopping in time."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.models.conftest import make_tokenizer
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.decoding import Decoding
from vitarmm_agent.models.sampling import KnownTokens, Sampling
from vitarmm_agent.models.text_stream import TextStream

TOKENIZER = make_tokenizer()


def pieces(text: str, stop: tuple[str, ...] = ()) -> list[str]:
    """What a stream releases for each byte of ``text``, then at the end."""
    stream = TextStream(TOKENIZER, stop)
    out = []
    for token in TOKENIZER(text, add_special_tokens=False)["input_ids"]:
        out.append(stream.push(token))
        if stream.stopped:
            break
    return [*out, stream.finish()]


@pytest.mark.parametrize(
    "text", ["plain", "3 × 4 = 12 €", "面积是 25 平方厘米", "👩‍👩‍👧 ok", "", " a  b\n"]
)
def test_text_comes_out_whole_and_never_in_broken_characters(text: str) -> None:
    out = pieces(text)
    assert "".join(out) == text
    assert "\ufffd" not in "".join(out)


def test_bytes_that_are_no_text_come_at_the_end() -> None:
    stream = TextStream(TOKENIZER)
    first = TOKENIZER("€", add_special_tokens=False)["input_ids"][0]
    assert stream.push(first) == ""
    assert stream.finish() == "\ufffd"


def test_control_tokens_are_no_text() -> None:
    stream = TextStream(TOKENIZER)
    assert stream.push(TOKENIZER.convert_tokens_to_ids("<|im_start|>")) == ""
    assert stream.finish() == ""


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one STOP two", ("STOP",), "one "),
        ("one STO two", ("STOP",), "one STO two"),
        ("aaab", ("aab",), "a"),
        ("x\n\ny", ("\n\n",), "x"),
        ("ends in ST", ("STOP",), "ends in ST"),
        ("later first", ("first", "later"), ""),
        ("中止 now", ("止",), "中"),
    ],
)
def test_text_ends_before_the_first_stop(text: str, stop: tuple[str, ...], expected: str) -> None:
    assert "".join(pieces(text, stop)) == expected


def test_what_may_become_a_stop_is_held_back() -> None:
    shown = list(itertools.accumulate(pieces("a STO b", ("STOP",))))
    assert shown[:6] == ["a", "a ", "a ", "a ", "a ", "a STO "]


def drawn(logits: torch.Tensor, decoding: Decoding, times: int) -> list[int]:
    sampling, empty = Sampling(decoding), torch.zeros((1, 0), dtype=torch.long)
    return [int(sampling(empty, logits.unsqueeze(0)).argmax()) for _ in range(times)]


def test_ids_the_tokenizer_does_not_know_are_never_picked() -> None:
    logits = torch.zeros(10)
    logits[8] = 100
    logits[3] = 1
    known = KnownTokens(5)(torch.zeros((1, 0), dtype=torch.long), logits.unsqueeze(0))
    assert int(known.argmax()) == 3 and logits[8] == 100
    assert set(drawn(known[0], Decoding(temperature=100.0, seed=1), 200)) == {0, 1, 2, 3, 4}


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).log_softmax(-1)
    found = torch.tensor(drawn(logits, Decoding(temperature=1.0, seed=0), 4000))
    shares = torch.bincount(found, minlength=3) / 4000
    assert torch.allclose(shares, logits.exp(), atol=0.03)


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert set(drawn(logits, Decoding(temperature=1.0, top_p=0.75, seed=0), 300)) == {0, 1}


def test_sampling_leaves_torchs_own_generator_alone() -> None:
    before = torch.random.get_rng_state()
    drawn(torch.zeros(8), Decoding(temperature=1.0), 10)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"stop": ("",)},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_p": float("nan")},
        {"stop": ("ok", "\ud800")},
    ],  # fmt: skip
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Decoding(**wrong)  # type: ignore[arg-type]

"""Layouts, control text and state markers."""

from __future__ import annotations

import pytest

from tests.models.vita.tiny import Tiny
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.vita import VitaProcessor
from vitarmm_agent.models.vita.chat import StateFilter
from vitarmm_agent.models.vita.conversation import (
    MODEL_TYPES,
    SYSTEM_TEXTS,
    VITA_10_STATES,
    VITA_15_STATES,
    Turn,
    conversation,
    model_type,
)


def test_every_model_type_has_a_layout():
    names = {name: conversation(name).name for name in MODEL_TYPES}
    assert names == {
        "qwen2p5_instruct": "qwen2p5_instruct",
        "qwen2p5_fo_instruct": "qwen2p5_instruct",
        "mixtral-8x7b": "mixtral_two",
        "nemo": "nemo",
    }


@pytest.mark.parametrize("lookup", [conversation, model_type])
def test_unknown_names(lookup):
    with pytest.raises(InputError, match="'gpt-4' is unknown"):
        lookup("gpt-4")


def test_one_image_anywhere_decides_the_system_text():
    talk = conversation("qwen2p5_instruct")
    turns = [Turn("user", "Hi"), Turn("assistant", "Hi"), Turn("user", "<image>\nWhat?")]
    assert SYSTEM_TEXTS["image"] in talk.prompt(turns)
    assert SYSTEM_TEXTS["image"] not in talk.prompt(turns[:1])


@pytest.mark.parametrize("roles", ["", "a", "uu", "uaa", "uauu"])
def test_turns_must_alternate(roles):
    turns = [Turn({"u": "user", "a": "assistant"}[role], "x") for role in roles]
    with pytest.raises(InputError, match="alternates"):
        conversation("nemo").prompt(turns)


@pytest.mark.parametrize("kind", list(MODEL_TYPES))
def test_typed_control_text_becomes_ordinary_text(kind, tmp_path):
    processor = VitaProcessor.from_pretrained(Tiny(kind=kind).write(tmp_path / "vita"))
    layout = processor.conversation
    controls = [*layout.control, *layout.states, "<image>", "<audio>", "<video>"]
    for control in controls:
        text = processor.without_control(f"before {control} after")
        assert control not in text and "before" in text and "after" in text
        assert len(text) <= len(f"before {control} after") + 1  # still readable
        special = set(processor.tokenizer.all_special_ids) | {processor.image_token_id}
        body = processor.tokenize_prompt(text)
        body = body[1:] if body[:1] == [processor.tokenizer.bos_token_id] else body
        assert not special & set(body)
    nested = processor.without_control(
        f"<ima<image>ge> {controls[0][:2]}{controls[0]}{controls[0][2:]}"
    )
    assert "<image>" not in nested and controls[0] not in nested


def test_ordinary_text_is_left_alone(tiny_dir):
    processor = VitaProcessor.from_pretrained(tiny_dir)
    text = "If a < b and <images> or [INST] … ← then 3 <3"
    assert processor.without_control(text) == text


STREAMS = [
    (VITA_15_STATES, ["☜", "The", " answer"], "The answer", "text"),
    (VITA_15_STATES, [" ", "☞ ", " Hi\n"], "Hi", "speech"),
    (VITA_15_STATES, ["☟"], "", "background"),
    (VITA_15_STATES, ["4", " ☜ 2", "  "], "4 ☜ 2", None),
    (VITA_15_STATES, ["☜☜x"], "☜x", "text"),
    (VITA_15_STATES, ["", "a ", " b", " \n", "c"], "a  b \nc", None),
    (VITA_10_STATES, ["<", "3", "> yes"], "yes", "text"),
    (VITA_10_STATES, ["<", "b", ">"], "<b>", None),
    (VITA_10_STATES, ["<2"], "<2", None),
    (VITA_15_STATES, [], "", None),
]


@pytest.mark.parametrize(("states", "pieces", "text", "state"), STREAMS)
def test_the_marker_is_taken_out_however_the_reply_is_cut(states, pieces, text, state):
    for cut in (pieces, ["".join(pieces)], list("".join(pieces))):
        reply = StateFilter(states)
        got = "".join(map(reply.push, cut)) + reply.finish()
        assert (got, reply.metadata()) == (text, {"vita_state": state})


def test_a_reply_in_the_history_gets_its_marker_back():
    assert conversation("nemo").mark("yes", "speech") == "☞yes"
    assert conversation("mixtral-8x7b").mark("yes", "text") == "<3>yes"
    assert conversation("nemo").mark("yes", None) == "yes"

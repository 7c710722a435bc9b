"""Structured output: any schema, always JSON; what cannot be used is visible."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from vitarmm_agent.errors import InputError, OutputError
from vitarmm_agent.models.folder import FolderChatModel
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.models.structured import json_schema_of, read_reply

CONSTRAINED = {"decoding": {"constrained": True}}
"""What a model of this machine says of a reply that was to keep to a schema."""


class Step(BaseModel):
    number: Literal[1, 2, 3]
    right: bool


class Judgement(BaseModel):
    verdict: Literal["pass", "fail", "abstain"]
    steps: list[Step] = Field(max_length=2)
    kind: Literal["unit", "format"] | None = None


class Shape(TypedDict):
    sides: Literal[3, 4]
    regular: bool


class Picky(BaseModel):
    word: Literal["yes", "no"]

    @field_validator("word")
    @classmethod
    def _never(cls, value: str) -> str:
        raise ValueError("nothing is good enough")


def test_a_pydantic_class_gives_instances(model: FolderChatModel) -> None:
    judge = model.with_structured_output(Judgement).bind()
    for seed in range(5):
        found = judge.invoke("Judge", temperature=3.0, seed=seed, max_tokens=200)
        assert isinstance(found, Judgement)


def test_sampling_reaches_different_data(model: FolderChatModel) -> None:
    hot = FolderChatModel(engine=model.engine, model="hot", temperature=3.0, max_tokens=200)
    judge = hot.with_structured_output(Judgement)
    assert len({judge.invoke("Judge").model_dump_json() for _ in range(8)}) > 1


def test_a_typed_dict_and_a_json_schema_give_dicts(model: FolderChatModel) -> None:
    found = model.with_structured_output(Shape).invoke("A shape", max_tokens=100)
    assert found["sides"] in (3, 4) and isinstance(found["regular"], bool)
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    assert model.with_structured_output(schema).invoke("n")["n"] in (1, 2)


def test_raw_and_parsed_come_together(model: FolderChatModel) -> None:
    got = model.with_structured_output(Judgement, include_raw=True).invoke("J", max_tokens=200)
    assert isinstance(got["raw"], AIMessage) and got["parsing_error"] is None
    assert json.loads(got["raw"].text) == got["parsed"].model_dump(mode="json", exclude_unset=True)
    assert got["raw"].response_metadata["decoding"]["constrained"] is True
    assert got["raw"].response_metadata["finish_reason"] == "stop"


def test_a_reply_that_is_cut_off_is_a_visible_failure(model: FolderChatModel) -> None:
    short = model.with_structured_output(Judgement)
    with pytest.raises(OutputError, match="cut off at max_tokens"):
        short.invoke("Judge", max_tokens=5)
    got = model.with_structured_output(Judgement, include_raw=True).invoke("Judge", max_tokens=5)
    assert got["parsed"] is None and isinstance(got["parsing_error"], OutputError)
    assert got["raw"].text


def test_what_a_grammar_cannot_say_is_checked_afterwards(model: FolderChatModel) -> None:
    with pytest.raises(OutputError, match="no Picky .*nothing is good enough"):
        model.with_structured_output(Picky).invoke("Word", max_tokens=60)


def test_strings_keep_to_their_length(model: FolderChatModel) -> None:
    class Note(BaseModel):
        text: str = Field(max_length=5)

    hot = FolderChatModel(engine=model.engine, model="hot", temperature=2.0, max_tokens=120)
    assert all(len(hot.with_structured_output(Note).invoke("N").text) <= 5 for _ in range(4))


def test_bytes_that_form_no_character_are_left_out() -> None:
    class Note(BaseModel):
        text: str = Field(max_length=5)

    half_a_pair = b"\xed\xa0\x80".decode(errors="replace")
    reply = AIMessage(f'{{"text": "{half_a_pair}P\x1f\x16G"}}')
    assert len(half_a_pair) == 3 and read_reply(Note, reply).text == "P\x1f\x16G"


def test_free_and_constrained_replies_share_a_batch(model: FolderChatModel) -> None:
    judge = model.with_structured_output(Judgement)
    alone = (model.invoke("Hi").text, judge.invoke("Judge", max_tokens=200))
    with ThreadPoolExecutor(2) as pool:
        free = pool.submit(lambda: model.invoke("Hi").text)
        constrained = pool.submit(lambda: judge.invoke("Judge", max_tokens=200))
    assert (free.result(), constrained.result()) == alone


async def test_async_gives_the_same(model: FolderChatModel) -> None:
    judge = model.with_structured_output(Judgement)
    assert await judge.ainvoke("Judge", max_tokens=200) == judge.invoke("Judge", max_tokens=200)


def test_options_that_mean_nothing_are_refused(model: FolderChatModel) -> None:
    with pytest.raises(InputError, match="method must be one of"):
        model.with_structured_output(Judgement, method="magic")
    with pytest.raises(InputError, match="does not know tools"):
        model.with_structured_output(Judgement, tools=[])
    with pytest.raises(InputError, match="is no schema"):
        model.with_structured_output({"nonsense": 1})
    assert model.with_structured_output(Judgement, method="function_calling", strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "```json\n{}\n```",
        "<think>[1, 2]</think>{}",
        "In the set {2} and [a, the judgement is:\n\n{}\n\nAsk me {anything}.",
        "First {'single': 1}, then {}",
    ],
)
def test_a_reply_may_have_words_round_its_json(text: str) -> None:
    given = text.replace("{}", '{"verdict": "pass", "steps": []}')
    assert read_reply(Judgement, AIMessage(given)) == Judgement(verdict="pass", steps=[])


class Basket(BaseModel):
    fruits: list[Shape]


@pytest.mark.parametrize(
    "bare", ['[{"sides": 3, "regular": true}]', '{"sides": 3, "regular": true}']
)
def test_a_reply_may_leave_out_the_object_round_its_one_list(bare: str) -> None:
    asked = (Basket, Basket.model_json_schema())
    for read in (read_reply(schema, AIMessage(bare)) for schema in asked):
        fruits = read["fruits"] if isinstance(read, dict) else read.fruits
        assert fruits == [{"sides": 3, "regular": True}]


@pytest.mark.parametrize(
    "wrapped",
    [
        '{"fruits": {"sides": 3, "regular": true}}',
        '{"fruit": {"sides": 3, "regular": true}}',
        '{"basket": {"fruits": [{"sides": 3, "regular": true}]}}',
        '{"basket": {"fruits": {"sides": 3, "regular": true}}}',
        '{"result": [{"sides": 3, "regular": true}]}',
    ],
)
def test_a_reply_may_put_one_thing_round_what_was_asked_for(wrapped: str) -> None:
    asked = (Basket, Basket.model_json_schema())
    for read in (read_reply(schema, AIMessage(wrapped)) for schema in asked):
        fruits = read["fruits"] if isinstance(read, dict) else read.fruits
        assert fruits == [{"sides": 3, "regular": True}]
    judged = read_reply(Judgement, AIMessage('{"judgement": {"verdict": "pass", "steps": []}}'))
    assert judged == Judgement(verdict="pass", steps=[])
    assert read_reply({"type": "object"}, AIMessage('{"a": {"b": 1}}')) == {"a": {"b": 1}}


@pytest.mark.parametrize("end", ["content_filter", "SAFETY", "guardrail_intervened"])
def test_what_a_filter_stopped_is_not_used(end: str) -> None:
    reply = AIMessage('{"fruits": []}', response_metadata={"finish_reason": end})
    for schema in (Basket, Basket.model_json_schema()):
        with pytest.raises(OutputError, match="content filter stopped the reply"):
            read_reply(schema, reply)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ('{"verdict": "pass", "steps": []', "not JSON"),
        ('{"verdict": "perhaps", "steps": []}', "no Judgement .*verdict"),
        ("[]", "no Judgement"),
    ],
)
def test_replies_are_read_strictly(text: str, complaint: str) -> None:
    with pytest.raises(OutputError, match=complaint):
        read_reply(Judgement, AIMessage(text))


@pytest.mark.parametrize(
    "words",
    [
        {"allOf": [{"type": "object", "required": ["a"]}]},
        {"const": {"a": 5}},
        {"not": {"type": "string"}},
        {"prefixItems": [{"type": "integer"}], "type": "array"},
        {"required": ["a"], "type": "object"},
    ],
    ids=lambda words: next(iter(words)),
)
def test_all_words_of_a_json_schema_are_kept_and_checked(words: dict[str, Any]) -> None:
    schema = {"title": "T", **words}
    assert json_schema_of(schema) == schema
    with pytest.raises(OutputError, match="not of the schema"):
        read_reply(schema, AIMessage('"a text"', response_metadata=CONSTRAINED))
    loop = {"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}
    for endless in (loop, {"$ref": "#/$defs/No"}):
        with pytest.raises(OutputError, match="references cannot be followed"):
            read_reply(endless, AIMessage("{}", response_metadata=CONSTRAINED))


def test_a_schema_that_is_nested_too_deeply_is_refused(model: FolderChatModel) -> None:
    for depth in (60, 300, 3000):
        deep: dict[str, Any] = {"type": "integer"}
        for _ in range(depth):
            deep = {"type": "object", "properties": {"a": deep}}
        with pytest.raises(InputError, match="nested more than 100 levels deep"):
            model.with_structured_output(deep)


def test_a_property_may_be_anything() -> None:
    schema = {"type": "object", "properties": {"a": True}}
    assert read_reply(schema, AIMessage('{"a": [1]}')) == {"a": [1]}


def test_scripts_go_through_the_same_parsing() -> None:
    data: dict[str, Any] = {"verdict": "pass", "steps": [{"number": 1, "right": True}]}
    model = ScriptedChatModel.of({"structured": data}, "no idea")
    judge = model.with_structured_output(Judgement, include_raw=True)
    assert judge.invoke("J")["parsed"] == Judgement.model_validate(data)
    assert "not JSON" in str(judge.invoke("J")["parsing_error"])

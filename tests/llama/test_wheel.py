"""What we rely on of llama.cpp's wheel. A new release that changes one of these fails here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest

from tests.models.tiny_gguf import write_gguf
from vitarmm_agent.llama.child import parameters
from vitarmm_agent.llama.process import Options
from vitarmm_agent.llama.server import LlamaServer
from vitarmm_agent.models.grammar import grammar_of

GIVEN: dict[str, Any] = {
    "weights": "w", "socket": "x.sock", "key": "k", "connections": 128, "slots": 2,
    "context": 256, "cache_mb": 7, "batch": 64, "threads": 1, "batch_threads": 2,
    "check": True, "embedding": False, "adapter": None,
}  # fmt: skip
DEFAULTS = {
    "ui": True, "warmup": True, "fit_params": True, "verbosity": 3, "ctx_shift": False,
    "check_tensors": False, "cache_ram_mib": 8192, "hostnames": ["127.0.0.1"], "api_keys": [],
    "prefill_assistant": True, "use_jinja": True, "embd_normalize": 2,
}  # fmt: skip


def test_the_version_is_the_one_that_was_tried() -> None:
    assert version("xllamacpp") == "2026.10.11549"


def test_defaults_are_those_that_were_seen() -> None:
    import xllamacpp

    found = xllamacpp.CommonParams()
    assert {name: getattr(found, name) for name in DEFAULTS} == DEFAULTS


def test_every_option_is_taken() -> None:
    """An unknown one would pass silently: each must be an attribute before it is set."""
    import xllamacpp

    known = set(dir(xllamacpp.CommonParams()))
    made = parameters(GIVEN)
    assert set(dir(made)) == known
    assert (made.n_ctx, made.n_parallel, made.kv_unified) == (512, 2, False)
    assert (made.hostnames, made.api_keys, made.ui) == (["x.sock"], ["k"], False)
    assert (made.cpuparams.n_threads, made.cpuparams_batch.n_threads) == (1, 2)
    assert (made.n_batch, made.n_ubatch, made.cache_ram_mib) == (64, 64, 7)
    assert (made.check_tensors, made.endpoint_slots, made.fit_params) == (True, False, False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    server = LlamaServer(
        write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf"), Options(context=256, slots=2)
    )
    yield server
    server.close()


def chat(server: LlamaServer, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hi"}]
    plain = {"max_tokens": 12, "temperature": 0, "top_k": 0, "min_p": 0}
    answer: dict[str, Any] = server.post(
        "/v1/chat/completions", {"messages": messages} | plain | more
    )
    return answer


def said(answer: dict[str, Any]) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


def test_a_slot_has_the_context_that_was_asked_for(server: LlamaServer) -> None:
    assert server.about()["default_generation_settings"]["n_ctx"] == 256
    assert server.about()["total_slots"] == 2


def test_sampling_by_itself_is_not_what_we_ask_for(server: LlamaServer) -> None:
    params = server.about()["default_generation_settings"]["params"]
    assert (params["top_k"], params["seed"]) == (40, 2**32 - 1)
    assert round(params["top_p"], 2) == 0.95 and round(params["min_p"], 2) == 0.05
    assert params["repeat_penalty"] == 1.0


def test_greedy_is_one_text_and_a_seed_decides(server: LlamaServer) -> None:
    assert len({said(chat(server)) for _ in range(3)}) == 1
    hot = {"temperature": 2.0}
    assert said(chat(server, seed=1, **hot)) == said(chat(server, seed=1, **hot))
    assert len({said(chat(server, seed=seed, **hot)) for seed in range(4)}) > 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 3, "maximum": 5},
        {"type": "string", "maxLength": 3},
        {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
        {"type": "string", "pattern": "^[a-c]{2}$"},
        {"anyOf": [{"type": "null"}, {"const": "x"}]},
        {"$ref": "#/$defs/leaf"},
    ],
    ids=lambda schema: next(iter(schema)),
)
def test_a_grammar_keeps_bounds_and_writes_no_white_space(
    server: LlamaServer, schema: dict[str, Any]
) -> None:
    import jsonschema

    whole = {
        "type": "object", "properties": {"x": schema}, "required": ["x"],
        "additionalProperties": False, "$defs": {"leaf": {"type": "boolean"}},
    }  # fmt: skip
    grammar = grammar_of(json.dumps(whole)).text
    for seed in range(4):
        text = said(chat(server, grammar=grammar, max_tokens=60, temperature=2.0, seed=seed))
        data = json.loads(text, strict=False)
        jsonschema.validate(data, whole)
        assert text.startswith('{"x":') and not text.startswith('{"x": ')


def test_a_keyword_that_a_grammar_cannot_keep_would_constrain_nothing(server: LlamaServer) -> None:
    """Why :mod:`vitarmm_agent.models.grammar` leaves such keywords out."""
    grammar = '%llguidance {}\nstart: %json {"type": "array", "uniqueItems": true}\n'
    assert not said(chat(server, grammar=grammar)).startswith("[")


def test_a_last_message_of_the_assistants_is_continued(server: LlamaServer) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "abc"}]
    rendered = server.post("/apply-template", {"messages": turns})["prompt"]
    assert rendered.endswith("<|im_start|>assistant\nabc")


def test_typed_control_tokens_are_seen_by_the_tokenizer(server: LlamaServer) -> None:
    marked, plain = (
        server.post("/tokenize", {"content": "a<|im_end|>", "parse_special": s})["tokens"]
        for s in (True, False)
    )
    assert len(marked) == 2 < len(plain)


def test_a_prompt_that_comes_again_is_not_computed_again(server: LlamaServer) -> None:
    first = chat(server, max_tokens=1)["usage"]
    again = chat(server, max_tokens=1)["usage"]
    assert again["prompt_tokens_details"]["cached_tokens"] >= first["prompt_tokens"] - 1
    off = chat(server, max_tokens=1, cache_prompt=False)["usage"]
    assert off["prompt_tokens_details"]["cached_tokens"] == 0

"""In-process models: loading, constrained against free decoding, a batch against one at a time.

python -m vitarmm_agent.evals.speed.models [NAME]
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from vitarmm_agent.evals.speed.measure import Row, print_table
from vitarmm_agent.models.batch import Completion
from vitarmm_agent.models.convert import converted_folder, load_gguf
from vitarmm_agent.models.loading import open_folder
from vitarmm_agent.models.local import LocalChatModel
from vitarmm_agent.settings import Settings
from vitarmm_agent.weights import resolve

NAME = "qwen2.5-coder-0.5b-instruct"
TOKENS = 64
ROUNDS = 3
BATCHES = (8, 64)
QUESTION = [HumanMessage("List the first twenty prime numbers and say something about each.")]
SCHEMA = {
    "title": "Facts",
    "type": "object",
    "properties": {
        "facts": {"type": "array", "items": {"type": "string"}, "minItems": 20, "maxItems": 20}
    },
    "required": ["facts"],
}


def first_token(model: Any, tokenizer: Any) -> None:
    """Make the model say something, so that lazily mapped weights are really read."""
    import torch

    ids = tokenizer("Hello", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        model(input_ids=ids)


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def loading(gguf: Path, folder: Path) -> Row:
    """Both until the first token, once warm from the file cache."""

    def ours() -> None:
        engine = open_folder(folder, name=NAME, dtype="bfloat16", device="cpu")
        first_token(engine.model, engine.tokenizer)

    ours()
    cached = min(seconds(ours) for _ in range(ROUNDS))
    direct = seconds(lambda: first_token(*load_gguf(gguf)))
    return Row("load to first token", cached, direct, "s", "GGUF by transformers", "≤ 0.125×")


def decode_rate(model: LocalChatModel, schema: dict[str, Any] | None = None) -> float:
    """Tokens per second after the first."""
    decoding = model.decoding(json_schema=schema) if schema else model.decoding()
    events = model.engine.generate(model.prepare(QUESTION), decoding)
    next(events)
    start = time.perf_counter()
    end = [event for event in events if isinstance(event, Completion)][0]
    assert end.output_tokens == TOKENS, "the reply ended too early to be timed"
    return (end.output_tokens - 1) / (time.perf_counter() - start)


def structured_rates(model: LocalChatModel) -> Row:
    """Interleaved, so that a noisy machine hits both alike; the best of each."""
    decode_rate(model), decode_rate(model, SCHEMA)
    pairs = [(decode_rate(model, SCHEMA), decode_rate(model)) for _ in range(ROUNDS)]
    ours, free = (max(rates) for rates in zip(*pairs, strict=True))
    return Row("constrained decoding", ours, free, "tok/s", "free decoding", "≥ 0.85×")


def batch_rate(model: LocalChatModel, calls: int) -> Row:
    """Tokens per second of all replies together, their prompts included."""

    def together() -> None:
        with ThreadPoolExecutor(calls) as pool:
            list(pool.map(lambda n: model.invoke(f"{n}: {QUESTION[0].text}"), range(calls)))

    single = max(decode_rate(model) for _ in range(ROUNDS))
    rate = calls * TOKENS / min(seconds(together) for _ in range(ROUNDS))
    return Row(f"{calls} calls at once", rate, single, "tok/s", "one call", "")


def main(name: str = NAME) -> None:
    """Measure and print."""
    home = Settings.load().home
    gguf = resolve(name, home)
    rows = [loading(gguf, converted_folder(gguf, home))]
    model = LocalChatModel.load(name, home=home, device="cpu", max_tokens=TOKENS)
    rows += [structured_rates(model), *(batch_rate(model, calls) for calls in BATCHES)]
    print_table(f"In-process models ({name}, bf16, CPU)", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

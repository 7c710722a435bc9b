"""The local default model against llama.cpp's bare wheel: one call, many, structured, a prompt again.

Both sides run in processes of their own, in turn, with the same weights, context, slots and threads.
``--busy N`` runs so many busy loops beside them, each in a session of its own, as other people's work is:
Linux shares processor time among sessions first.

Run: ``python -m vitarmm_agent.evals.speed.models [--busy N] [--rounds N] [--name NAME]``.
``--side ours`` prints the figures of one side as JSON; it uses nothing but LangChain's interface, so that
it measures other revisions too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from vitarmm_agent.evals.speed.measure import Row, print_table

NAME = "qwen2.5-coder-0.5b-instruct"
TOKENS = 32
TOGETHER = (1, 4, 16)
QUESTION = "List the first twenty prime numbers and say something about each."
START = "You solve problems step by step and write each step on a line of its own. " * 24
TAILS = ("Solve it.", "Mind the units. Solve it.", "Mind the units. It is not 36. Solve it again.")
SCHEMA = {
    "title": "Facts",
    "type": "object",
    "properties": {
        "facts": {"type": "array", "items": {"type": "string"}, "minItems": 20, "maxItems": 20}
    },
    "required": ["facts"],
    "additionalProperties": False,
}
Say = Callable[..., int]
"""Asks with a system text, a question and perhaps a schema; returns the tokens of the reply."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default=NAME)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=sorted(SIDES))
    given = parser.parse_args()
    if given.side:
        print(json.dumps(figures(SIDES[given.side](given.name))))
        return
    loop = [sys.executable, "-c", "while 1: pass"]
    neighbours = [subprocess.Popen(loop, start_new_session=True) for _ in range(given.busy)]
    try:
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(given.rounds):
            for side in SIDES:
                found[side].append(_in_a_process(side, given.name))
    finally:
        for neighbour in neighbours:
            neighbour.kill()
    ours, bare = (_medians(found[side]) for side in ("ours", "bare"))
    rows = [Row(what, ours[what], bare[what], _unit(what), "bare wheel", "") for what in ours]
    print_table(f"Local models ({given.name}, {given.busy} busy neighbours)", rows)


def figures(make: Callable[[], Say]) -> dict[str, float]:
    """Seconds to the first reply, tokens a second, and seconds of three attempts on one problem."""
    begun = time.perf_counter()
    say = make()
    say("", "Hi", tokens=1)
    found = {"first token, s": time.perf_counter() - begun}
    for calls in TOGETHER:
        found[f"{calls} at once, tok/s"] = _rate(say, calls)
    found["structured, tok/s"] = _rate(say, 1, schema=SCHEMA)
    for number, tail in enumerate(TAILS, start=1):
        begun = time.perf_counter()
        say(START, tail, tokens=4)
        found[f"attempt {number}, s"] = time.perf_counter() - begun
    return found


def ours(name: str) -> Callable[[], Say]:
    """The chat model that the spec names."""
    from langchain_core.messages import HumanMessage, SystemMessage

    from vitarmm_agent.models import load_chat_model

    def make() -> Say:
        model = load_chat_model(f"local:{name}")

        def say(system: str, question: str, *, tokens: int, schema: Any = None) -> int:
            messages = [*([SystemMessage(system)] if system else []), HumanMessage(question)]
            options = {} if schema is None else {"json_schema": schema}
            reply = model.invoke(messages, max_tokens=tokens, **options)
            assert reply.usage_metadata is not None
            return reply.usage_metadata["output_tokens"]

        return say

    return make


def bare(name: str) -> Callable[[], Say]:
    """The wheel's server in this process, with nothing of ours between."""
    from vitarmm_agent.llama.child import parameters
    from vitarmm_agent.llama.process import Options, cores, default_threads
    from vitarmm_agent.models.grammar import grammar_of
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.weights import resolve

    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import tempfile

    import xllamacpp  # type: ignore[import-untyped, unused-ignore]

    options = Options()
    held = {
        "weights": str(resolve(name, Settings.load().home)),
        "socket": f"{tempfile.mkdtemp()}/x.sock", "key": "k", "connections": 64,
        "slots": options.slots, "context": options.context, "cache_mb": options.cache_mb,
        "batch": options.batch, "threads": default_threads(), "batch_threads": cores(),
        "check": False, "embedding": False, "adapter": None,
    }  # fmt: skip

    def make() -> Say:
        server = xllamacpp.Server(parameters(held))

        def say(system: str, question: str, *, tokens: int, schema: Any = None) -> int:
            turns = [{"role": "system", "content": system}] if system else []
            body = {
                "messages": [*turns, {"role": "user", "content": question}],
                "max_tokens": tokens, "temperature": 0, "top_k": 0, "min_p": 0,
            }  # fmt: skip
            if schema is not None:
                body["grammar"] = grammar_of(json.dumps(schema)).text
            answers: list[Any] = []
            server.handle_chat_completions(json.dumps(body), answers.append)
            answer = answers[-1] if isinstance(answers[-1], dict) else json.loads(answers[-1])
            return int(answer["usage"]["completion_tokens"])

        return say

    return make


SIDES: dict[str, Callable[[str], Callable[[], Say]]] = {"ours": ours, "bare": bare}


def _rate(say: Say, calls: int, **more: Any) -> float:
    """Tokens a second of so many replies at once, their prompts included."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(calls) as pool:
        ask = partial(say, "", tokens=TOKENS, **more)
        tokens = sum(pool.map(ask, [f"{n}: {QUESTION}" for n in range(calls)]))
    return tokens / (time.perf_counter() - begun)


def _in_a_process(side: str, name: str) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, "--side", side, "--name", name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, start_new_session=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _medians(series: list[dict[str, float]]) -> dict[str, float]:
    return {what: statistics.median(one[what] for one in series) for what in series[0]}


def _unit(what: str) -> str:
    return what.rpartition(", ")[2]


if __name__ == "__main__":
    main()

"""Decoding many replies together: keys and values written in place against transformers' own cache.

Both caches hold the same rows; steps are taken in turn. With ``--memory`` that many calls are kept
going instead, for ``--seconds``, and the memory of the process is shown.

Run: ``python -m vitarmm_agent.evals.speed.decoding [SPEC] [--rows 8 32 64] [--memory 64]``; SPEC is
any ``local:`` model.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vitarmm_agent.evals.speed.measure import Row, interleaved, medians, print_table
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.settings import DEFAULT_CHAT_MODEL

LIMIT = 1024**3
PROMPTS, REPLIES = (150, 600), (20, 300)


def rate(model: Any, rows: int, positions: int, steps: int) -> Row:
    """Tokens per second of the forward passes alone, of rows that have ``positions`` already."""
    import torch
    from transformers import DynamicCache

    from vitarmm_agent.models.prefix_cache import plain_layers
    from vitarmm_agent.models.row_cache import RowCache

    ids = torch.ones((rows, 1), dtype=torch.long, device=model.device)
    plain = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(input_ids=ids[:1].expand(1, positions), past_key_values=plain, logits_to_keep=1)
        row = plain_layers(plain)
        assert row is not None, "a model with sliding windows is not decoded in batches"
        ours, longest = RowCache(row, LIMIT), positions + steps + 1
        for _ in range(rows):
            ours.join(row, longest)
        plain.batch_repeat_interleave(rows)

        def step(cache: Any) -> None:
            length = cache.get_seq_length()
            mask = torch.ones((rows, length + 1), dtype=torch.long, device=model.device)
            mask[0, 0] = 0  # as where rows are of several lengths
            places = torch.full((rows, 1), length, device=model.device)
            model(
                input_ids=ids, position_ids=places, attention_mask=mask, past_key_values=cache
            ).logits.sum().item()  # waits for the device

        def in_place() -> None:
            ours.make_room(longest)
            step(ours)

        own, theirs = medians(interleaved(in_place, lambda: step(plain), repeat=steps))
    return Row(f"{rows} replies", rows / own, rows / theirs, "tokens/s", "DynamicCache")


def held() -> tuple[float, float]:
    """GB of memory that the process has now, and had at most."""
    with open("/proc/self/status", encoding="ascii") as lines:
        now = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return now / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def keep_going(engine: Any, calls: int, seconds: float) -> None:
    """Random prompts and lengths of replies, so that replies join and leave all the time."""
    from vitarmm_agent.models.decoding import Decoding
    from vitarmm_agent.models.local import text_prompt

    chance, known = random.Random(0), len(engine.tokenizer)
    end = time.monotonic() + seconds

    def ask(_: int) -> None:
        while time.monotonic() < end:
            ids = [chance.randrange(known) for _ in range(chance.randint(*PROMPTS))]
            decoding = Decoding(max_tokens=chance.randint(*REPLIES))
            for _ in engine.generate(text_prompt(ids), decoding):
                if time.monotonic() > end:
                    break

    started = held()[0]
    with ThreadPoolExecutor(calls) as pool:
        list(pool.map(ask, range(calls)))
    now, most = held()
    print(
        f"{calls} calls for {seconds:g} s, {engine.figures.steps:,} steps: "
        f"{started:.2f} GB before, {now:.2f} now, {most:.2f} at most; "
        f"{engine.prefix.size / 1e9:.2f} in the prefix cache, "
        f"{engine.cache_bytes / 1e9:.2f} at most for keys and values"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", nargs="?", default=DEFAULT_CHAT_MODEL)
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 32, 64])
    parser.add_argument("--positions", type=int, default=300)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--memory", type=int, default=0, metavar="CALLS")
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    engine = load_chat_model(given.spec).engine  # type: ignore[attr-defined]
    if given.memory:
        return keep_going(engine, given.memory, given.seconds)
    rows = [rate(engine.model, count, given.positions, given.steps) for count in given.rows]
    print_table(f"Decoding together ({given.spec}, {given.positions} positions)", rows)


if __name__ == "__main__":
    main()

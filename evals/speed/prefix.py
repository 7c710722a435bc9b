"""Prefix reuse: three attempts on one problem, memory and feedback added between them.

The prompts are those of the loop: what stays the same comes first. The same chat model answers with
reuse of the key-value cache and without; prompt tokens, wall time and replies are compared.

Run: ``python -m vitarmm_agent.evals.speed.prefix [SPEC] [--image FILE]``; SPEC is any model that
runs in this process, such as ``local:NAME`` or ``vita:DIR``.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import SystemMessage

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import ImageRef, MediaStore
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.recorded import prompt_messages
from vitarmm_agent.nodes.reason import attempt_text, prompt_data
from vitarmm_agent.problem import Feedback, Problem
from vitarmm_agent.settings import DEFAULT_CHAT_MODEL

QUESTION = (
    "A shop sells pencils in boxes of 12 and erasers in boxes of 20. A school buys 15 boxes of "
    "pencils and 7 boxes of erasers, gives every one of its 36 pupils 4 pencils and 3 erasers, and "
    "keeps the rest in store. How many pencils and erasers together does it keep in store?"
)
GROUNDS = Feedback(verdict="fail", source="human", message="Keep the erasers in mind as well.")
MENDED = "1. 15 * 12 = 180"
MEMORY = [
    MemoryEntry(
        id="m-1",
        entry_type="correction",
        title="Multiply in parts",
        content="Split a product such as 15 * 12 into 10 * 12 + 5 * 12 and add.",
    ),
    MemoryEntry(
        id="m-2",
        entry_type="insight",
        title="Count every kind",
        content="When two kinds of things are asked for together, work out both and add at the end.",
    ),
]


@dataclass(frozen=True)
class Measured:
    """One attempt, answered with reuse or without."""

    given: int
    computed: int
    seconds: float
    text: str


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("spec", nargs="?", default=DEFAULT_CHAT_MODEL)
    parser.add_argument("--image", type=Path, help="give the problem this image")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    reuse: Any = load_chat_model(options.spec, max_tokens=options.max_tokens, temperature=0.0)
    if not hasattr(reuse, "prefix_reuse"):
        raise InputError(f"{options.spec!r} does not run in this process; use local: or vita:")
    fresh = reuse.model_copy(update={"prefix_reuse": False})
    fresh.invoke("Warm up.")
    rounds = [(measure(reuse, options.image), measure(fresh, options.image))
              for _ in range(options.repeat)]  # fmt: skip
    print_comparison(options.spec, rounds)


def measure(model: Any, image: Path | None) -> list[Measured]:
    """Answer the three attempts, which begin like nothing that was asked before."""
    begins = secrets.token_hex(4)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for system, *rest in prompts(MediaStore(folder, local_files=True), image):
            messages = [SystemMessage(f"{begins} {system.text}"), *rest]
            started = time.perf_counter()
            reply = model.invoke(messages)
            seconds = time.perf_counter() - started
            prefix = reply.response_metadata["prefix"]
            found.append(Measured(prefix["given"], prefix["computed"], seconds, reply.text))
    return found


def prompts(media: MediaStore, image: Path | None) -> Iterator[list[Any]]:
    """The loop's messages: bare, with memory, with more and feedback, and to go on from a mended step."""
    images = (media.put(ImageRef(source=str(image))),) if image else ()
    problem = Problem(text=QUESTION, images=images)
    stages: list[tuple[list[MemoryEntry], Feedback | None, str]] = [
        ([], None, ""),
        (MEMORY[:1], None, ""),
        (MEMORY, GROUNDS, ""),
        (MEMORY, None, MENDED),
    ]
    for entries, failed, prefilled in stages:
        data = prompt_data(problem, attempt_text(entries, failed), prefilled=prefilled)
        yield prompt_messages(data, media)


def print_comparison(spec: str, rounds: list[tuple[list[Measured], list[Measured]]]) -> None:
    """Print the Markdown table: medians of the rounds."""
    print(f"### Prefix reuse, {Path(spec).name if ':' not in spec else spec}\n")
    print("| attempt | prompt tokens | computed with reuse | computed without "
          "| s with | s without | same reply |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    totals = [0, 0, 0, 0.0, 0.0]
    for number in range(len(rounds[0][0])):
        with_reuse = [round_[0][number] for round_ in rounds]
        without = [round_[1][number] for round_ in rounds]
        same = len({measured.text for measured in [*with_reuse, *without]}) == 1
        row = [
            without[0].given,
            with_reuse[0].computed,
            without[0].computed,
            statistics.median(measured.seconds for measured in with_reuse),
            statistics.median(measured.seconds for measured in without),
        ]
        totals = [total + value for total, value in zip(totals, row, strict=True)]
        print(_line(str(number + 1), row, "yes" if same else "NO"))
    print(_line("all", totals, ""))
    print()


def _line(label: str, row: list[Any], same: str) -> str:
    numbers = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row]
    return f"| {' | '.join([label, *numbers, same])} |"


if __name__ == "__main__":
    main()

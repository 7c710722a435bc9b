"""Examples that help shows below each command, as one would type them."""

from __future__ import annotations

from inspect import cleandoc

import typer

EXAMPLES: dict[str, tuple[str, ...]] = {
    "solve": (
        'solve "A baker makes 48 rolls a day and sells half. How many are left after 3 days?"',
        'solve "How many triangles are there?" --image figure.png --choice 3 --choice 5',
        'solve "What is 17 * 23?" -r openai:gpt-5-mini -f arithmetic,judge -n 2',
    ),
    "resume": (
        "resume 20260131-120000-3f2a",
        'resume 20260131 --verdict fail --step 2 --reason "The side is 5 cm."',
    ),
    "demo": ("demo", "demo --keep demo-data"),
    "teach": (
        "teach 20260131 --solution solution.txt",
        "teach --problem \"What is 3 * 4?\" --solution $'1. 3 * 4 = 12\\nAnswer: 12'",
    ),
    "judge": ("judge 20260131 pass", 'judge 20260131 fail --step 2 --reason "The side is 5 cm."'),
    "learn": ("learn runs.jsonl", "learn langfuse.json --score correct --pass-from 0.7"),
    "simulate": (
        "simulate --gsm8k-path train.jsonl --sample-size 200 --output-dir data",
        "simulate --gsm8k-path train.jsonl --on-siblings 2 --oracle --output-dir data",
    ),
    "train": ("train --data data --output-dir adapter",),
    "ui": ("ui --open",),
    "mcp": ("mcp", "mcp --http --set user_id=ada"),
    "serve": ("serve --port 8766",),
    "doctor": ("doctor", "doctor --ask -r openai:gpt-5-mini"),
    "trust": ("trust",),
    "trace list": ("trace list", "trace list baker --status failed --since 2026-01-31"),
    "trace show": ("trace show 20260131", "trace show 20260131 --prompt"),
    "trace diff": ("trace diff 20260131-120000 20260131-130000",),
    "trace export": ("trace export 20260131 run.html --html",),
    "trace delete": ("trace delete 20260131-120000",),
    "trace tag": (
        'trace tag 20260131 geometry "to discuss"',
        "trace tag 20260131 --remove geometry",
    ),
    "trace note": ('trace note 20260131 "It reads the figure wrong."',),
    "trace prune": ("trace prune --older-than 30d --keep-last 100 --dry-run",),
    "memory list": ("memory list --type correction",),
    "memory show": ("memory show m-2b1c",),
    "memory search": ('memory search "A square has a perimeter of 36 cm. What is its area?"',),
    "memory add": (
        'memory add "Divide the perimeter by four." --when "the perimeter of a square is given"',
    ),
    "memory edit": ('memory edit m-2b1c --title "Area of a square" --reason "clearer"',),
    "memory forget": ("memory forget m-2b1c",),
    "memory review": ("memory review", "memory review m-2b1c --accept"),
    "memory merge": ("memory merge m-2b1c m-77ab",),
    "memory stats": ("memory stats",),
    "memory reindex": ("memory reindex --embedder openai:text-embedding-3-small",),
    "memory undo": ("memory undo 20260131-120000-3f2a",),
    "memory log": ("memory log --limit 10",),
    "memory namespaces": ("memory namespaces",),
    "memory check": ("memory check",),
    "memory compact": ("memory compact --older-than 365d --dry-run",),
    "memory consolidate": ("memory consolidate", "memory consolidate --apply"),
    "memory export": ("memory export entries.jsonl", "memory export --skills skills"),
    "memory import": ("memory import entries.jsonl", "memory import --skills skills"),
    "eval": (
        "eval --gsm8k-path gsm8k_test.jsonl --sample-size 200 --output-dir gsm8k",
        "eval --problems-path mine.jsonl --arms single,empty --output-dir mine --dry-run",
    ),
    "eval siblings": ("eval siblings --groups 8",),
    "eval rmm": ("eval rmm --data data --rmm rule --rmm local:NAME+adapter --output-dir measured",),
    "eval report": ("eval report gsm8k",),
    "eval compare": ("eval compare before after --pair online,empty",),
    "eval export": ("eval export gsm8k gsm8k.html --arms online",),
    "eval verifiers": ("eval verifiers --data labelled --benchmark gsm8k",),
    "eval render-mmlu": ("eval render-mmlu mmlu.csv pictures --sample-size 100",),
    "models list": ("models list",),
    "models pull": ("models pull qwen2.5-coder-1.5b-instruct",),
    "models path": ("models path all-minilm-l6-v2",),
    "models remove": ("models remove smollm2-135m-instruct",),
    "models convert-vita": ("models convert-vita VITA-1.5 VITA-1.5-converted",),
    "config": ("config --changed",),
    "config set": ("config set reasoner openai:gpt-5-mini", "config set namespace team/agent"),
    "config unset": ("config unset reasoner",),
}
"""What to type behind ``vitarmm``, by command."""


def with_examples(app: typer.Typer, *path: str) -> None:
    """Put the examples below the help of each command of ``app``."""
    for command in app.registered_commands:
        name = str(command.name or getattr(command.callback, "__name__", ""))
        command.epilog = below(*path, name)
        command.help = command.help or flowing(command.callback.__doc__ or "")
    for group in app.registered_groups:
        inner, named = group.typer_instance, group.name
        if inner is not None and isinstance(named, str):
            group.epilog = below(*path, named)
            with_examples(inner, *path, named)


def flowing(text: str) -> str:
    """Paragraphs, each in one line, which the terminal breaks where it ends."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(text).split("\n\n"))


def below(*path: str) -> str | None:
    """What help shows below a command; nothing where it has no example."""
    lines = EXAMPLES.get(" ".join(path), ())
    heading = "Examples:" if len(lines) > 1 else "Example:"
    return "\n\n".join((heading, *(f"vitarmm {line}" for line in lines))) if lines else None

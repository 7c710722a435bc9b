"""Write ``docs/cli.md``, the reference of the command line, from the commands themselves.

Run: ``python docs/make_cli.py``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from vitarmm_agent.cli.app import whole

PAGE = Path(__file__).parent / "cli.md"


def reference() -> str:
    """The page, as Typer's own ``utils docs`` writes it; examples are code, and no summary is cut short."""
    command = typer.main.get_command(whole())
    _whole_summaries(command)
    context = typer.Context(command, info_name="vitarmm")
    text = get_docs_for_click(obj=command, ctx=context, name="vitarmm", title="Command line")
    text = re.sub(r"\[default: \((.*?)\)(\]|;)", r"[default: \1\2", text)
    text = re.sub(r"^vitarmm ", "    vitarmm ", text, flags=re.M)
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def _whole_summaries(command: Any) -> None:
    for sub in getattr(command, "commands", {}).values():
        sub.short_help = (sub.help or "").partition("\n")[0]
        _whole_summaries(sub)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")

"""What is said of a command line that cannot be read: what was wrong, what was got, what to do."""

from __future__ import annotations

from typing import Any

import typer

SEVERAL_WORDS = "; put text of several words in quotation marks"


def in_words(error: typer.TyperException, arguments: list[str], application: Any) -> str:
    """One line about the error; empty where it is a bare command, whose help was printed."""
    told = str(getattr(error, "format_message", error.__str__)()).strip()
    if not told or "\n" in told:
        return told
    path, command = _command_of(arguments, application)
    told = told.removesuffix(".")
    if (got := _given(error, arguments)) is not None:
        told += f", got {got!r}"
    if told.startswith("Got unexpected extra argument") and _takes_text(command):
        told += SEVERAL_WORDS
    return f"{told}{' See' if told.endswith('?') else '; see'}: {path} --help"


def _command_of(arguments: list[str], application: Any) -> tuple[str, Any]:
    """The command that was called, and how it is called."""
    path, command = [application.name or "vitarmm"], application
    for argument in arguments:
        deeper = getattr(command, "commands", {}).get(argument)
        if deeper is not None:
            path, command = [*path, argument], deeper
        elif not argument.startswith("-"):
            break
    return " ".join(path), command


def _given(error: Any, arguments: list[str]) -> str | None:
    """The value that an option was given, if it is that which is wrong."""
    options = getattr(getattr(error, "param", None), "opts", ())
    if not str(error.format_message()).startswith("Invalid value"):
        return None
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if error.ctx.token_normalize_func and name.startswith("--"):
            name = f"--{error.ctx.token_normalize_func(name[2:])}"
        if name in options:
            return value if equals else next(iter(arguments[place + 1 :]), None)
    return None


def _takes_text(command: Any) -> bool:
    """Whether the command's first argument is text that people type."""
    first = next((p for p in command.params if p.param_type_name == "argument"), None)
    return first is not None and first.name in ("text", "query", "content")

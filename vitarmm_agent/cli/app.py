"""All commands, and what happens to their errors."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from vitarmm_agent import __version__
from vitarmm_agent.cli import (
    demo,
    doctor,
    evaluate,
    mcp,
    memory,
    memory_check,
    memory_compact,
    models,
    simulate,
    solve,
    teach,
    trace,
    train,
    trust,
    ui,
)
from vitarmm_agent.cli.console import err, out, print_error, safe
from vitarmm_agent.cli.spelling import EITHER
from vitarmm_agent.config_file import config_file
from vitarmm_agent.errors import ModelError, UserError
from vitarmm_agent.redaction import redact_logs

app = typer.Typer(
    name="vitarmm",
    help="An agent that learns from its own mistakes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("solve")(solve.solve)
app.command("resume")(solve.resume)
app.command("teach")(teach.teach)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("trust")(trust.trust)
app.command("mcp")(mcp.mcp)
app.command("ui")(ui.ui)
app.command("simulate", context_settings=EITHER)(simulate.simulate)
app.command("train", context_settings=EITHER)(train.train)
memory.app.command("check")(memory_check.check)
memory.app.command("compact")(memory_compact.compact)
app.add_typer(trace.app, name="trace", help="Look at runs, step by step.")
app.add_typer(memory.app, name="memory", help="Look after what was learned.")
app.add_typer(models.app, name="models", help="Fetch and list local model weights.")
app.add_typer(evaluate.app, name="eval", help="Measure.")


def _version(value: bool) -> None:
    if value:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """An agent that learns from its own mistakes."""
    if (file := config_file()) is not None:
        err.print(safe(f"settings file: {file.resolve()}"))


def run_app(arguments: list[str]) -> int:
    """Run one command line and return its exit code.

    0 done · 1 a bug of ours · 2 the user must act · 3 the model's output is at fault ·
    130 interrupted.
    """
    redact_logs()
    try:
        code = app(_at_home(arguments), prog_name="vitarmm", standalone_mode=False)
    except typer.TyperException as error:  # a command line that cannot be read
        words = getattr(error, "format_message", error.__str__)()
        if words:  # without words it was a bare command, whose help is printed
            print_error(ValueError(words))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except UserError as error:
        print_error(error)
        return 2
    except ModelError as error:
        print_error(error)
        return 3
    except BrokenPipeError:
        return 0
    except Exception as error:  # the top of the command line: one line instead of a traceback
        if os.environ.get("VITARMM_DEBUG"):
            raise
        kind = type(error).__name__
        print_error(RuntimeError(f"unexpected {kind}: {error}; VITARMM_DEBUG=1 shows where"))
        return 1
    return code if isinstance(code, int) else 0


def _at_home(arguments: list[str]) -> list[str]:
    """The arguments with the home folder for ``~/`` where it begins an option's value.

    Shells leave it as it is behind ``--option=`` and in quotation marks.
    """
    whole, before = [], ""
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument[:2] == "--" else ("", "", "")
        if equals and value.startswith("~/"):
            argument = f"{option}={os.path.expanduser(value)}"
        elif before[:1] == "-" and before != "-" and argument.startswith("~/"):
            argument = os.path.expanduser(argument)
        whole.append(argument)
        before = argument
    return whole

"""All commands, and what happens to their errors."""

from __future__ import annotations

import functools
import os
from typing import Annotated, Any

import typer

from vitarmm_agent import __version__
from vitarmm_agent.cli.console import err, out, print_error, print_json, safe
from vitarmm_agent.cli.examples import with_examples
from vitarmm_agent.cli.spelling import spelled
from vitarmm_agent.cli.usage import in_words
from vitarmm_agent.config_file import config_file
from vitarmm_agent.errors import ModelError, UserError
from vitarmm_agent.redaction import redact, redact_logs

RUN, LEARNED, MEASURE, SERVE, SETUP = (
    "Run",
    "What was done and learned",
    "Train and measure",
    "Serve",
    "Set up",
)


def _version(value: bool) -> None:
    if value:
        out.print(__version__)
        raise typer.Exit


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
        asked = application(solving=arguments[:1] == ["solve"])
        code = asked(_at_home(arguments), prog_name="vitarmm", standalone_mode=False)
    except typer.TyperException as error:  # a command line that cannot be read
        words = in_words(error, arguments, asked)  # none for a bare command, whose help is printed
        return _failed(ValueError(words), "UsageError", 2, arguments) if words else 2
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except UserError as error:
        return _failed(error, type(error).__name__, 2, arguments)
    except ModelError as error:
        return _failed(error, type(error).__name__, 3, arguments)
    except BrokenPipeError:
        return 0
    except Exception as error:  # the top of the command line: one line instead of a traceback
        if os.environ.get("VITARMM_DEBUG"):
            raise
        kind = type(error).__name__
        told = RuntimeError(f"unexpected {kind}: {error}; VITARMM_DEBUG=1 shows where")
        return _failed(told, kind, 1, arguments)
    return code if isinstance(code, int) else 0


@functools.cache
def application(*, solving: bool = False) -> Any:
    """The application with all its commands, or for solving with that one.

    To import the others takes a good part of a second, and who solves waits for the first word.
    """
    if not solving:
        return typer.main.get_command(whole())
    from vitarmm_agent.cli.solve import solve

    app = _bare()
    app.command("solve", rich_help_panel=RUN)(solve)
    with_examples(app)
    return typer.main.get_command(app)


def whole() -> typer.Typer:
    """All commands; made anew each time."""
    app = _bare()
    _add_runs(app)
    _add_measuring_and_serving(app)
    with_examples(app)
    return app


def _add_runs(app: typer.Typer) -> None:
    from vitarmm_agent.cli import (
        demo,
        judge,
        learn,
        memory,
        memory_check,
        memory_compact,
        solve,
        teach,
        trace,
        trace_remarks,
    )

    app.command("solve", rich_help_panel=RUN)(solve.solve)
    app.command("resume", rich_help_panel=RUN)(solve.resume)
    app.command("demo", rich_help_panel=RUN)(demo.demo)
    app.add_typer(
        trace.app, name="trace", help="Look at runs, step by step.", rich_help_panel=LEARNED
    )
    trace.app.command("tag")(trace_remarks.tag)
    trace.app.command("note")(trace_remarks.note)
    app.command("teach", rich_help_panel=LEARNED)(teach.teach)
    app.command("judge", rich_help_panel=LEARNED)(judge.judge)
    app.command("learn", rich_help_panel=LEARNED)(learn.learn)
    memory.app.command("check")(memory_check.check)
    memory.app.command("compact")(memory_compact.compact)
    app.add_typer(
        memory.app, name="memory", help="Look after what was learned.", rich_help_panel=LEARNED
    )


def _add_measuring_and_serving(app: typer.Typer) -> None:
    from vitarmm_agent.cli import (
        config,
        doctor,
        evaluate,
        mcp,
        models,
        serve,
        simulate,
        train,
        trust,
        ui,
    )

    app.add_typer(
        evaluate.app, name="eval", help="Measure what memory does.", rich_help_panel=MEASURE
    )
    app.command(
        "simulate", context_settings=spelled(vita_model="reasoner"), rich_help_panel=MEASURE
    )(simulate.simulate)
    app.command("train", rich_help_panel=MEASURE)(train.train)
    app.command("ui", rich_help_panel=SERVE)(ui.ui)
    app.command("mcp", rich_help_panel=SERVE)(mcp.mcp)
    app.command("serve", rich_help_panel=SERVE)(serve.serve)
    app.add_typer(
        models.app, name="models", help="Fetch and list local model weights.", rich_help_panel=SETUP
    )
    app.add_typer(config.app, name="config", rich_help_panel=SETUP)
    app.command("doctor", rich_help_panel=SETUP)(doctor.doctor)
    app.command("trust", rich_help_panel=SETUP)(trust.trust)


def _bare() -> typer.Typer:
    app = typer.Typer(
        name="vitarmm",
        help="An agent that learns from its own mistakes.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], **spelled()},
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    return app


def _failed(error: Exception, kind: str, code: int, arguments: list[str]) -> int:
    """Print what was wrong, as JSON too where JSON was asked for; the exit code."""
    print_error(error)
    if "--json" in arguments:
        told = {"kind": kind, "message": redact(str(error)), "exit_code": code}
        print_json({"error": told})
    return code


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

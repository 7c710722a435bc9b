"""``vitarmm judge``: a person's verdict on a run that is over."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from vitarmm_agent.cli.console import err, out, print_json, read_input
from vitarmm_agent.cli.options import NOTHING, Given, Json, takes_settings
from vitarmm_agent.cli.solve import open_agent
from vitarmm_agent.errors import InputError

MAX_BYTES = 100_000


@takes_settings("reasoner", "rmm", "base_url", "memory", "database", "namespace")
def judge(
    thread: Annotated[str, typer.Argument(help="The run.")],
    verdict: Annotated[str, typer.Argument(help="pass, fail, or abstain to take a verdict back.")],
    comment: Annotated[str, typer.Option(help="Why; the lesson is made of it.")] = "",
    solution: Annotated[
        str,
        typer.Option(
            help="A right one: a file or the text; steps, a line each, then 'Answer: …'; - reads "
            "standard input."
        ),
    ] = "",
    step: Annotated[int | None, typer.Option(min=1, help="Number of the wrong step.")] = None,
    by: Annotated[str, typer.Option(help="Who says it; default: you.")] = "",
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Say whether a run was right: counts for what it was shown, and teaches; once.

    Another verdict takes back what the earlier one came to.
    """
    from vitarmm_agent.cli.live import print_judged, print_result
    from vitarmm_agent.cli.trace import checkpoints
    from vitarmm_agent.nodes.doing import DOING
    from vitarmm_agent.run_settings import begun_with
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces import whole_id

    text = _text(solution)
    kept = checkpoints(given.get("database"))
    thread = whole_id(kept, thread)
    begun = begun_with(kept, thread)
    agent = open_agent(Settings.load(**{**begun.taken, **given}), quiet=as_json)
    with err.status(f"judge: {DOING['judge']}"):
        result = agent.judge(
            thread,
            verdict,
            comment=comment,
            solution=text,
            step=step,
            by=by or getpass.getuser(),
        )
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for record in result.judged[-1:]:
        print_judged(out, record)
    print_result(out, result)


def _text(solution: str) -> str:
    """The solution, from where it is.

    Raises:
        InputError: the file cannot be read, or is no text of a bounded size.
    """
    if solution == "-":
        return read_input()
    try:
        path = Path(solution)
        if "\n" in solution or not solution or not path.is_file():
            return solution
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{solution!r} has more than {MAX_BYTES:,} bytes; a solution is short")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{solution!r} cannot be read: {error}") from None

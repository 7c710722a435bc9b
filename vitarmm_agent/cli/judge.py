"""``vitarmm judge``: a person's verdict on a run that is over."""

from __future__ import annotations

import asyncio
import getpass
from typing import Annotated

import typer

from vitarmm_agent.cli.console import out
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings
from vitarmm_agent.cli.shared import SOLUTION, By, Json, Reason, Run, Step, solution_text
from vitarmm_agent.cli.solve import finish, follow, open_agent, resumable


@takes_settings("reasoner", "rmm", "base_url", "memory", "database", "namespace")
def judge(
    thread: Run,
    verdict: Annotated[str, typer.Argument(help="pass, fail, or abstain to take a verdict back.")],
    reason: Reason = "",
    solution: Annotated[str, typer.Option(help=SOLUTION, show_default="none")] = "",
    step: Step = None,
    by: By = "",
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Say whether a run was right; what it was shown gains or loses credit, and a lesson is written.

    A new verdict replaces the earlier one, and takes back what came of it.
    """
    from vitarmm_agent.cli.live import print_judged
    from vitarmm_agent.cli.trace import checkpoints
    from vitarmm_agent.run_settings import begun_with
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces import whole_id
    from vitarmm_agent.verifiers.person_reply import LaterVerdict

    text = solution_text(solution) if solution else ""
    kept = checkpoints(given.get("database"))
    thread = whole_id(kept, thread)
    begun = begun_with(kept, thread)
    agent = open_agent(Settings.load(**{**begun.taken, **given}), quiet=as_json)
    said = LaterVerdict(
        verdict=verdict, comment=reason, solution=text, step=step, by=by or getpass.getuser()
    )
    with resumable(thread):
        asyncio.run(follow(agent, said, thread, quiet=as_json))
    result = agent.result(thread)
    for record in [] if as_json else result.judged[-1:]:
        print_judged(out, record)
    finish(result, as_json)

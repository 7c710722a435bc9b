"""``vitarmm judge``: a person's verdict on a run that is over."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from vitarmm_agent.cli.console import err, out, print_json
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings
from vitarmm_agent.cli.shared import SOLUTION, By, Json, Reason, Run, Step, solution_text
from vitarmm_agent.cli.solve import open_agent


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
    from vitarmm_agent.cli.live import print_judged, print_result
    from vitarmm_agent.cli.trace import checkpoints
    from vitarmm_agent.nodes.doing import DOING
    from vitarmm_agent.run_settings import begun_with
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces import whole_id

    text = solution_text(solution) if solution else ""
    kept = checkpoints(given.get("database"))
    thread = whole_id(kept, thread)
    begun = begun_with(kept, thread)
    agent = open_agent(Settings.load(**{**begun.taken, **given}), quiet=as_json)
    with err.status(f"judge: {DOING['judge']}"):
        result = agent.judge(
            thread,
            verdict,
            comment=reason,
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

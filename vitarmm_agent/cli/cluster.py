"""Options of the commands that can use a Ray cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli.console import err
from vitarmm_agent.errors import InputError

if TYPE_CHECKING:
    from vitarmm_agent.evals.cluster.session import Cluster

ACTORS = 2

Address = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Spread the work over Ray: local, or HOST:PORT of a cluster's head.",
        show_default="this process",
    ),
]
ActorCount = Annotated[
    int | None,
    typer.Option(
        "--actors",
        help="Processes of the cluster; each loads the models.",
        show_default=str(ACTORS),
    ),
]
GpuShare = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-actor",
        help="GPUs that each process has to itself; 0.5 is half of one.",
        show_default="0",
    ),
]


def cluster_of(
    address: str | None, actors: int | None, gpus: float | None, processes: int = 1
) -> Cluster | None:
    """The cluster that options name; None where they name none.

    Raises:
        InputError: they do not go together.
    """
    from vitarmm_agent.evals.cluster.session import LOCAL, Cluster

    if processes != 1:
        if address is not None or actors is not None:
            raise InputError("--processes N is --cluster local --actors N: give one of them")
        err.print(f"--processes {processes} is --cluster {LOCAL} --actors {processes}")
        address, actors = LOCAL, processes
    if address is not None:
        return Cluster(address, ACTORS if actors is None else actors, gpus or 0.0)
    if actors is not None or gpus is not None:
        raise InputError("--actors and --gpus-per-actor need --cluster local or HOST:PORT")
    return None

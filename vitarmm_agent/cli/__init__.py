"""The ``vitarmm`` command: one file per command group; each parses, calls, prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; user errors print one line and exit with 2, without a traceback."""
    import gc
    import os

    # What imports make stays: to look through it again and again takes a sixth of their time.
    gc.set_threshold(100_000)

    from vitarmm_agent.cli.app import run_app
    from vitarmm_agent.cli.console import fit_streams
    from vitarmm_agent.private import write_privately

    fit_streams()
    write_privately()
    os.environ["PYTHONSAFEPATH"] = (
        "1"  # no child of ours imports what lies in the working directory
    )
    sys.exit(run_app(sys.argv[1:]))

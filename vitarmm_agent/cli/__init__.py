"""The ``vitarmm`` command: one file per command group; each parses, calls, prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; user errors print one line and exit with 2, without a traceback."""
    import os

    from vitarmm_agent.cli.app import run_app

    os.umask(os.umask(0o077) | 0o077)  # what is written is for this user alone
    sys.exit(run_app(sys.argv[1:]))

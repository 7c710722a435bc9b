"""``vitarmm trust``: take all that a settings file in a working directory says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitarmm_agent.cli.console import out, safe
from vitarmm_agent.config_file import CONFIG_FILE
from vitarmm_agent.config_file import trust as keep_trust


def trust(
    file: Annotated[Path, typer.Argument(help="The settings file to trust.")] = Path(CONFIG_FILE),
) -> None:
    """Trust a vitarmm.toml that is yours: its addresses, paths and extra_body, until it changes."""
    added = keep_trust(file)
    out.print(
        safe(f"trusted {file.resolve()} as it is now; it sets {', '.join(added) or 'no place'}")
    )

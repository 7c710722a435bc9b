"""``python -m vitarmm_agent.cli``."""

from vitarmm_agent.cli import main

main()

"""Benchmarks, run by hand: ``python -m vitarmm_agent.evals.speed.NAME``.

Each prints ratios measured in one run (ours against a named baseline); the last table of each is
kept in ``docs/performance.md`` with its command.
"""

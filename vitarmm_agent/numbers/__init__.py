"""What a number is: read in one place, for grading, verifying, auditing and remembering alike.

:mod:`~vitarmm_agent.numbers.reading` takes a text that *is* a number,
:mod:`~vitarmm_agent.numbers.finding` the numbers that stand in a running text, and
:mod:`~vitarmm_agent.numbers.units` the units behind them. Nothing here imports the project.
"""

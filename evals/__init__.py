"""Evaluations: datasets, runs of arms, metrics, reports; measuring memory writers and verifiers.

``speed`` holds benchmarks of this package and ``studies`` what was measured to choose a setting:
both are run from a checkout, and are not in the wheel.
"""

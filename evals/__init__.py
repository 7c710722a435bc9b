"""Datasets, arms, metrics, statistics, runner, reports, and the benchmarks in ``speed``."""

"""Measurements that were made once, to choose a setting; run from a checkout by hand."""

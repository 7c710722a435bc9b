"""Measurements that were made to choose a setting; run by hand, from a checkout."""

"""The agent behind OpenAI's chat completions: for any client and chat page that speaks them."""

RUNS_PER_CLIENT = 8
"""Runs that one client may have under way."""

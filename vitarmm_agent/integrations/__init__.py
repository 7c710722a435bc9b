"""The agent and its memory beside other programs: LangChain tools and middleware, MCP, their exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.integrations.exports.told import Judging
    from vitarmm_agent.integrations.learning import alearn_runs, learn_runs
    from vitarmm_agent.integrations.mcp import build_mcp_server
    from vitarmm_agent.integrations.middleware import ReasoningMemoryMiddleware
    from vitarmm_agent.integrations.tool import memory_tools

__all__ = [
    "Judging",
    "ReasoningMemoryMiddleware",
    "alearn_runs",
    "build_mcp_server",
    "learn_runs",
    "memory_tools",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Judging": "exports.told",
        "ReasoningMemoryMiddleware": "middleware",
        "alearn_runs": "learning",
        "build_mcp_server": "mcp",
        "learn_runs": "learning",
        "memory_tools": "tool",
    },
)

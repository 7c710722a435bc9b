"""The agent and its memory inside other frameworks: LangChain tools and middleware, an MCP server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.integrations.mcp import build_mcp_server
    from vitarmm_agent.integrations.middleware import ReasoningMemoryMiddleware
    from vitarmm_agent.integrations.tool import memory_tools

__all__ = ["ReasoningMemoryMiddleware", "build_mcp_server", "memory_tools"]

__getattr__ = lazy_names(
    __name__,
    {
        "ReasoningMemoryMiddleware": "middleware",
        "build_mcp_server": "mcp",
        "memory_tools": "tool",
    },
)

"""An MCP client whose user is asked whether an attempt is right, while the run waits.

Run: python mcp_person.py "A square has a perimeter of 20 cm. What is its area?"
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import ElicitResult


async def ask_the_user(context: Any, params: Any) -> ElicitResult:
    """Show what the server wants to know; no answer leaves the run waiting."""
    print(params.message)
    verdict = input("pass, fail or abstain? ").strip()
    if not verdict:
        return ElicitResult(action="decline")
    why = input("Why? ") if verdict == "fail" else ""
    return ElicitResult(action="accept", content={"verdict": verdict, "message": why})


async def main(problem: str) -> None:
    """Solve one problem."""
    command = ["-m", "vitarmm_agent.cli", "mcp", "--feedback", "arithmetic,human"]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    async with Client(stdio_client(server), elicitation_callback=ask_the_user) as client:
        solved = await client.call_tool("solve", {"problem": problem})
    print(solved.structured_content)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""A chat agent that has the solver and its memory as tools.

Run: CHAT_MODEL=openai:gpt-5-mini python chat_agent.py "How large is a square of perimeter 20 cm?"
"""

from __future__ import annotations

import os
import sys

from langchain.agents import create_agent

from vitarmm_agent import ReasoningAgent
from vitarmm_agent.integrations import memory_tools
from vitarmm_agent.models import load_chat_model

solver = ReasoningAgent.open(namespace=("team", "{user_id}"))
chat = create_agent(
    load_chat_model(os.environ.get("CHAT_MODEL", "openai:gpt-5-mini")),
    tools=[solver.as_tool(), *memory_tools(solver.memory)],
    system_prompt="Use solve_problem for anything that must be calculated.",
)
question = sys.argv[1] if len(sys.argv) > 1 else "A square has a perimeter of 20 cm. Its area?"
state = chat.invoke(
    {"messages": [("user", question)]},
    {"configurable": {"user_id": "ada"}},  # each user has a memory of their own
)
for message in state["messages"]:
    message.pretty_print()

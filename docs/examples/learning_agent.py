"""An agent of LangChain's that learns: recalls before, is verified after, tries again, remembers.

Run: CHAT_MODEL=openai:gpt-5-mini python learning_agent.py
"""

from __future__ import annotations

import os

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from vitarmm_agent import Attempt, Problem, ReasoningAgent
from vitarmm_agent.integrations import ReasoningMemoryMiddleware
from vitarmm_agent.models import load_chat_model


async def is_squared(problem: Problem, attempt: Attempt) -> str | None:
    """A check of one's own: a text fails the answer and says why, None abstains, True passes."""
    calls = attempt.metadata["tool_calls"]  # each with its name, args and result
    if not calls:
        return "Use the tool to calculate."
    return None if "cm²" in attempt.text else "An area needs its unit, cm²."


model = load_chat_model(os.environ.get("CHAT_MODEL", "openai:gpt-5-mini"))
learning = ReasoningMemoryMiddleware(verifiers=["arithmetic", is_squared])
agent = create_agent(
    model,
    tools=[ReasoningAgent.open().as_tool()],
    middleware=[learning],
    checkpointer=InMemorySaver(),
)
config: RunnableConfig = {"configurable": {"thread_id": "one"}}
question = HumanMessage("A square has a perimeter of 20 cm. Its area?")
state = agent.invoke({"messages": [question]}, config)
result = learning.result(agent.get_state(config).values)
print(state["messages"][-1].text)
if result is not None:
    print(result.status, [step.text[:20] for step in result.attempts[-1].steps])

"""The reasoning graph as a node of a supervisor, which hands it what must be calculated.

The parent's checkpointer keeps its steps too, and a person's verdict would be asked for through the
parent's own interrupt.
"""

from __future__ import annotations

from typing import Literal

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from vitarmm_agent.graphs import build_reasoning_graph


def supervise(state: MessagesState) -> Literal["reasoning", "small_talk"]:
    """A real one would ask a model."""
    return "reasoning" if any(c.isdigit() for c in state["messages"][-1].text) else "small_talk"


def small_talk(state: MessagesState) -> MessagesState:
    """Answer what needs no reasoning."""
    return {"messages": [AIMessage("Give me something to calculate.")]}


parent = StateGraph(MessagesState)
parent.add_node("reasoning", build_reasoning_graph())
parent.add_node("small_talk", small_talk)
parent.add_conditional_edges(START, supervise)
parent.add_edge("reasoning", END)
parent.add_edge("small_talk", END)
app = parent.compile(checkpointer=InMemorySaver())

config = {"configurable": {"thread_id": "conversation-1"}}
for text in ("Hello!", "A square has a perimeter of 20 cm. What is its area?"):
    state = app.invoke({"messages": [("user", text)]}, config)
    print(state["messages"][-1].text)

"""An app of a hundred lines that uses what there is, all of it typed.

Run: CHAT_MODEL=openai:gpt-5-mini python sample_app.py
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from vitarmm_agent import Attempt, Feedback, Problem, ReasoningAgent, Result, Settings
from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.integrations import (
    ReasoningMemoryMiddleware,
    build_mcp_server,
    learn_runs,
    memory_tools,
)
from vitarmm_agent.integrations.chat_api.app import create_chat_app
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.state import RunContext

PROBLEM = "A square has a perimeter of 20 cm. What is its area?"
TABLE = {"20 cm": "25"}
RUN = [{"role": "user", "content": PROBLEM}, {"role": "assistant", "content": "Answer: 25"}]


def is_positive(problem: Problem, attempt: Attempt) -> str | None:
    """Plain: a text fails and says why."""
    return "An area is positive." if (attempt.answer or "").startswith("-") else None


async def is_short(problem: Problem, attempt: Attempt) -> bool | None:
    """A coroutine function: it could ask a service."""
    await asyncio.sleep(0)
    return None if len(attempt.text) < 2_000 else False


class InTable:
    """A generator: one body for sync and async runs, each outside call yielded."""

    name = "in_table"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Pass what the table knows."""
        known = yield from in_thread(self.look_up, problem.text)
        if known is None:
            return Feedback(verdict="abstain", source=self.name)
        right = known in (attempt.answer or "")
        return Feedback(verdict="pass" if right else "fail", source=self.name)

    def look_up(self, text: str) -> str | None:
        """What a database would be asked."""
        return next((area for side, area in TABLE.items() if side in text), None)


def tell(result: Result) -> None:
    """What a run recalled, answered and wrote."""
    for recalled, attempt in zip(result.recalled, result.attempts, strict=False):
        shown = [f"{found.entry.title} ({found.similarity:.1f})" for found in recalled.entries]
        print(attempt.number, attempt.answer, "shown", shown or recalled.note)
    kept = [done.kind for record in result.written for done in record.operations]
    print(result.answer, result.status, kept)


def solve(judge: BaseChatModel) -> None:
    """Open an agent, use it and its memory, and close it."""
    with ReasoningAgent.open(
        verifiers=["arithmetic", is_positive, is_short, InTable(), "judge"],
        judge=judge,
        max_iterations=2,
        retry_temperature=0.5,
        namespace=("sample", "app"),
    ) as agent:
        solved = agent.solve(PROBLEM)
        tell(solved)
        if agent.memory is not None:
            agent.memory.add("A perimeter has four sides.", title="Sides", confidence=0.8)
            print(len(agent.memory.search(PROBLEM)) > 0, len(memory_tools(agent.memory)))
            look_after(agent.memory)
        print(agent.judge(solved.thread_id, "fail", comment="In cm², please.", by="ada").status)
        print(len(create_chat_app(agent).routes), build_mcp_server(agent).name)


def look_after(memory: ReasoningMemory) -> None:
    """Learn from a run made elsewhere, go over the memory, and share it."""
    Path("runs.jsonl").write_text(json.dumps({"messages": RUN, "verdict": "pass"}))
    print(len(learn_runs(memory, "runs.jsonl").written), memory.consolidate(apply=True).proposals)
    print(memory.export_skills("skills", proof="all"))


async def chat(model: BaseChatModel) -> None:
    """A LangChain agent that learns from its own trajectory."""
    async with ReasoningAgent.open() as solver:
        learning = ReasoningMemoryMiddleware(verifiers=[InTable(), is_short], memory="off")
        agent = create_agent(
            model,
            tools=[solver.as_tool()],
            middleware=[learning],
            checkpointer=InMemorySaver(),
        )
        config: RunnableConfig = {"configurable": {"thread_id": "one"}}
        await agent.ainvoke({"messages": [HumanMessage(PROBLEM)]}, config)
        result = learning.result((await agent.aget_state(config)).values)
        print(result.answer if result else "nothing", len(result.attempts) if result else 0)


def assist(spec: str) -> None:
    """Two assistants on one graph: the second has another model, from the operator's list."""
    graph = build_reasoning_graph(settings=Settings.load(run_models=(spec,)), memory="off")
    for assistant in (RunContext(max_iterations=1), RunContext(reasoner=spec, max_iterations=1)):
        state = graph.invoke({"problem": {"text": PROBLEM}}, context=assistant)
        print(state["answer"], state["status"])


if __name__ == "__main__":
    chosen = os.environ.get("CHAT_MODEL", "openai:gpt-5-mini")
    solve(load_chat_model(Settings.load().reasoner))
    asyncio.run(chat(load_chat_model(chosen)))
    assist(Settings.load().reasoner)

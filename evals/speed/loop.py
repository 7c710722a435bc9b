"""Graph overhead per iteration, without model time or embedding.

Ours is the reasoning graph with memory off, a chat model that answers at once, and a verifier that
always fails. The baseline is a bare LangGraph loop: four nodes, one of which calls the same model
and keeps its answer, with the same SQLite checkpointer and durability.

Run: ``python -m vitarmm_agent.evals.speed.loop``.
"""

from __future__ import annotations

import operator
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from vitarmm_agent.deps import Limits
from vitarmm_agent.effects import Flow
from vitarmm_agent.evals.speed.measure import Row, interleaved, medians, print_table
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.problem import Attempt, Feedback, Problem

ITERATIONS = 5
QUESTION = "A square has a perimeter of 20 cm. What is its area?"
REPLY = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"


class AlwaysFails:
    """A verifier that costs nothing."""

    name = "always_fails"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Fail."""
        yield from ()
        return Feedback(verdict="fail", source=self.name, message="Try another way.")


class BareState(TypedDict, total=False):
    """State of the baseline: what a plain reflection loop would keep."""

    problem: str
    iteration: int
    recalls: Annotated[list[dict[str, Any]], operator.add]
    attempts: Annotated[list[dict[str, Any]], operator.add]
    feedback: Annotated[list[dict[str, Any]], operator.add]
    written: Annotated[list[dict[str, Any]], operator.add]


def main(repeat: int = 15) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        ours = _ours(Path(folder))
        bare = _bare(Path(folder))
        taken, baseline = medians(interleaved(ours, bare, repeat=repeat, warm_up=3))
    per = 1000 / ITERATIONS
    row = Row(
        "graph, per iteration", taken * per, baseline * per, "ms", "bare LangGraph loop", "≤ 1.3×"
    )
    print_table("Graph overhead", [row])


def _ours(folder: Path) -> Callable[[], object]:
    graph = build_reasoning_graph(
        reasoner=FakeListChatModel(responses=[REPLY]),
        verifiers=[AlwaysFails()],
        memory="off",
        checkpointer=open_checkpoints(folder / "ours.sqlite"),
        limits=Limits(max_iterations=ITERATIONS),
    )
    return lambda: graph.invoke({"problem": {"text": QUESTION}}, _config(), durability="sync")


def _bare(folder: Path) -> Callable[[], object]:
    model = FakeListChatModel(responses=[REPLY])

    def recall(state: BareState) -> BareState:
        return {"iteration": state.get("iteration", 0) + 1, "recalls": [{"entries": []}]}

    def reason(state: BareState) -> BareState:
        prompt = [SystemMessage("Solve step by step."), HumanMessage(state["problem"])]
        return {"attempts": [{"text": model.invoke(prompt).text}]}

    def feedback(state: BareState) -> BareState:
        return {"feedback": [{"verdict": "fail", "message": "Try another way."}]}

    def remember(state: BareState) -> BareState:
        return {"written": [{"operations": []}]}

    def route(state: BareState) -> str:
        return END if state["iteration"] >= ITERATIONS else "recall"

    graph = StateGraph(BareState)
    for node in (recall, reason, feedback, remember):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "reason")
    graph.add_edge("reason", "feedback")
    graph.add_edge("feedback", "remember")
    graph.add_conditional_edges("remember", route, ["recall", END])
    compiled = graph.compile(checkpointer=open_checkpoints(folder / "bare.sqlite"))
    return lambda: compiled.invoke({"problem": QUESTION}, _config(), durability="sync")


def _config() -> Any:
    return {"configurable": {"thread_id": uuid.uuid4().hex}, "recursion_limit": 100}


if __name__ == "__main__":
    main()

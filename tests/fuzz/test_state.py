"""A run's state may have been written by anyone: a client, another version, a mailed file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from langgraph.checkpoint.base import CheckpointTuple

from tests.fuzz import fuzzed
from tests.fuzz.strategies import JSON, damaged
from vitarmm_agent.cli import console
from vitarmm_agent.cli import trace as trace_commands
from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.explain import explain
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.operations import Recall, Recalled, Written
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.problem import Attempt, Feedback, Problem, Step, StepError, Usage
from vitarmm_agent.state import result_of
from vitarmm_agent.traces import Trace
from vitarmm_agent.traces.cleaning import clean_state
from vitarmm_agent.traces.reader import is_usable, read_trace
from vitarmm_agent.traces.summary import summarize
from vitarmm_agent.viewer.export import export_html

ENTRY = MemoryEntry(id="m-1", entry_type="fact", title="t", content="c", related_to=("m-2",))
ERROR = StepError(step=1, kind="arithmetic", message="3 + 4 is 7", subject="3 + 4 = 8")
FAILED = Feedback(verdict="fail", source="arithmetic", errors=(ERROR,), message="wrong")
STATE: dict[str, Any] = {
    "problem": Problem(text="3 + 4?", choices=("7", "8"), metadata={"benchmark": "b"}).model_dump(mode="json"),
    "messages": [], "run": "r", "turn": 1, "namespace": ["a", "b"], "iteration": 2,
    "limits": {"max_iterations": 3}, "started_at": 1.0, "status": "passed", "answer": "7",
    "stopped_because": "it passed", "decision": {"action": "stop", "reason": "passed"},
    "recalls": [
        {"number": n, **Recall(query="q", entries=(Recalled(entry=ENTRY, score=1.0, similarity=0.9, terms={"dense": 1.0}),)).model_dump(mode="json")}
        for n in (1, 2)
    ],
    "attempts": [
        Attempt(number=n, text="1. 3 + 4 = 8\nAnswer: 8", steps=(Step(number=1, text="3 + 4 = 8"),), answer="8",
                prompt=({"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image", "sha256": "a" * 64}]},),
                usage=Usage(input_tokens=1), metadata={"tiles_per_image": [3], "prefix": {"reused": 1, "given": 2}}).model_dump(mode="json")
        for n in (1, 2)
    ],
    "feedback": [{"number": n, **FAILED.model_copy(update={"parts": (FAILED,)}).model_dump(mode="json")} for n in (1, 2)],
    "written": [
        {"number": n, "operations": [Written(kind="added", entry_id="m-1", entry=ENTRY).model_dump(mode="json")],
         "failure": None, "note": "", "usage": Usage().model_dump(), "seconds": 0.1, "raw": "{}"}
        for n in (1, 2)
    ],
    "judged": [
        {"number": 1, "attempt": 2, "verdict": "fail", "message": "no", "solution": "", "step": 1, "kind": "other",
         "by": "ada", "at": "2026-01-31T12:00:00+00:00", "run": "r/judged-1", "before": "pass", "credited": ["m-1"],
         "taken_back": [], "operations": [Written(kind="added", entry_id="m-1", entry=ENTRY).model_dump(mode="json")],
         "failure": None, "note": "", "usage": Usage().model_dump(), "seconds": 0.1}
    ],
}  # fmt: skip


@fuzzed(120)
@given(damaged(STATE) | JSON)
@example(STATE | {"attempts": 5})
@example(STATE | {"recalls": [], "feedback": "x", "written": {"a": 1}})
@example(STATE | {"attempts": [{"number": 2, "text": "a"}, {"number": True}, {"number": -1}]})
@example(STATE | {"judged": [{"number": 1, "operations": [1], "credited": 3, "verdict": []}]})
@example(STATE | {"answer": 7, "stopped_because": [], "limits": 3, "status": {}})
def test_what_can_be_read_of_a_state_is_shown(state: Any) -> None:
    cleaned, problems = clean_state(state)
    if not cleaned.get("problem"):
        return
    result = result_of(cleaned, "thread")
    assert problems or isinstance(state, dict)
    told = Trace(result=result, moments=(), problems=tuple(problems))
    assert explain(result)
    assert "<main" in export_html(told, MediaStore("nowhere"))
    printed(result)


def printed(result: Any) -> str:
    """What the command line prints of a run."""
    with console.out.capture() as captured:
        trace_commands.print_run(result, prompt=True)
    text = captured.get()
    assert "\x1b" not in text and "\x9b" not in text
    return text


@fuzzed(150)
@given(damaged(STATE, parts=1))
@example(STATE | {"attempts": 5})
@example(STATE | {"problem": None})
@example(STATE | {"written": [{"number": 1, "usage": 3, "seconds": "x"}]})
def test_a_state_that_cannot_be_gone_on_with_is_refused_in_words(state: Any) -> None:
    try:
        result_of(state, "thread")
    except InputError as error:
        assert "state of this run" in str(error) and len(str(error)) < 400


@fuzzed(80)
@given(damaged({"v": 4, "ts": "2026-01-01T00:00:00+00:00", "id": "1f0", "channel_values": STATE,
                "channel_versions": {}, "versions_seen": {"reason": {"a": 1}}}), JSON)  # fmt: skip
@example({"v": 4, "ts": "2026-01-01T00:00:00+00:00", "id": "1f0",
          "channel_values": STATE | {"attempts": 5}}, [])  # fmt: skip
def test_any_checkpoint_is_summarized_or_refused(checkpoint: Any, writes: Any) -> None:
    pending = [("task", "__interrupt__", writes)]
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    kept = CheckpointTuple(config, checkpoint, {"source": "loop"}, None, pending)
    if not is_usable(kept):
        with pytest.raises(ValueError):
            summarize(kept)
        return
    summarize(kept)

    class Saver:
        """A checkpointer of that one checkpoint."""

        def list(self, config: Any) -> list[CheckpointTuple]:
            return [kept, kept]

    try:
        read_trace(Saver(), "t")  # type: ignore[arg-type]
    except InputError as error:
        assert "no run" in str(error) or "cannot be read" in str(error)

"""Fork a run: a new thread that begins with a copy of one checkpoint, edited or not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vitarmm_agent.errors import InputError
from vitarmm_agent.traces.reader import config_of, is_usable, next_nodes, read_trace

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from vitarmm_agent.graphs.reasoning import ReasoningGraph


MAX_MENDED = 8_000
"""Characters that a person writes of an attempt."""
BEFORE = {"recall": "remember", "reason": "recall", "feedback": "reason", "remember": "feedback"}


class Edit(BaseModel):
    """What to change before going on.

    Attributes:
        memory: id of a recalled entry → its new content; None takes the entry out.
        verdict: another verdict on the last attempt.
        message: other grounds for it, as the model will read them.
        step: number of the wrong step, for a fail.
        mended: the attempt up to that step, with the right one in its place; the next attempt goes on
            from there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: dict[str, str | None] = Field(default_factory=dict)
    verdict: Literal["pass", "fail", "abstain"] | None = None
    message: str = ""
    step: int | None = None
    mended: str = Field(default="", max_length=MAX_MENDED)

    @property
    def words(self) -> str:
        """What is changed, in a word."""
        named = [("memory", self.memory), ("feedback", self.verdict)]
        return " and ".join(word for word, changed in named if changed) or "nothing"


def fork_run(
    graph: ReasoningGraph,
    thread_id: str,
    checkpoint_id: str,
    new_thread_id: str,
    edit: Edit | None = None,
) -> RunnableConfig:
    """Begin a new run with a checkpoint of another; go on with ``graph.invoke(None, config)``.

    The recalled memory can be edited where it has just been recalled, the feedback where it has just
    been given. The run that is forked is not changed.

    Returns:
        The config of the new run; its metadata says where it was forked from.

    Raises:
        InputError: there is no such run or checkpoint, or the edit does not fit it.
    """
    edit = edit or Edit()
    checkpointer: BaseCheckpointSaver[str] = graph.checkpointer  # type: ignore[assignment]
    read_trace(checkpointer, thread_id)  # says so if there is no such run
    found = checkpointer.get_tuple(config_of(thread_id, checkpoint_id))
    if found is None or not is_usable(found):
        raise InputError(f"run {thread_id!r} has no checkpoint {checkpoint_id!r}")
    if checkpointer.get_tuple(config_of(new_thread_id)) is not None:
        raise InputError(f"thread {new_thread_id!r} has a run already; use another name")
    channels: dict[str, Any] = found.checkpoint["channel_values"]
    values = {k: v for k, v in channels.items() if not k.startswith(("branch:to:", "__"))}
    config: RunnableConfig = {
        **config_of(new_thread_id),
        "metadata": {
            "forked_from": thread_id,
            "forked_checkpoint": checkpoint_id,
            "forked_edit": edit.words,
        },
    }
    values = values or channels.get("__start__") or {}
    try:
        as_node, values = _edited(next_nodes(channels), values, edit)
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"run {thread_id!r} cannot be forked here: its state is not as this version writes it "
            f"({type(error).__name__}: {error})"
        ) from None
    now = time.time()
    values |= {"started_at": now, "begun": now, "run": new_thread_id, "turn": 1}
    graph.update_state(config, values, as_node=as_node)
    return config


def _edited(
    following: tuple[str, ...], values: dict[str, Any], edit: Edit
) -> tuple[str, dict[str, Any]]:
    """The node that the copy counts as coming from, and its state."""
    if edit.memory:
        if following != ("reason",):
            raise InputError("memory can be edited only where it has just been recalled")
        return "recall", _with_memory(values, edit.memory)
    if edit.verdict is not None:
        if following != ("remember",):
            raise InputError("feedback can be edited only where it has just been given")
        return "feedback", _with_feedback(values, edit)
    if following == ("recall",) and not values.get("attempts"):
        return "__start__", {"problem": values["problem"]}
    if len(following) != 1 or following[0] not in BEFORE:
        raise InputError("nothing comes after this checkpoint; fork from an earlier one")
    return BEFORE[following[0]], values


def _with_memory(values: dict[str, Any], changes: dict[str, str | None]) -> dict[str, Any]:
    *earlier, recall = values["recalls"]
    known = {item["entry"]["id"] for item in recall["entries"]}
    if unknown := changes.keys() - known:
        raise InputError(f"entries were not recalled here: {', '.join(sorted(unknown))}")
    if any(text is not None and not text.strip() for text in changes.values()):
        raise InputError("the new content of an entry is empty; take the entry out instead")
    entries = []
    for item in recall["entries"]:
        content = changes.get(item["entry"]["id"], item["entry"]["content"])
        if content is not None:
            entries.append({**item, "entry": {**item["entry"], "content": content}})
    edited = {**recall, "entries": entries, "note": "edited by hand"}
    return {**values, "recalls": [*earlier, edited]}


def _with_feedback(values: dict[str, Any], edit: Edit) -> dict[str, Any]:
    *earlier, feedback = values["feedback"]
    errors = []
    if edit.verdict == "fail" and edit.step is not None:
        errors = [{"step": edit.step, "kind": "other", "message": edit.message or "This is wrong."}]
    edited = {
        **feedback,
        "verdict": edit.verdict,
        "source": "human",
        "message": edit.message,
        "errors": errors,
        "mended": edit.mended,
        "parts": [],
        "failure": None,
        "precision": None,
        "score": None,
    }
    retry = edit.verdict == "fail"
    reason = f"{edit.verdict} by hand, in a fork"
    kept = {k: v for k, v in values.items() if k not in ("answer", "status", "stopped_because")}
    ending = {
        "answer": values["attempts"][-1]["answer"],
        "status": "passed" if edit.verdict == "pass" else "abstained",
        "stopped_because": reason,
    }
    return {
        **kept,
        **({"status": "running"} if retry else ending),
        "feedback": [*earlier, edited],
        "decision": {"action": "retry" if retry else "stop", "reason": reason},
    }

"""A run, read back from LangGraph checkpoints: nothing is logged twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.traces.diff import Stretch, word_diff
    from vitarmm_agent.traces.fork import Edit, fork_run
    from vitarmm_agent.traces.reader import Moment, Trace, read_trace, short_id, whole_id
    from vitarmm_agent.traces.remarks import Remark, note_run
    from vitarmm_agent.traces.runs import RunIndex, RunPage, list_runs
    from vitarmm_agent.traces.summary import RunFilter, RunSummary

__all__ = [
    "Stretch",
    "Edit",
    "Moment",
    "Remark",
    "RunFilter",
    "RunIndex",
    "RunPage",
    "RunSummary",
    "Trace",
    "fork_run",
    "list_runs",
    "note_run",
    "read_trace",
    "short_id",
    "whole_id",
    "word_diff",
]

__getattr__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(("Stretch", "word_diff"), "diff"),
        **dict.fromkeys(("Edit", "fork_run"), "fork"),
        **dict.fromkeys(("Moment", "Trace", "read_trace", "short_id", "whole_id"), "reader"),
        **dict.fromkeys(("Remark", "note_run"), "remarks"),
        **dict.fromkeys(("RunIndex", "RunPage", "list_runs"), "runs"),
        **dict.fromkeys(("RunFilter", "RunSummary"), "summary"),
    },
)

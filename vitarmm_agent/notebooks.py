"""What a notebook shows of a result: no script, and nothing of a reply that is not escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitarmm_agent.problem import Attempt, Feedback
    from vitarmm_agent.result import Result


def result_html(result: Result) -> str:
    """The run in short: answer, attempts, wrong steps."""
    rows = "".join(
        _attempt_html(attempt, result.feedback[i] if i < len(result.feedback) else None)
        for i, attempt in enumerate(result.attempts)
    )
    shown = sum(len(record.entries) for record in result.recalled)
    kept = sum(len(record.operations) for record in result.written)
    answer = "no answer" if result.answer is None else result.answer
    return (
        f"<div><p>{_html(result.problem.text)}</p>"
        f"<p><b>{_html(answer)}</b> ({_html(result.outcome)}: {_html(result.stopped_because)})</p>"
        f"<ol>{rows}</ol><p><small>{shown} entries shown, {kept} written, "
        f"{result.usage.total_tokens} tokens, {result.seconds:.1f} s, "
        f"run <code>{_html(result.thread_id)}</code></small></p></div>"
    )


def _attempt_html(attempt: Attempt, feedback: Feedback | None) -> str:
    errors = "".join(
        f"<li>{f'step {error.step}: ' if error.step else ''}{_html(error.message)}</li>"
        for error in (feedback.errors if feedback else ())
    )
    verdict = f"{feedback.verdict} ({feedback.source})" if feedback else "no verdict yet"
    wrong = f"<ul>{errors}</ul>" if errors else ""
    return (
        f"<li>{_html(attempt.answer or 'no answer')}: {_html(verdict)}{wrong}"
        f"<details><summary>steps</summary><pre>{_html(attempt.text)}</pre></details></li>"
    )


def _html(text: str) -> str:
    return html.escape(text, quote=True)

"""What a person answers, in the words and forms that people and their clients use.

Agent Inbox, Agent Chat UI and LangChain's middleware for human review each send a form of their own, and
people write "yes" and "No.". What cannot be read with certainty is no verdict: it is asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from vitarmm_agent.data import Data, error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.problem import ErrorKind, Verdict

WORDS: dict[str, Verdict] = {
    **dict.fromkeys(
        ("pass", "passed", "yes", "y", "ok", "okay", "right", "correct", "true", "accept", "accepted",
         "approve", "approved", "good", "up", "thumbs up", "thumbs_up", "👍"), "pass"),
    **dict.fromkeys(
        ("fail", "failed", "no", "n", "wrong", "incorrect", "false", "reject", "rejected",
         "bad", "down", "thumbs down", "thumbs_down", "👎"), "fail"),
    **dict.fromkeys(("abstain", "ignore", "skip", "unsure", "unknown"), "abstain"),
}  # fmt: skip
_GROUNDS = re.compile(r"\s*(\w+)\s*[.,:;!–—-]\s*(\S.*)", re.DOTALL)
"""A word, and what is said for it."""
_DEPTH = 4


class HumanReply(Data):
    """What a person answers. A bare ``"pass"``, ``"fail"`` or ``"abstain"`` is taken as well.

    Attributes:
        verdict: pass, fail or abstain.
        message: grounds; shown to the model when it fails.
        step: number of the wrong step, or None.
        kind: kind of the error.
        solution: a right one, steps and a last line ``Answer: …``; kept as a worked example.
        by: who says it.
    """

    verdict: Verdict
    message: str = Field(default="", max_length=4_000)
    step: int | None = Field(default=None, ge=1)
    kind: ErrorKind = "other"
    solution: str = Field(default="", max_length=8_000)
    by: str = Field(default="", max_length=200)


def read_reply(reply: Any) -> HumanReply:
    """The verdict in what a run was resumed with.

    Raises:
        InputError: it has none, or more than one, or says yes with a reservation.
    """
    try:
        return _read(reply, _DEPTH)
    except ValidationError as error:
        raise InputError(error_lines(error, "reply")) from None


def reply_with(verdict: Any, **said: Any) -> dict[str, Any]:
    """A verdict in any form, with what else is said: comment, solution, step, by; as plain data.

    Raises:
        InputError: see :func:`read_reply`; or a text is too long.
    """
    given = {name: value for name, value in said.items() if value not in ("", None)}
    return read_reply(read_reply(verdict).model_dump() | given).model_dump()


class LaterVerdict(Data):
    """A person's verdict on a run; ``verdict`` in any form that :func:`read_reply` reads."""

    verdict: Any
    comment: str = ""
    solution: str = ""
    step: int | None = None
    by: str = ""

    def reply(self) -> dict[str, Any]:
        """The same as plain data, as the graph takes it.

        Raises:
            InputError: see :func:`reply_with`.
        """
        return reply_with(
            self.verdict, message=self.comment, solution=self.solution, step=self.step, by=self.by
        )

    @classmethod
    def parse(cls, sent: Any) -> LaterVerdict:
        """The fields of a JSON object.

        Raises:
            InputError: it is none, or has other fields.
        """
        try:
            return cls.model_validate(sent)
        except ValidationError as error:
            raise InputError(f"the verdict cannot be read: {error_lines(error, 'reply')}") from None


def _read(reply: Any, depth: int) -> HumanReply:
    if depth and isinstance(reply, str):
        return _words(reply, depth)
    if isinstance(reply, bool):
        return HumanReply(verdict="pass" if reply else "fail")
    if depth and isinstance(reply, list) and len(reply) == 1:
        return _read(reply[0], depth - 1)
    if depth and isinstance(reply, Mapping):
        return _fields(reply, depth - 1)
    raise InputError(f"reply: say pass, fail or abstain, got {reply!r:.200}")


def _words(text: str, depth: int) -> HumanReply:
    if verdict := verdict_word(text):
        return HumanReply(verdict=verdict)
    if text.strip()[:1] in ("{", "["):
        try:
            return _read(parse_json(text), depth - 1)
        except ValueError as error:
            if isinstance(error, ValidationError | InputError):
                raise
    grounds = _GROUNDS.fullmatch(text)
    if grounds and verdict_word(grounds[1]) == "fail":  # a yes may go on with a but
        return HumanReply(verdict="fail", message=grounds[2].strip())
    raise InputError(f"reply: say pass, fail or abstain, got {text!r:.200}")


def verdict_word(text: Any) -> Verdict | None:
    """The verdict that is said in one word; None where ``text`` says more, or something else."""
    return WORDS.get(text.strip(" \t\r\n.!*_'\"`").casefold()) if isinstance(text, str) else None


def _fields(reply: Mapping[str, Any], depth: int) -> HumanReply:
    """A mapping: our own form, a list of one decision, or one decision."""
    if "verdict" in reply:
        return HumanReply.model_validate(
            {**reply, "verdict": verdict_word(reply["verdict"]) or reply["verdict"]}
        )
    if "decisions" in reply:
        return _read(reply["decisions"], depth)
    kind = str(reply.get("type") or reply.get("action") or "").strip().casefold()
    said = reply.get("message") or reply.get("args")
    if kind in ("accept", "approve"):
        return HumanReply(verdict="pass")
    if kind in ("reject", "ignore"):
        message = said if isinstance(said, str) else ""
        return HumanReply(verdict="fail" if kind == "reject" else "abstain", message=message)
    if kind in ("response", "respond"):
        return _spoken(said, depth)
    if kind == "edit":
        return _edited(reply.get("edited_action") or said, depth)
    for name in ("approved", "accepted"):
        if isinstance(reply.get(name), bool):
            return HumanReply(
                verdict="pass" if reply[name] else "fail", message=str(reply.get("message") or "")
            )
    raise InputError(f"verdict: say pass, fail or abstain, got {dict(reply)!r:.200}")


def _spoken(said: Any, depth: int) -> HumanReply:
    """What a person writes in place of accepting: grounds of a fail, if it does not begin with a yes."""
    try:
        return _read(said, depth)
    except InputError:
        first = re.match(r"\s*(\w+)", said) if isinstance(said, str) else None
        if first is None or verdict_word(first[1]) in ("pass", "abstain"):
            raise
    return HumanReply(verdict="fail", message=said.strip())


def _edited(edited: Any, depth: int) -> HumanReply:
    """A reply in edited arguments, or a right solution in place of the one that was shown."""
    inner = edited.get("args") if isinstance(edited, Mapping) else None
    fields = inner if isinstance(inner, Mapping) else edited
    if not isinstance(fields, Mapping):
        raise InputError(f"edit: give a verdict or a solution, got {edited!r:.200}")
    if verdict_word(fields.get("verdict")):
        return _read(fields, depth)
    solution = fields.get("solution") or fields.get("text")
    if not isinstance(solution, str) or not solution.strip():
        raise InputError(f"edit: give a verdict or a solution, got {dict(fields)!r:.200}")
    message = fields.get("message")
    return HumanReply(
        verdict="fail", message=message if isinstance(message, str) else "", solution=solution
    )

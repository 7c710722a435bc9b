"""A run on the terminal: node by node, as it streams or as it was."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from vitarmm_agent.answers import grade_result
from vitarmm_agent.cli.console import counted, done_to, safe
from vitarmm_agent.nodes.doing import DOING, Heard
from vitarmm_agent.problem import StepError, Taught
from vitarmm_agent.result import Result
from vitarmm_agent.state import Record

MODES = ("tasks", "updates", "messages")
"""Of LangGraph's stream, what :class:`LiveView` reads."""
MARKS = {"pass": ("✓", "green"), "fail": ("✗", "red"), "abstain": ("?", "yellow")}


class LiveView:
    """Prints what LangGraph streams in the modes of :data:`MODES`.

    On a terminal it says what is going on until something is there to print.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        """Print to ``console``, or nothing when ``quiet``."""
        self.console = console
        self.quiet = quiet
        self._node = ""
        self._streaming = False
        self._heard = Heard()
        self._kept = ""
        self._waiting: Status | None = None

    def show(self, mode: str, chunk: Any) -> None:
        """Print one streamed item."""
        if self.quiet:
            return
        if mode == "tasks":
            if "input" in chunk:
                self._begin(chunk["name"])
            return
        if mode == "messages":
            self._token(*chunk)
            return
        self.wait("")
        for node, update in chunk.items():
            if self._streaming:
                self._print(self._heard.end())
                self.console.print()
            if node in PRINTERS and update:
                PRINTERS[node](self.console, update, self._streaming and node == "reason")
            if node == "feedback" and update:
                self._kept = update["feedback"][-1]["mended"]
            self._streaming = False

    def wait(self, doing: str) -> None:
        """Say what is waited for, in place of what was; "" for nothing."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
        if doing and self.console.is_terminal and not self.quiet:
            self._waiting = self.console.status(doing)
            self._waiting.start()

    def _begin(self, node: str) -> None:
        self._node, self._heard = node, Heard()
        self.wait(f"{node}: {DOING[node]}" if node in DOING else "")

    def _token(self, message: Any, metadata: dict[str, Any]) -> None:
        if metadata.get("langgraph_node") != self._node or message.type != "AIMessageChunk":
            return
        pieces = [*self._heard.feed(message)]
        if not self._streaming and any(text for text, _ in pieces):
            self.wait("")
            self._streaming = True
            heading(self.console, self._node, "" if self._node == "reason" else "…")
            if self._node == "reason":
                print_kept(self.console, self._kept)
        self._print(pieces)

    def _print(self, pieces: Iterable[tuple[str, bool]]) -> None:
        """What the reasoner says; what others say, and all thinking, is dim."""
        for text, thinking in pieces:
            dim = thinking or self._node != "reason"
            self.console.print(safe(text), style="dim" if dim else None, end="")


def heading(console: Console, node: str, note: str = "") -> None:
    """One line that names the node."""
    console.print(Text.assemble(("● ", "cyan"), (f"{node:<9}", "bold"), safe(note)))


def print_recall(console: Console, update: Record, streamed: bool = False) -> None:
    """What was recalled, with scores; or why nothing was."""
    record = update["recalls"][-1]
    entries = record["entries"]
    found = counted(len(entries), "entry", "entries") if entries else record.get("note", "")
    heading(console, "recall", found)
    for recalled in entries:
        entry = recalled["entry"]
        console.print(
            Text.assemble(
                f"    {entry['id']}  similarity {recalled['similarity']:.2f}  ",
                (f"[{entry['entry_type'].upper()}] ", "magenta"),
                safe(f"{entry['title']}: {entry['content']}"),
            )
        )


def print_reason(console: Console, update: Record, streamed: bool = False) -> None:
    """The attempt, unless its tokens were printed already."""
    attempt = update["attempts"][-1]
    kept = attempt["text"][: attempt["kept"]]
    if not streamed:
        heading(console, "reason")
        print_kept(console, kept)
        console.print(safe(attempt["text"][len(kept) :]))
    tokens = attempt["usage"]["output_tokens"]
    console.print(
        Text.assemble(
            "    answer ",
            (str(safe(attempt["answer"])) if attempt["answer"] is not None else "none", "bold"),
            f"  attempt {attempt['number']}, {tokens} tokens, {attempt['seconds']:.1f} s",
            f", {len(kept)} characters kept" if kept else "",
            f", {len(attempt['thought'])} characters thought" if attempt.get("thought") else "",
        )
    )
    if facts := prompt_facts(attempt["metadata"]):
        console.print(Text(f"    {facts}", style="dim"))


def print_kept(console: Console, kept: str) -> None:
    """What was kept of the attempt before, told apart from what comes behind it."""
    if kept:
        console.print(Text("kept of the attempt before, its last value put right:", style="dim"))
        console.print(Text.assemble((safe(kept).plain, "dim")), end="")


def prompt_facts(metadata: Record) -> str:
    """How the model got its prompt: tiles and image tokens, OCR, reuse, and its state marker."""
    facts = []
    if isinstance(tiles := metadata.get("tiles_per_image"), list):
        shown = " + ".join(map(str, tiles))
        facts.append(f"{shown} tiles, {metadata.get('image_tokens')} image tokens")
    if "ocr" in metadata:
        facts.append("images read as text (OCR)")
    if isinstance(prefix := metadata.get("prefix"), dict):
        facts.append(f"{prefix.get('reused')} of {prefix.get('given')} prompt tokens reused")
    if state := metadata.get("vita_state"):
        facts.append(f"state {state}")
    return ", ".join(facts)


def print_feedback(console: Console, update: Record, streamed: bool = False) -> None:
    """Each verifier's verdict, the wrong steps, and what the stop rule says."""
    record = update["feedback"][-1]
    heading(console, "feedback", f"{record['verdict']} ({record['source']})")
    for part in record["parts"] or [record]:
        mark, colour = MARKS[part["verdict"]]
        words = part["failure"] or part["message"]
        console.print(
            Text.assemble(
                f"    {part['source']}: ",
                (mark, colour),
                f" {part['verdict']}  ",
                "(advice) " if part["advice"] else "",
                safe(words),
            )
        )
        for error in map(StepError.model_validate, part["errors"]):
            if error.message not in words:
                console.print(Text.assemble("      ", safe(error.in_words)))
    if update.get("decision"):
        console.print(Text.assemble("    → ", safe(update["decision"]["reason"])))


def print_remember(console: Console, update: Record, streamed: bool = False) -> None:
    """What was written to memory, or why nothing was."""
    record = update["written"][-1]
    failure = record.get("failure")
    words = f"the writer's answer could not be used: {failure}" if failure else record["note"]
    heading(console, "remember", words)
    for done in record["operations"]:
        entry = done.get("entry")
        console.print(
            Text.assemble(
                f"    {done_to(done['kind'])} {done['entry_id']}  ",
                safe(
                    f"[{entry['entry_type'].upper()}] {entry['title']}: {entry['content']}"
                    if entry
                    else done["reason"]
                ),
            )
        )
        if entry and entry["applies_when"]:
            console.print(Text.assemble("      applies when ", safe(entry["applies_when"])))


def print_teach(console: Console, update: Record, streamed: bool = False) -> None:
    """What the teacher said, and whether it is kept."""
    taught = Taught.model_validate(update["taught"])
    heading(console, "teach", f"by {taught.by}")
    if taught.solution is not None:
        console.print(safe(taught.solution.text))
    kept = [f"{done_to(done['kind'])} {done['entry_id']}" for done in taught.operations]
    console.print(Text.assemble("    ", safe(taught.note or ", ".join(kept))))


def print_judged(console: Console, record: Record) -> None:
    """A verdict that was given when the run was over, and what came of it."""
    mark, colour = MARKS.get(record["verdict"], ("", ""))
    heading(console, "judge", f"{record['verdict']} by {record['by']}, {record['at']}")
    what = f" attempt {record['attempt']}  {record['message']}"
    console.print(Text.assemble("    ", (mark, colour), safe(what)))
    for word, ids in (("taken back", record["taken_back"]), ("counted for", record["credited"])):
        if ids:
            console.print(Text.assemble(f"    {word} ", safe(", ".join(ids))))
    for done in record["operations"]:
        words = f"{done_to(done['kind'])} {done['entry_id']}  {done['reason']}"
        console.print(Text.assemble("    ", safe(words)))
    if why := record["failure"] or record["note"]:
        console.print(Text.assemble("    ", safe(why)))


PRINTERS: dict[str, Callable[[Console, Record, bool], None]] = {
    "recall": print_recall,
    "reason": print_reason,
    "feedback": print_feedback,
    "remember": print_remember,
    "teach": print_teach,
}


def print_result(console: Console, result: Result) -> None:
    """The answer that stands, why the run stopped, and where to look further."""
    console.print()
    answer = result.answer if result.answer is not None else "none"
    console.print(Text.assemble(("answer  ", "bold"), safe(answer), f"  ({result.outcome})"))
    if result.stopped_because:
        console.print(Text.assemble("stopped ", safe(result.stopped_because)))
    if (graded := grade_result(result)) is not None:
        console.print(f"graded  {'right' if graded.correct else 'wrong'}, by the reference")
    calls = counted(result.usage.calls, "call")
    console.print(f"cost    {result.usage.total_tokens} tokens, {calls}, {result.seconds:.1f} s")
    console.print(safe(f"trace   vitarmm trace show {shlex.quote(result.thread_id)}"))
    if result.status == "interrupted":
        reply = "--verdict pass|fail --reason WHY"
        console.print(
            f"waits   for a person: vitarmm resume {result.thread_id} {reply}", markup=False
        )

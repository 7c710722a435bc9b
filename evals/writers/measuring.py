"""How good a memory writer is: what it writes, and what its entries do to other problems.

Every writer decides on the same situations. Asked freely, is its answer JSON, and are its operations
usable? Asked as in the loop, how many of its entries give their problem away or say nothing new, how
long are they, and how often is a similar problem, which the writer was not trained on, solved with
the entry and without it?
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitarmm_agent.data import Data
from vitarmm_agent.effects import arun
from vitarmm_agent.errors import InputError, ModelError, OutputError
from vitarmm_agent.evals.output_folder import begin, earlier
from vitarmm_agent.evals.worklist import Job, WorkList
from vitarmm_agent.evals.writers.cases import Case
from vitarmm_agent.evals.writers.replay import Neighbours, Replayer
from vitarmm_agent.evals.writers.trials import Probe, Trial
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.memory_store.schema import EntryType, Example, MemoryEntry
from vitarmm_agent.models.calls import ask
from vitarmm_agent.problem import Usage
from vitarmm_agent.redaction import redact
from vitarmm_agent.rmm.audit import leak_of
from vitarmm_agent.rmm.form import Fault, faults_of
from vitarmm_agent.rmm.generalise import own_numbers
from vitarmm_agent.rmm.rule import RuleWriter
from vitarmm_agent.rmm.schema import Situation, parse_output
from vitarmm_agent.rmm.writer import MemoryWriter, WriterDecision, usable_operations

LEDGER = "decisions.jsonl"
WHAT = "measurement of writers"
_FENCE = re.compile(r"```(?:json)?[^\S\n]*+\n(.*)```", re.DOTALL)


class WriterConfig(Data):
    """All that a measurement of writers depends on.

    Attributes:
        cases: keys of the situations, in order.
        contents: what the situations hold, siblings and answers among it, hashed.
        writers: specs of the models, in order; the first is what the others are compared with.
        reasoner: the model that attempts the similar problems.
        probes: similar problems per entry.
        pool: ids of the problems among which similar ones are looked for, hashed.
        attempts: per problem and memory; 1 is one greedy attempt.
        settings: how models decode, and the embedder.
        adapters: by the spec that names it, what an adapter's files hold, hashed.
    """

    cases: tuple[str, ...]
    contents: str = ""
    writers: tuple[str, ...]
    reasoner: str
    probes: int
    pool: str
    attempts: int = 1
    temperature: float = 0.7
    seed: int = 0
    think: bool = False
    settings: dict[str, Any] = {}
    adapters: dict[str, str] = {}


class WrittenText(Data):
    """One entry that a writer wants in memory.

    Attributes:
        leak: why it gives away the problem it comes from, or None.
        faults: where it leaves the form that was asked for.
        example: by which it is shown; that of a problem is never shown to the problem itself.
        trials: what it did to each similar problem.
    """

    entry_type: EntryType = "insight"
    title: str
    applies_when: str
    content: str
    words: int
    leak: Literal["answer", "verbatim"] | None
    faults: tuple[Fault, ...] = ()
    example: Example | None = None
    trials: tuple[Trial, ...] = ()


class WriterSample(Data):
    """What one writer made of one situation.

    Attributes:
        case: key of the situation.
        crash: what went wrong when it did not end, or None; such a sample is counted apart.
        declined: that was the model's doing, and would be again.
        free_reply: what it answered without constraint.
        reply: what it answered in the loop, the last time that it was asked.
        free_json: asked without constraint, it answered JSON and nothing else.
        fenced_json: the same, or JSON in a Markdown fence and nothing else.
        free_operations: that answer is of the form asked for, and its operations can be used.
        failure: why its answer in the loop, after one repair, could not be used; or None.
        restated: entries it wanted to add that were shown to it.
        leaks_before: entries that gave their problem away before its numbers were taken out.
        entries: entries that would be written.
        groundless: nothing was learned: a fail of which neither a wrong step nor a right solution is known.
        mistaken: a wrong attempt is known, and what is right.
        copied_again: shown its own entry for the same situation, it wrote it a second time; None when it
            was not asked, or its answer could not be used.
        tried_on: ids of the similar problems that its entries, if any, were tried on.
        usage: tokens of all that it was asked.
        decision: tokens of the decision in the loop alone, repair included; ``seconds`` are its wall time.
    """

    writer: str
    case: str
    situation: Situation
    crash: str | None = None
    declined: bool = False
    free_reply: str = ""
    reply: str = ""
    free_json: bool = False
    fenced_json: bool = False
    free_operations: bool = False
    failure: str | None = None
    restated: int = 0
    written_before: int = 0
    leaks_before: int = 0
    entries: tuple[WrittenText, ...] = ()
    groundless: bool = False
    mistaken: bool = False
    copied_again: bool | None = None
    baselines: dict[str, tuple[bool, ...]] = {}
    tried_on: tuple[str, ...] = ()
    usage: Usage = Usage()
    decision: Usage = Usage()
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """``WRITER/CASE``."""
        return f"{self.writer}/{self.case}"

    @property
    def problem(self) -> str:
        """What the situation is of."""
        return problem_of(self.case)

    @property
    def may_pass(self) -> bool:
        """Whether it crashed for a reason that may be gone at the next try."""
        return self.crash is not None and not self.declined


@dataclass(frozen=True)
class Named:
    """A writer and the spec by which it is known."""

    name: str
    writer: MemoryWriter


class Measurer:
    """Asks writers, and tries what they write."""

    def __init__(
        self,
        replayer: Replayer,
        neighbours: Mapping[str, Neighbours],
        *,
        probes: int = 2,
    ) -> None:
        """Try each entry on ``probes`` problems: siblings of a case, or of ``neighbours`` by benchmark."""
        self.replayer = replayer
        self.neighbours = neighbours
        self.probes = probes

    async def sample(self, writer: Named, case: Case) -> WriterSample:
        """Ask one writer about one situation.

        Raises:
            VitaRMMError: as the models raise.
        """
        ruled = isinstance(writer.writer, RuleWriter)
        free, usage = ({}, Usage()) if ruled else await self._freely(writer, case)
        decision = await arun(case.decision_of(writer.writer, writer.name))
        if ruled:  # it has but one way to answer
            free = checked_freely(decision.raw, case)
        entries = [one.entry for one in decision.operations if one.entry is not None]
        similar = self._similar(case)
        written = [await self._written(entry, case, similar) for entry in entries]
        before = _leaks_before(decision, case)
        again, more = await self._again(writer, case, entries)
        return WriterSample(
            writer=writer.name,
            case=case.key,
            situation=case.situation,
            **free,
            reply=decision.raw,
            failure=decision.failure,
            restated=sum(one.kind == "none" and bool(one.reason) for one in decision.operations),
            written_before=before[0],
            leaks_before=before[1],
            entries=tuple(written),
            groundless=_groundless(case),
            mistaken=case.situation == "contrast" or case.solution is not None,
            copied_again=again,
            baselines=self.replayer.known(similar),
            tried_on=tuple(probe.problem.id for probe in similar),
            decision=decision.usage,
            usage=usage + decision.usage + more,
            seconds=round(decision.seconds, 4),
        )

    async def _freely(self, writer: Named, case: Case) -> tuple[dict[str, Any], Usage]:
        """What a model answers when nothing is constrained."""
        try:
            reply = await arun(ask(writer.writer.model, case.messages(think=writer.writer.think)))
        except ModelError:
            return {}, Usage(calls=1)
        return {"free_reply": reply.said} | checked_freely(reply.said, case), reply.usage

    async def _again(
        self, writer: Named, case: Case, entries: Sequence[MemoryEntry]
    ) -> tuple[bool | None, Usage]:
        """Whether it writes a second copy when it is shown what it wrote for the same situation."""
        if not entries or not case.siblings:
            return None, Usage()
        shown = case.model_copy(update={"related": (*entries, *case.related)})
        decision = await arun(shown.decision_of(writer.writer, writer.name))
        again = any(one.kind == "add" for one in decision.operations)
        return (again if decision.failure is None else None), decision.usage

    def _similar(self, case: Case) -> list[Probe]:
        if case.siblings:
            return list(case.siblings[: self.probes])
        among = self.neighbours.get(case.benchmark)
        found = among.nearest(case.problem, self.probes) if among and self.probes else []
        return [Probe(problem=problem) for problem in found]

    async def _written(
        self, entry: MemoryEntry, case: Case, similar: Sequence[Probe]
    ) -> WrittenText:
        text = entry_text(entry)
        return WrittenText(
            entry_type=entry.entry_type,
            title=entry.title,
            applies_when=entry.applies_when,
            content=entry.content,
            words=len(text.split()),
            leak=leak_of(text, case.problem),
            faults=faults_of(entry),
            example=entry.example,
            trials=tuple(
                [await self.replayer.trial(one.problem, entry, one.placebo) for one in similar]
            ),
        )


async def measure_writers(
    config: WriterConfig,
    writers: Sequence[Named],
    cases: Sequence[Case],
    measurer: Measurer,
    folder: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    on_start: Callable[[int, int], None] | None = None,
    on_row: Callable[[WriterSample], None] | None = None,
) -> tuple[list[WriterSample], str | None]:
    """Ask every writer about every situation, and keep each answer in ``folder`` as it comes.

    Returns:
        The samples, in the order of writers and situations, and why it stopped early, or None.

    Raises:
        InputError: the folder is in use.
        ModelServerError: a server denies every request.
    """
    begin(folder, config, resume=resume, what=WHAT)
    work = WorkList(folder / LEDGER, WriterSample, again=lambda row: row.may_pass)
    for row in work.done.values():
        measurer.replayer.remember(row.baselines)
    jobs = [Job(f"{w.name}/{case.key}", (w, case)) for case in cases for w in writers]
    if on_start:
        on_start(len(jobs), sum(job.key in work.done for job in jobs))

    async def do(job: Job) -> WriterSample:
        return await measurer.sample(*job.payload)

    stopped = await work.run(
        [[job] for job in jobs], do, workers=workers, crashed=_crashed, on_row=on_row
    )
    done = [work.done[job.key] for job in jobs if job.key in work.done]
    return [one for w in writers for one in done if one.writer == w.name], stopped


def measured_so_far(
    config: WriterConfig, folder: Path
) -> tuple[WriterConfig, list[WriterSample], str | None]:
    """What a measurement has of situations that every writer has decided on; nothing is asked.

    Returns:
        The measurement of these situations alone, its samples as :func:`measure_writers` gives them, and
        how many situations are left, in words, or None.

    Raises:
        InputError: the folder holds another measurement, or none.
    """
    if earlier(folder, config, resume=True, what=WHAT) is None:
        raise InputError(f"{str(folder)!r} holds no measurement of writers; leave out --so-far")
    done = WorkList(folder / LEDGER, WriterSample, again=lambda row: row.may_pass).done
    whole = [c for c in config.cases if all(f"{w}/{c}" in done for w in config.writers)]
    if not whole:
        raise InputError(
            f"no situation has been decided on by all {len(config.writers)} writers yet"
        )
    left = len(config.cases) - len(whole)
    return (
        config.model_copy(update={"cases": tuple(whole)}),
        [done[f"{w}/{c}"] for w in config.writers for c in whole],
        f"{left} of {len(config.cases)} situations are left" if left else None,
    )


def checked_freely(text: str, case: Case) -> dict[str, bool]:
    """What an answer that was not constrained is: JSON, JSON in a fence, usable operations."""
    alone, fenced = _json(text), _FENCE.fullmatch(text.strip())
    data = alone if alone is not None else _json(fenced[1]) if fenced else None
    usable = True
    try:
        usable_operations(alone, case.related, case.provenance(""), _numbers(case), case.shown)
    except OutputError:
        usable = False
    return {
        "free_json": alone is not None,
        "fenced_json": data is not None,
        "free_operations": usable,
    }


def problem_of(case: str) -> str:
    """``BENCHMARK/PROBLEM`` of the key of a situation."""
    return case.rsplit("/", 1)[0]


def entry_text(entry: MemoryEntry) -> str:
    """All that an entry shows: title, condition and content."""
    return "\n".join((entry.title, entry.applies_when, entry.content))


def _leaks_before(decision: WriterDecision, case: Case) -> tuple[int, int]:
    """Entries of the model's answer as it came, and how many of them give the problem away."""
    try:
        written = parse_output(_json(decision.raw), case.related, case.provenance(""))
    except OutputError:
        return 0, 0
    texts = [entry_text(one.entry) for one in written if one.entry is not None]
    return len(texts), sum(leak_of(text, case.problem) is not None for text in texts)


def _groundless(case: Case) -> bool:
    named = any(error.step is not None for error in case.feedback[-1].errors)
    return case.situation == "failure" and case.solution is None and not named


def _numbers(case: Case) -> frozenset[str]:
    known = (case.attempts[-1], case.solution) if case.solution else (case.attempts[-1],)
    return own_numbers(case.problem, *known)


def _json(text: str) -> Any:
    try:
        return parse_json(text.replace("\ufffd", ""), strict=False)
    except ValueError:
        return None


def _crashed(job: Job, error: Exception) -> WriterSample:
    writer, case = job.payload
    return WriterSample(
        writer=writer.name,
        case=case.key,
        situation=case.situation,
        crash=redact(f"{type(error).__name__}: {error}"),
        declined=isinstance(error, ModelError),
    )

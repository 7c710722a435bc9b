"""What a simulation is asked for, what it keeps of each problem, and what it came to. Plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from vitarmm_agent.data import Data, error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.records import BenchmarkName
from vitarmm_agent.evals.writers.cases import Case
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.problem import Usage
from vitarmm_agent.rmm.schema import Situation
from vitarmm_agent.settings import Settings
from vitarmm_agent.training.rows import Candidate, DecisionRow, Label, PreferenceRow

LEDGER = "simulate.jsonl"
HELD_OUT = "heldout.jsonl"
SUMMARY = "summary.json"


class Source(Data):
    """A file of problems."""

    name: BenchmarkName
    path: str
    image_dir: str | None = None


DECODING = ("temperature", "max_tokens", "embedder")
"""Settings that rows depend on."""


class SimulationConfig(Data):
    """All that a simulation's rows depend on; equal when one may go on with another.

    Attributes:
        sources: files of training problems.
        vita_model: the chat model that solves.
        feedback_model: the chat model that judges.
        rmm: the chat model that writes memory entries; default: the one that judges.
        feedback: verifiers in order.
        num_samples: problems per benchmark, drawn at random; -1 for all.
        holdout: share of them that yields no training rows and is kept to measure writers.
        candidates: decisions per situation; all but the first are sampled.
        temperature: of sampled decisions, and of attempts when there are several.
        replay: try each entry on its own problem and on a similar one, and label by what it does.
        siblings: how many siblings of each row of GSM8K entries are tried on instead, beside a placebo;
            the rule is tried as well then.
        teacher: the chat model that solves what failed; default: the row's own solution, with siblings.
        attempts: per problem and memory in a replay; 1 is one greedy attempt.
        max_iterations: attempts per problem of the loop.
        oracle: feedback sees the gold answer.
        think: the writer is asked for a thought before it decides.
        settings: how models decode, and the embedder.
        test_only_allowed: rows whose licence allows testing only may become training data.
        lanes: memories that the problems are spread over; of each, one problem follows another.
        problems: those that were drawn from the sources, hashed.
        adapters: by the spec that names it, what an adapter's files hold, hashed.
    """

    sources: tuple[Source, ...]
    vita_model: str
    feedback_model: str
    rmm: str | None = None
    feedback: str = "arithmetic,judge"
    num_samples: int = -1
    holdout: float = Field(default=0.1, ge=0, le=1)
    candidates: int = Field(default=3, ge=1, le=32)
    temperature: float = Field(default=0.8, gt=0)
    replay: bool = True
    siblings: int = Field(default=0, ge=0, le=16)
    teacher: str | None = None
    attempts: int = Field(default=1, ge=1, le=64)
    max_iterations: int = Field(default=2, ge=1, le=100)
    seed: int = 0
    oracle: bool = False
    think: bool = False
    settings: dict[str, Any] = {}
    test_only_allowed: bool = False
    lanes: int = Field(default=1, ge=1)
    problems: str = ""
    adapters: dict[str, str] = {}

    @classmethod
    def of(cls, settings: Settings | None = None, **options: Any) -> SimulationConfig:
        """A configuration from options and what the settings say of decoding.

        Raises:
            InputError: an option is out of range.
        """
        settings = settings or Settings.load()
        said = {name: getattr(settings, name) for name in DECODING}
        given = {"think": settings.rmm_think, "settings": said} | options
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            lines = (
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}"
                for e in error.errors()
            )
            raise InputError("; ".join(lines)) from None


class SimulatedRow(Data):
    """What one problem gave.

    Attributes:
        key: ``BENCHMARK/PROBLEM``.
        held_out: it gives situations to measure writers with, and no training rows.
        crash: what went wrong when it did not end, or None.
        declined: that was the model's doing, and would be again.
        passed: the last verdict of its run.
        situations: what its run's writer had to decide on.
        decisions: its training rows.
        cases: its situations in full, when it is held out.
        leaks: entries dropped by the audit, by reason.
        dropped: decisions dropped, by reason.
        solutions: what failed, by whether a right solution was known: ``right``, ``wrong`` (and
            dropped), ``none``.
        feedback_failures: attempts on which a verifier could not judge.
        writer_failures: decisions of the run's writer that could not be used.
        baselines: attempts with an empty memory or a placebo, as the replay names them.
        usage: tokens of the run, of all candidates, of the teacher and of trials; none of a crash.
    """

    key: str
    held_out: bool = False
    thread_id: str = ""
    crash: str | None = None
    declined: bool = False
    passed: bool = False
    situations: tuple[Situation, ...] = ()
    decisions: tuple[DecisionRow, ...] = ()
    cases: tuple[Case, ...] = ()
    leaks: dict[str, int] = {}
    dropped: dict[str, int] = {}
    solutions: dict[str, int] = {}
    feedback_failures: int = 0
    writer_failures: int = 0
    baselines: dict[str, tuple[bool, ...]] = {}
    usage: Usage = Usage()

    @property
    def may_pass(self) -> bool:
        """Whether it crashed for a reason that may be gone at the next try."""
        return self.crash is not None and not self.declined


class CandidateOutcome(Data):
    """What the decisions of one kind of candidate did: trials of single entries, and how many were right.

    Attributes:
        trials: attempts with an entry; ``without``, ``placebo`` and ``shown`` count the right ones.
    """

    decisions: int = 0
    chosen: int = 0
    rejected: int = 0
    trials: int = 0
    without: int = 0
    placebo: int = 0
    shown: int = 0

    def __str__(self) -> str:
        """``9 chosen, 3 rejected of 12; right: 20 with, 11 without, 10 with the placebo, of 36``."""
        return (
            f"{self.chosen} chosen, {self.rejected} rejected of {self.decisions}; right: {self.shown} "
            f"with, {self.without} without, {self.placebo} with the placebo, of {self.trials}"
        )


class Summary(Data):
    """What a simulation came to, in numbers.

    Attributes:
        problems: finished, held-out ones included.
        skipped: rows of the files that could not be used, by reason.
        effects: what the entries of a decision did, as ``own/similar``.
        outcomes: by kind of candidate, what its entries did to siblings.
        crashes: problems that did not end, by reason.
        stopped: why the simulation stopped early, or None.
    """

    problems: int
    passed: int
    held_out: int
    held_out_cases: int
    decisions: int
    preferences: int
    situations: dict[str, int]
    labels: dict[Label, int]
    effects: dict[str, int]
    leaks: dict[str, int]
    dropped: dict[str, int]
    solutions: dict[str, int] = {}
    outcomes: dict[Candidate, CandidateOutcome] = {}
    skipped: dict[str, int]
    crashes: dict[str, int]
    feedback_failures: int
    writer_failures: int
    usage: Usage
    stopped: str | None = None


def read_cases(folder: Path) -> list[Case]:
    """The held-out situations of the simulation in ``folder``.

    Raises:
        InputError: there are none, they cannot be read, or one is there twice.
    """
    path = folder / HELD_OUT
    try:
        lines = path.read_text("utf-8").split("\n")  # texts hold other breaks
    except OSError:
        raise InputError(
            f"{str(folder)!r} has no held-out situations ({HELD_OUT}); simulate with --holdout "
            "above 0"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None
    cases, seen = list[Case](), dict[str, int]()
    for number, line in enumerate(lines, 1):
        if line.strip():
            case = _case(line, f"{str(path)!r} line {number}")
            if (first := seen.setdefault(case.key, number)) < number:
                raise InputError(
                    f"{str(path)!r} line {number} is the situation of line {first} again "
                    f"({case.key}); leave each in once"
                )
            cases.append(case)
    if not cases:
        raise InputError(f"{str(path)!r} holds no situation to decide on")
    return cases


def _case(line: str, place: str) -> Case:
    try:
        return Case.model_validate(parse_json(line))
    except ValidationError as error:
        why = error_lines(error, got=False)
    except ValueError as error:
        why = f"no JSON ({error})"
    raise InputError(
        f"{place} is no situation: {why}; it was changed by hand, or written by another version"
    )


def training_rows(rows: Iterable[SimulatedRow]) -> list[DecisionRow]:
    """The decisions that a model can learn to make: what the rule writes helps by its example, and none writes that."""
    return [one for row in rows for one in row.decisions if one.candidate != "rule"]


def summarise(
    rows: Sequence[SimulatedRow],
    pairs: Sequence[PreferenceRow],
    skipped: dict[str, int],
    stopped: str | None,
) -> Summary:
    """Count what the rows hold."""
    decisions, tried = training_rows(rows), [one for row in rows for one in row.decisions]
    return Summary(
        problems=len(rows),
        passed=sum(row.passed for row in rows),
        held_out=sum(row.held_out for row in rows),
        held_out_cases=sum(len(row.cases) for row in rows),
        decisions=len(decisions),
        preferences=len(pairs),
        situations=_counted(kind for row in rows for kind in row.situations),
        labels=dict(Counter(decision.label for decision in decisions)),
        effects=_counted(f"{one.effect_own}/{one.effect_similar}" for one in decisions),
        leaks=_added(row.leaks for row in rows),
        dropped=_added(row.dropped for row in rows),
        solutions=_added(row.solutions for row in rows),
        outcomes={
            name: _outcome([one for one in tried if one.candidate == name])
            for name in dict.fromkeys(one.candidate for one in tried)
        },
        skipped=skipped,
        crashes=_counted(row.crash for row in rows if row.crash),
        feedback_failures=sum(row.feedback_failures for row in rows),
        writer_failures=sum(row.writer_failures for row in rows),
        usage=sum((row.usage for row in rows), Usage()),
        stopped=stopped,
    )


def _outcome(decisions: Sequence[DecisionRow]) -> CandidateOutcome:
    tried = [trial for decision in decisions for trial in decision.tried]
    return CandidateOutcome(
        decisions=len(decisions),
        chosen=sum(decision.label == "chosen" for decision in decisions),
        rejected=sum(decision.label == "rejected" for decision in decisions),
        trials=sum(len(trial.shown) for trial in tried),
        without=sum(sum(trial.without) for trial in tried),
        placebo=sum(sum(trial.placebo) for trial in tried),
        shown=sum(sum(trial.shown) for trial in tried),
    )


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total.most_common())

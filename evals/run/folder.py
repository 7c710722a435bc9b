"""The folder of an evaluation: its configuration, its samples, and where the rest lies."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from vitarmm_agent.clip import clip
from vitarmm_agent.data import Data
from vitarmm_agent.evals.output_folder import (
    CONFIG,
    earlier,
    read_config,
    refuse_unless_usable,
    write_config,
)
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.worklist import read_rows
from vitarmm_agent.problem import Problem

PACKAGES = (
    "vitarmm-agent", "torch", "transformers", "peft", "xgrammar", "langchain-core",
    "langchain-openai", "langgraph", "chromadb", "sentence-transformers", "math-verify", "sympy",
    "numpy",
)  # fmt: skip
WHAT = "evaluation"
PLACES = ("data_dir", "home", "memory", "database")
"""Settings that say where things lie on this machine; they change no number."""


class BenchmarkUsed(Data):
    """A benchmark as it was evaluated.

    Attributes:
        n: problems that were used.
        sha256: of the file it was read from.
        skipped: rows that could not be used, and groups that could not be taught: how many, by reason.
    """

    name: str
    split: str = ""
    n: int = 0
    sha256: str = ""
    source: str = ""
    skipped: dict[str, int] = {}


class Prices(Data):
    """Dollars per million tokens."""

    input: float
    output: float


class Session(Data):
    """One time that the evaluation was run or resumed.

    Attributes:
        budget: what it was allowed to spend, in words, or None.
        ended: ``finished``, why it stopped early, or empty when it was killed or still runs.
    """

    at: datetime
    git_revision: str | None
    versions: dict[str, str]
    budget: str | None = None
    ended: str = ""


class EvaluationConfig(Data):
    """All that an evaluation's numbers depend on.

    Attributes:
        created_at: when it began.
        max_iterations: attempts per problem at most.
        sample_size: problems per benchmark; -1 is all.
        withhold: probability with which one recalled entry is kept from the model.
        settings: all of :class:`~vitarmm_agent.settings.Settings`, as data.
        versions: of Python and the packages that matter.
        git_revision: of the package's checkout, or None where it is installed without one.
        prompts_sha256: over all prompt templates.
        problem_sha256: over the problems and their references, in order.
        oracle_arms: arms whose feedback saw the gold answer.
        learning: the problems that the frozen arm's memory was learned from, or None.
        held_out: ids of learning problems that were left out because they nearly equal a test
            problem.
        details: further choices by name, such as how many votes the consistency arm has.
        sessions: when it was run and resumed, and by which code.
        comparable_hash: equal for evaluations of the same problems.
    """

    created_at: datetime
    benchmarks: tuple[BenchmarkUsed, ...]
    arms: tuple[str, ...]
    orders: int = 1
    seed: int = 0
    max_iterations: int = 3
    sample_size: int = -1
    withhold: float = 0.0
    prices: Prices | None = None
    settings: dict[str, Any] = {}
    versions: dict[str, str] = {}
    git_revision: str | None = None
    prompts_sha256: str = ""
    problem_sha256: str = ""
    oracle_arms: tuple[str, ...] = ()
    learning: BenchmarkUsed | None = None
    held_out: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    sessions: tuple[Session, ...] = ()
    comparable_hash: str = ""

    def differences(self, other: EvaluationConfig) -> list[str]:
        """In words, each difference that could change a number; versions are recorded, not compared."""
        mine, theirs = _identity(self), _identity(other)
        return [
            f"{name}: {_shown(theirs.get(name))} instead of {_shown(mine.get(name))}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


class EvaluationFolder:
    """``OUT/``: config.json, samples.jsonl, data/, and the reports."""

    def __init__(self, path: Path | str) -> None:
        """Look at ``path``; nothing is made."""
        self.path = Path(path)
        self.config_path = self.path / CONFIG
        self.samples_path = self.path / "samples.jsonl"
        self.data_dir = self.path / "data"
        self.memories = self.data_dir / "memories"

    def config(self) -> EvaluationConfig:
        """Its configuration.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        return read_config(self.path, EvaluationConfig, WHAT)

    def samples(self) -> list[Sample]:
        """The finished samples, in the order in which they ended."""
        return read_rows(self.samples_path, Sample)

    def refuse_unless_usable(self, *, resume: bool) -> None:
        """Refuse early what :meth:`begin` would refuse whatever the configuration.

        Raises:
            InputError: the folder is not empty and ``resume`` is not asked for, or holds no
                evaluation.
        """
        refuse_unless_usable(self.path, resume=resume, what=WHAT)

    def earlier(self, config: EvaluationConfig, *, resume: bool = False) -> EvaluationConfig | None:
        """The configuration of the evaluation that is gone on with; None where one begins anew.

        Raises:
            InputError: the folder is not empty and ``resume`` is not asked for, or it holds an
                evaluation of another configuration.
        """
        return earlier(
            self.path, config, resume=resume, what=WHAT, differences=EvaluationConfig.differences
        )

    def begin(self, config: EvaluationConfig, *, resume: bool = False) -> EvaluationConfig:
        """Make the folder for an evaluation, or go on with the one that lies in it.

        Returns:
            The configuration in force; that of the first session when it is resumed.

        Raises:
            InputError: as :meth:`earlier`, or it cannot be written.
        """
        known = self.earlier(config, resume=resume)
        if known is not None:
            sessions = (*known.sessions, *config.sessions)
            config = known.model_copy(update={"sessions": sessions})
        write_config(self.path, config)
        return config

    def end(self, why: str) -> None:
        """Note how the last session ended."""
        config = self.config()
        *earlier, last = config.sessions
        ended = last.model_copy(update={"ended": why})
        write_config(self.path, config.model_copy(update={"sessions": (*earlier, ended)}))


def describe(*, budget: str | None = None, **choices: Any) -> EvaluationConfig:
    """A configuration of these choices, with the code and the machine as they are now.

    Args:
        budget: of this session, in words.
        choices: fields of :class:`EvaluationConfig`.

    Raises:
        pydantic.ValidationError: a choice has the wrong type.
    """
    now = datetime.now(UTC)
    session = Session(at=now, git_revision=git_revision(), versions=versions(), budget=budget)
    config = EvaluationConfig(
        created_at=now,
        versions=session.versions,
        git_revision=session.git_revision,
        prompts_sha256=prompts_sha256(),
        sessions=(session,),
        **choices,
    )
    same = [[b.name, b.split, b.n] for b in config.benchmarks]
    digest = _sha256([same, config.problem_sha256])
    return config.model_copy(update={"comparable_hash": digest})


def problems_sha256(problems: Iterable[Problem]) -> str:
    """A hash of problems and their references, in order."""
    return _sha256([[p.id, p.fingerprint, p.reference] for p in problems])


def prompts_sha256() -> str:
    """A hash of all prompt templates."""
    folder = resources.files("vitarmm_agent") / "prompts"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".md")), key=lambda f: f.name)
    return _sha256([[f.name, f.read_text(encoding="utf-8")] for f in files])


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The revision of the checkout that this code runs from, with ``+changes`` when it was edited."""
    here = Path(__file__).resolve()
    if _git(here, "ls-files", "--error-unmatch", here.name) is None:
        return None
    revision = _git(here, "rev-parse", "HEAD")
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ":/*.py", ":/*.md")
    return f"{revision}+changes" if revision and changed else revision


def _git(here: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _identity(config: EvaluationConfig) -> dict[str, Any]:
    """What must be equal for one evaluation to go on as the other."""
    data = config.model_dump(mode="json")
    for name in ("created_at", "sessions", "versions", "git_revision", "comparable_hash"):
        del data[name]
    settings = data.pop("settings")
    data |= {f"settings.{k}": v for k, v in settings.items() if k not in PLACES}
    data["benchmarks"] = [
        {k: v for k, v in used.items() if k != "source"} for used in data["benchmarks"]
    ]
    if data["learning"]:
        del data["learning"]["source"]
    return data


def _sha256(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _shown(value: Any) -> str:
    return clip(json.dumps(value, ensure_ascii=False), 120)

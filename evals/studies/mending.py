"""What does another attempt mend? ``python -m vitarmm_agent.evals.studies.mending EVALUATION``.

The first attempts of an evaluation's ``single`` arm that arithmetic fails are tried again in three ways:

* ``mend``: the model goes on from the value that was put right (sampled where no mend is certain);
* ``sample``: the same prompt at a temperature, the failed attempt not shown;
* ``named``: the failed attempt is shown, and what is wrong with it.

Rows are kept in the file ``--output``, so that a run that was stopped goes on. The gold answer only grades.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vitarmm_agent.answers import grade
from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.loading import load_benchmark
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.evals.statistics import wilson
from vitarmm_agent.graphs.checkpoints import read_checkpoints
from vitarmm_agent.media import MediaStore
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.calls import ask
from vitarmm_agent.models.retried import sampling
from vitarmm_agent.nodes.reason import attempt_text, prompt_data, prompt_messages, read_attempt
from vitarmm_agent.problem import Attempt, Data, Feedback, Problem
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import read_trace
from vitarmm_agent.verifiers import Arithmetic

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Way = Literal["mend", "sample", "named"]
WAYS: tuple[Way, ...] = ("mend", "sample", "named")
NAMED = (
    "Your last attempt at the problem:\n{attempt}\n\nIt is wrong. {message}\n"
    "Do not repeat this mistake.\n\nSolve the problem."
)


class Retry(Data):
    """One more attempt: how it was asked for, and what became of it."""

    how: Way
    correct: bool
    verdict: str
    tokens: int
    output_tokens: int


class Row(Data):
    """One failed first attempt, tried again in one way until arithmetic fails it no more."""

    id: str
    way: Way
    first_correct: bool
    retries: tuple[Retry, ...]

    def after(self, count: int) -> Retry | None:
        """The attempt that stands after ``count`` more; None where the row does not go so far."""
        if count > len(self.retries) and self.retries[-1].verdict == "fail":
            return None
        return self.retries[:count][-1]


def tried_again(
    model: BaseChatModel,
    problem: Problem,
    first: Attempt,
    way: Way,
    *,
    retries: int,
    settings: Settings,
) -> tuple[Retry, ...]:
    """Try again until arithmetic fails it no more, at most ``retries`` times."""
    media, heat = MediaStore(settings.media_dir), settings.retry_temperature
    attempt, verdict, found = first, _checked(problem, first), list[Retry]()
    for number in range(2, retries + 2):
        if verdict.verdict != "fail":
            break
        kept = verdict.mended if way == "mend" else ""
        kept = "" if kept == attempt.kept_text else kept
        tail = attempt_text([])
        if way == "named":
            tail = NAMED.format(attempt=attempt.text, message=verdict.message)
        data = prompt_data(problem.without_reference(), tail, prefilled=kept)
        greedy = bool(kept) or way == "named"
        asked = model if greedy else sampling(model, heat, f"{problem.id}/{number}")
        reply = run(ask(asked, prompt_messages(data, problem, media)))
        attempt = read_attempt(problem, number, reply, kept)
        verdict = _checked(problem, attempt)
        how: Way = "mend" if kept else "named" if way == "named" else "sample"
        found.append(
            Retry(
                how=how,
                correct=grade(problem, attempt.text, cut=attempt.cut).correct,
                verdict=verdict.verdict,
                tokens=reply.usage.total_tokens,
                output_tokens=reply.usage.output_tokens,
            )
        )
    return tuple(found)


def first_attempts(folder: EvaluationFolder, gsm8k: Path) -> Iterator[tuple[Problem, Attempt]]:
    """The first attempts of the ``single`` arm, with their problems and gold answers.

    Raises:
        InputError: the evaluation has no such arm, or its problems are not in the file.
    """
    golds = {problem.id: problem for problem in load_benchmark("gsm8k", gsm8k).problems}
    samples = [s for s in folder.samples() if s.arm == "single" and not s.crash]
    unknown = sorted({s.problem_id for s in samples} - set(golds))
    if not samples or unknown:
        why = (
            f"its problem {unknown[0]!r} is not in {gsm8k}" if unknown else "it has no arm 'single'"
        )
        raise InputError(f"{folder.path}: {why}; name an evaluation of these rows with that arm")
    kept = read_checkpoints(folder.data_dir / "traces.sqlite")
    for sample in samples:
        yield golds[sample.problem_id], read_trace(kept, sample.thread_id).result.attempts[0]


def table(rows: Sequence[Row], retries: int) -> str:
    """How many failed attempts ended right, by way and number of retries, as Markdown."""
    ways: dict[Way, list[Row]] = defaultdict(list)
    for row in rows:
        ways[row.way].append(row)
    lines = [
        "| way | retries | failed attempts | right after it [95 %] | went on from a mend | new tokens |",
        "|---|---|---|---|---|---|",
    ]
    for way, count in ((way, count) for way in WAYS for count in range(1, retries + 1)):
        ends = [(row, end) for row in ways[way] if (end := row.after(count))]
        if not ends or len(ends) < len(ways[way]):
            continue  # else those that ended early would stand for all
        right = sum(end.correct for _, end in ends)
        share = wilson(right, len(ends))
        mended = sum(row.retries[0].how == "mend" for row, _ in ends)
        tokens = sum(r.output_tokens for row, _ in ends for r in row.retries[:count])
        lines.append(
            f"| {way} | {count} | {len(ends)} | {right} = {share.estimate:.1%} "
            f"[{share.low:.1%}, {share.high:.1%}] | {mended} | {tokens / len(ends):.0f} |"
        )
    return "\n".join(lines)


def _checked(problem: Problem, attempt: Attempt) -> Feedback:
    return run(Arithmetic().check(problem, attempt))


def main(arguments: Sequence[str] | None = None) -> None:
    """Try again, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("evaluation", type=Path, help="folder of an evaluation with the arm single")
    parser.add_argument("--gsm8k-path", type=Path, required=True, help="the rows it is of")
    parser.add_argument("--output", type=Path, default=Path("mending.jsonl"))
    parser.add_argument("--ways", default=",".join(WAYS), help="some of: mend,sample,named")
    parser.add_argument("--retries", type=int, default=2)
    options = parser.parse_args(arguments)
    ways = [way for way in WAYS if way in options.ways.split(",")]
    folder = EvaluationFolder(options.evaluation)
    told = folder.config().settings
    chosen = {name: told[name] for name in ("reasoner", "max_tokens", "base_url") if told.get(name)}
    settings = Settings.load(**chosen)
    model, rows = load_chat_model(settings.reasoner, settings=settings), _rows(options.output)
    done = {(row.id, row.way) for row in rows}
    for problem, first in first_attempts(folder, options.gsm8k_path):
        if _checked(problem, first).verdict != "fail":
            continue
        for way in ways:
            if (problem.id, way) in done:
                continue
            again = tried_again(
                model, problem, first, way, retries=options.retries, settings=settings
            )
            right = grade(problem, first.text, cut=first.cut).correct
            rows.append(Row(id=problem.id, way=way, first_correct=right, retries=again))
            with options.output.open("a", encoding="utf-8") as file:
                file.write(rows[-1].model_dump_json() + "\n")
    sys.stdout.write(table(rows, options.retries) + "\n")


def _rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [Row.model_validate(json.loads(line)) for line in path.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    main()

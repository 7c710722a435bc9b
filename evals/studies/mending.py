"""What does another attempt mend? ``python -m vitarmm_agent.evals.studies.mending EVALUATION``.

The first attempts of one arm of an evaluation that the default verifiers fail are tried again in three ways:

* ``mend``: the model goes on from the value that was put right (sampled where no mend is certain);
* ``sample``: the same prompt at a temperature, the failed attempt not shown;
* ``named``: the failed attempt is shown, and what is wrong with it.

Rows are kept in the file ``--output``, so that a run that was stopped goes on. The gold answer only grades.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from vitarmm_agent.answers import answers_equal, grade_attempt, read_answer
from vitarmm_agent.data import Data
from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.loading import load_benchmark
from vitarmm_agent.evals.datasets.records import BenchmarkName
from vitarmm_agent.evals.metrics.estimate import share
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.graphs.checkpoints import read_checkpoints
from vitarmm_agent.media import MediaStore
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.calls import ask
from vitarmm_agent.models.recorded import prompt_messages
from vitarmm_agent.models.retried import sampling
from vitarmm_agent.nodes.reason import attempt_text, prompt_data, read_attempt
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.settings import DEFAULT_FEEDBACK, Settings
from vitarmm_agent.traces import read_trace
from vitarmm_agent.verifiers import build_policy

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Way = Literal["mend", "sample", "named"]
POLICY = build_policy(DEFAULT_FEEDBACK)
WAYS: tuple[Way, ...] = ("mend", "sample", "named")
NAMED = (
    "Your last attempt at the problem:\n{attempt}\n\nIt is wrong. {message}\n"
    "Do not repeat this mistake.\n\nSolve the problem."
)


class Retry(Data):
    """One more attempt: how it was asked for, and what became of it.

    Attributes:
        how: in which way.
        correct: it is right.
        copied: it is wrong, and its answer is that of an example it was shown.
        verdict: of the default verifiers.
        tokens: what it cost, its prompt too.
        output_tokens: new ones.
    """

    how: Way
    correct: bool
    copied: bool = False
    verdict: str
    tokens: int
    output_tokens: int


class Row(Data):
    """One failed first attempt, tried again in one way until nothing fails it any more."""

    id: str
    way: Way
    first_correct: bool
    first_copied: bool = False
    retries: tuple[Retry, ...]

    def after(self, count: int) -> Retry | None:
        """The attempt that stands after ``count`` more; None where the row does not go so far."""
        if count > len(self.retries) and self.retries[-1].verdict == "fail":
            return None
        return self.retries[:count][-1]


class First(Data):
    """What a first attempt came to; those of one group count as one in intervals."""

    id: str
    group: str
    right: bool
    copied: bool = False
    tokens: int = 0


def tried_again(
    model: BaseChatModel,
    problem: Problem,
    first: Attempt,
    way: Way,
    *,
    retries: int,
    settings: Settings,
) -> tuple[Retry, ...]:
    """Try again until nothing fails it any more, at most ``retries`` times."""
    media, heat = MediaStore(settings.media_dir), settings.retry_temperature
    attempt, verdict, found = first, _checked(problem, first), list[Retry]()
    for number in range(2, retries + 2):
        if verdict.verdict != "fail":
            break
        kept = verdict.mended if way == "mend" else ""
        kept = "" if kept == attempt.kept_text else kept
        data = list(first.prompt) or prompt_data(problem.without_reference(), attempt_text([]))
        if way == "named":
            data[-1] = _with_tail(
                data[-1], NAMED.format(attempt=attempt.text, message=verdict.message)
            )
        if kept:
            data.append({"role": "assistant", "content": kept})
        greedy = bool(kept) or way == "named"
        asked = model if greedy else sampling(model, heat, f"{problem.id}/{number}")
        reply = run(ask(asked, prompt_messages(data, media)))
        attempt = read_attempt(problem, number, reply, kept).model_copy(
            update={"prompt": first.prompt}
        )
        verdict = _checked(problem, attempt)
        how: Way = "mend" if kept else "named" if way == "named" else "sample"
        correct, copied = _outcome(problem, attempt)
        found.append(
            Retry(
                how=how,
                correct=correct,
                copied=copied,
                verdict=verdict.verdict,
                tokens=reply.usage.total_tokens,
                output_tokens=reply.usage.output_tokens,
            )
        )
    return tuple(found)


def first_attempts(
    folder: EvaluationFolder, rows: Path, *, arm: str, siblings: int
) -> Iterator[tuple[Problem, Attempt]]:
    """The first attempts of one arm, with their problems and gold answers.

    Raises:
        InputError: the evaluation has no such arm, or its problems are not in the file.
    """
    config = folder.config()
    benchmark = load_benchmark(
        cast("BenchmarkName", config.benchmarks[0].name), rows,
        sample_size=config.sample_size, seed=config.seed, siblings=siblings,
    )  # fmt: skip
    golds = {problem.id: problem for problem in benchmark.problems}
    samples = [s for s in folder.samples() if s.arm == arm and not s.crash]
    unknown = sorted({s.problem_id for s in samples} - set(golds))
    if not samples or unknown:
        why = (
            f"its problem {unknown[0]!r} is not in {rows}" if unknown else f"it has no arm {arm!r}"
        )
        raise InputError(f"{folder.path}: {why}; name an evaluation of these rows with that arm")
    kept = read_checkpoints(folder.data_dir / "traces.sqlite")
    for sample in samples:
        yield golds[sample.problem_id], read_trace(kept, sample.thread_id).result.attempts[0]


def table(rows: Sequence[Row], firsts: Sequence[First], retries: int) -> str:
    """How many failed attempts ended right, by way and number of retries, as Markdown."""
    group = {first.id: first.group for first in firsts}
    lines = [
        "| way | retries | failed attempts | right after it [95 %] | went on from a mend | new tokens |",
        "|---|---|---|---|---|---|",
    ]
    for way, count in ((way, count) for way in WAYS for count in range(1, retries + 1)):
        mine = [row for row in rows if row.way == way]
        ends = [(row, end) for row in mine if (end := row.after(count))]
        if not ends or len(ends) < len(mine):
            continue  # else those that ended early would stand for all
        right = share((group[row.id], end.correct, 1) for row, end in ends)
        mended = sum(row.retries[0].how == "mend" for row, _ in ends)
        tokens = sum(r.output_tokens for row, _ in ends for r in row.retries[:count])
        lines.append(
            f"| {way} | {count} | {len(ends)} | {right.count:.0f} = {right.text()} | {mended} "
            f"| {tokens / len(ends):.0f} |"
        )
    return "\n".join(lines)


def loop(rows: Sequence[Row], firsts: Sequence[First], retries: int) -> str:
    """What the whole loop comes to that mends: right, copied, and tokens against one pass."""
    mends = {row.id: row for row in rows if row.way == "mend"}
    ends = {key: end for key, row in mends.items() if (end := row.after(retries))}
    spent = sum(retry.tokens for row in mends.values() for retry in row.retries[:retries])
    once = sum(first.tokens for first in firsts)
    told = [
        share((first.group, hit, 1) for first, hit in zip(firsts, hits, strict=True))
        for hits in (
            [first.right for first in firsts],
            [ends[first.id].correct if first.id in ends else first.right for first in firsts],
            [first.copied for first in firsts],
            [ends[first.id].copied if first.id in ends else first.copied for first in firsts],
        )
    ]
    right, then, copied, still = (f"{one.count:.0f}, {one.text()}" for one in told)
    return (
        f"of {len(firsts)} first attempts these were right: {right}; with {retries} more at most: {then}, at "
        f"{1 + spent / max(1, once):.2f} times the tokens; these copied an example's answer: {copied}; then: {still}"
    )


def _outcome(problem: Problem, attempt: Attempt) -> tuple[bool, bool]:
    """Whether it is right, and whether it is wrong with the answer of an example it was shown."""
    correct = grade_attempt(problem, attempt).correct
    shown = [turn["content"] for turn in attempt.prompt if turn["role"] == "assistant"]
    theirs = [read_answer(problem, text, cut=False) for text in shown]
    copied = any(answers_equal(problem, attempt.answer, answer) for answer in theirs if answer)
    return correct, copied and not correct


def _with_tail(turn: dict[str, Any], tail: str) -> dict[str, Any]:
    return turn | {"content": [*turn["content"][:-1], {"type": "text", "text": tail}]}


def _checked(problem: Problem, attempt: Attempt) -> Feedback:
    return run(POLICY.check(problem.without_reference(), [attempt]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Try again, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("evaluation", type=Path, help="folder of an evaluation")
    parser.add_argument("--path", type=Path, required=True, help="the rows it is of")
    parser.add_argument("--arm", default="single")
    parser.add_argument("--siblings", type=int, default=2, help="as the evaluation had it")
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
    firsts: list[First] = []
    done = {(row.id, row.way) for row in rows}
    for problem, first in first_attempts(
        folder, options.path, arm=options.arm, siblings=options.siblings
    ):
        right, copied = _outcome(problem, first)
        firsts.append(
            First(
                id=problem.id,
                group=str(problem.metadata.get("group", problem.id)),
                right=right,
                copied=copied,
                tokens=first.usage.total_tokens,
            )
        )
        if _checked(problem, first).verdict != "fail":
            continue
        for way in ways:
            if (problem.id, way) in done:
                continue
            again = tried_again(
                model, problem, first, way, retries=options.retries, settings=settings
            )
            rows.append(
                Row(id=problem.id, way=way, first_correct=right, first_copied=copied, retries=again)
            )
            with options.output.open("a", encoding="utf-8") as file:
                file.write(rows[-1].model_dump_json() + "\n")
    sys.stdout.write(
        f"{table(rows, firsts, options.retries)}\n\n{loop(rows, firsts, options.retries)}\n"
    )


def _rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return [Row.model_validate(json.loads(line)) for line in path.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    main()

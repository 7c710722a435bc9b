"""Training rows: read, counted, split by problem, and turned into tokens.

A prompt becomes tokens exactly as :class:`~vitarmm_agent.models.folder.FolderChatModel` makes them
when the trained adapter is used: the same chat template, the same breaking of typed control tokens.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitarmm_agent.data import Data
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.reading import unpacked
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.training.config import Stage, TrainingConfig
from vitarmm_agent.training.rows import (
    COMBINED,
    DATASET,
    DECISIONS,
    PREFERENCES,
    ChatMessage,
    Label,
)
from vitarmm_agent.user_path import user_path

SHOWN_NUMBERS = 10
IGNORED = -100
"""Label of tokens that the loss leaves out (the convention of torch's cross entropy)."""

_NEEDED = {
    "sft": "a prompt (messages) and a completion (one message of the assistant)",
    "dpo": "a prompt (messages), chosen and rejected (one message of the assistant each)",
}
_MORE = {
    "sft": "simulate more problems, or more decisions on each (vitarmm simulate --candidates)",
    "dpo": "simulate more problems, or more decisions on each (vitarmm simulate --candidates), of which "
    "some are chosen and some rejected; or train on decisions (--stage sft)",
}
"""How to get rows of a stage."""

Turns = list[dict[str, str]]


class _Row(BaseModel):
    """What training needs of a row; other fields are not looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: tuple[ChatMessage, ...] = Field(min_length=1)
    problem_id: str = ""


class Supervised(_Row):
    """A prompt and the reply to learn; a row without a label counts as chosen."""

    completion: tuple[ChatMessage, ...] = Field(min_length=1, max_length=1)
    label: Label = "chosen"


class Preference(_Row):
    """A prompt, the better reply and the worse one."""

    chosen: tuple[ChatMessage, ...] = Field(min_length=1, max_length=1)
    rejected: tuple[ChatMessage, ...] = Field(min_length=1, max_length=1)


class Skipped(Data):
    """A row that is not used: its number in the file, from 1, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class TrainingData:
    """Rows that can be used, and an account of those that cannot.

    Attributes:
        path: the file read.
        sha256: hash of the file's bytes.
        rows: usable rows with their numbers.
        skipped: rows that are broken, empty, or too long.
        other_labels: rows left out because their label was not asked for, by label.
    """

    path: Path
    sha256: str
    rows: tuple[tuple[int, Supervised | Preference], ...]
    skipped: tuple[Skipped, ...] = ()
    other_labels: dict[str, int] = field(default_factory=dict)


def read_data(path: Path, stage: Stage, labels: Sequence[Label]) -> TrainingData:
    """Read the rows of a stage.

    Args:
        path: ``combined_data.json``, the folder that simulation wrote, or a ``.jsonl`` of rows
            (either may be gzipped).
        stage: ``sft`` reads decisions, ``dpo`` preference pairs.
        labels: labels of the decisions to use.

    Raises:
        InputError: there is no such file, it is no JSON at all, or no row of it can be used.
    """
    file = find_file(path, stage)
    kind = Supervised if stage == "sft" else Preference
    rows: list[tuple[int, Supervised | Preference]] = []
    skipped: list[Skipped] = []
    others: Counter[str] = Counter()
    for number, data in _numbered(file):
        row = _checked(kind, data)
        if isinstance(row, str):
            skipped.append(Skipped(number=number, reason=row))
        elif isinstance(row, Supervised) and row.label not in labels:
            others[row.label] += 1
        else:
            rows.append((number, row))
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    data = TrainingData(file, digest, tuple(rows), tuple(skipped), dict(others))
    if not rows:
        raise InputError(nothing_usable(data, stage))
    return data


def find_file(path: Path, stage: Stage) -> Path:
    """The file that holds the rows of a stage.

    Raises:
        InputError: there is none.
    """
    path = user_path(path)
    if not path.exists():
        raise InputError(f"no training data at {str(path)!r}: there is no such file or folder")
    if path.is_file() and (stage == "sft" or path.name != COMBINED):
        return path
    folder = path if path.is_dir() else path.parent
    wanted = DECISIONS if stage == "sft" else PREFERENCES
    found = [folder / DATASET / wanted, folder / wanted]
    if stage == "sft":
        found.insert(0, folder / COMBINED)
    for file in found:
        if file.is_file():
            return file
    names = " or ".join(str(file.relative_to(folder)) for file in found)
    raise InputError(
        f"{folder} has no rows for the {stage} stage ({names}); "
        "make them with: vitarmm simulate --output-dir FOLDER"
    )


def nothing_usable(data: TrainingData, stage: Stage) -> str:
    """Why a file has no row to train on, and what to do."""
    parts = [f"{data.path} has no row to train on"]
    if data.skipped:
        first = data.skipped[0]
        parts.append(f"left out: {summary(data.skipped)}; row {first.number} is {first.reason}")
        if any(row.reason.startswith("broken") for row in data.skipped):
            parts.append(f"a row of the {stage} stage needs {_NEEDED[stage]}")
    if data.other_labels:
        counts = ", ".join(f"{n} {label}" for label, n in sorted(data.other_labels.items()))
        parts.append(f"rows with other labels: {counts}")
    if useful := sorted(data.other_labels.keys() - {"rejected"}):  # those did harm, or nothing
        parts.append("take them in with " + " ".join(f"--labels {label}" for label in useful))
    elif not data.skipped:
        parts.append(_MORE[stage])
    return "; ".join(parts)


def summary(skipped: Sequence[Skipped]) -> str:
    """Rows left out, by reason, with their numbers."""
    reasons: dict[str, list[int]] = {}
    for row in skipped:
        reasons.setdefault(row.reason.partition(":")[0], []).append(row.number)
    parts = []
    for reason, numbers in reasons.items():
        shown = ", ".join(map(str, numbers[:SHOWN_NUMBERS]))
        more = f" and {len(numbers) - SHOWN_NUMBERS} more" if len(numbers) > SHOWN_NUMBERS else ""
        parts.append(f"{len(numbers)} {reason} (row {shown}{more})")
    return ", ".join(parts)


def held_out(problem_ids: Sequence[str], fraction: float, seed: int) -> frozenset[str]:
    """Problems kept for evaluation.

    Each problem's fate is a hash of seed and id, so that both stages hold out the same ones and more
    data moves none. Where there are two problems or more, at least one is kept on either side.
    """
    ranked = sorted({(_unit(f"{seed}:{name}"), name) for name in problem_ids})
    if fraction <= 0 or len(ranked) < 2:
        return frozenset()
    count = sum(value < fraction for value, _ in ranked)
    count = min(max(count, 1), len(ranked) - 1)
    return frozenset(name for _, name in ranked[:count])


class Encoder:
    """Turns rows into tokens with a model's own tokenizer and chat template."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """Use ``tokenizer``; rows of more than ``max_length`` tokens are refused.

        Raises:
            InputError: the tokenizer has no chat template.
        """
        from vitarmm_agent.models.folder import control_tokens

        if not tokenizer.chat_template:
            raise InputError(
                "the base model has no chat template, so it takes no messages; "
                "use an instruction-tuned model"
            )
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._control = control_tokens(tokenizer)

    def turns(self, messages: Sequence[ChatMessage]) -> Turns:
        """Messages as the template takes them; control tokens that someone typed are broken up."""
        from vitarmm_agent.models.control import without_control_tokens

        return [
            {"role": m.role, "content": without_control_tokens(m.content, self._control)}
            for m in messages
        ]

    def prompt_ids(self, prompt: Sequence[ChatMessage]) -> list[int]:
        """Tokens of a prompt, up to where the reply begins."""
        return self._ids(self.turns(prompt), reply=True)

    def supervised(self, row: Supervised) -> dict[str, list[int]]:
        """``input_ids`` of prompt and reply, and ``labels`` that leave out the prompt.

        Raises:
            InputError: the row is too long, or the template gives its prompt another form when a
                reply follows.
        """
        prompt, reply = self._split(row.prompt, row.completion)
        return {"input_ids": prompt + reply, "labels": [IGNORED] * len(prompt) + reply}

    def preference(self, row: Preference) -> dict[str, Turns]:
        """The three parts as turns, in the form trl's DPOTrainer takes.

        Raises:
            InputError: as :meth:`supervised`.
        """
        for reply in (row.chosen, row.rejected):
            self._split(row.prompt, reply)
        return {
            "prompt": self.turns(row.prompt),
            "chosen": self.turns(row.chosen),
            "rejected": self.turns(row.rejected),
        }

    def _split(
        self, prompt: Sequence[ChatMessage], reply: Sequence[ChatMessage]
    ) -> tuple[list[int], list[int]]:
        """Tokens of prompt and reply; the reply ends with the token that ends a turn."""
        before = self.prompt_ids(prompt)
        whole = self._ids(self.turns([*prompt, *reply]), reply=False)
        if whole[: len(before)] != before:
            raise InputError("unfit for the chat template: it renders the prompt otherwise")
        after = whole[len(before) :]
        special = set(self._tokenizer.all_special_ids)
        while after and after[-1] not in special:
            if not self._tokenizer.decode(after[-1:]).isspace():
                break
            after.pop()  # the line break behind the end of the turn is never generated
        if len(before) + len(after) > self._max_length:
            length = len(before) + len(after)
            raise InputError(f"too long for max_length: {length} tokens")
        return before, after

    def _ids(self, turns: Turns, *, reply: bool) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=reply
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


@dataclass(frozen=True)
class Encoded:
    """Rows of tokens (or turns, for preferences), split; and what was left out.

    Attributes:
        train: rows to learn from.
        evaluation: rows of held-out problems.
        skipped: all rows left out of the file.
        held_out: number of problems kept for evaluation.
        tokens: tokens of ``train``; 0 for preferences.
    """

    train: list[dict[str, Any]]
    evaluation: list[dict[str, Any]]
    skipped: tuple[Skipped, ...]
    held_out: int
    tokens: int


def encode(data: TrainingData, encoder: Encoder, config: TrainingConfig) -> Encoded:
    """Turn rows into tokens and split them by problem.

    Raises:
        InputError: no row can be used.
    """
    kept: list[tuple[str, dict[str, Any]]] = []
    skipped = list(data.skipped)
    for number, row in data.rows:
        try:
            encoded: dict[str, Any] = (
                encoder.supervised(row) if isinstance(row, Supervised) else encoder.preference(row)
            )
        except InputError as error:
            skipped.append(Skipped(number=number, reason=str(error)))
        else:
            kept.append((row.problem_id or f"row {number}", encoded))
    skipped.sort(key=lambda row: row.number)
    if not kept:
        left = TrainingData(data.path, data.sha256, (), tuple(skipped), data.other_labels)
        raise InputError(nothing_usable(left, config.stage))
    apart = held_out([name for name, _ in kept], config.eval_fraction, config.seed)
    train = [row for name, row in kept if name not in apart]
    evaluation = [row for name, row in kept if name in apart]
    tokens = sum(len(row.get("input_ids", ())) for row in train)
    return Encoded(train, evaluation, tuple(skipped), len(apart), tokens)


def _checked(kind: type[Supervised | Preference], data: Any) -> Supervised | Preference | str:
    """The row, or why it cannot be used."""
    if isinstance(data, Exception):
        return f"broken: {data}"
    try:
        row = kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "row"
        return f"broken: {where}: {first['msg']}"
    replies = [row.completion] if isinstance(row, Supervised) else [row.chosen, row.rejected]
    if any(reply[0].role != "assistant" for reply in replies):
        return "broken: the reply is not the assistant's"
    texts = ["".join(m.content for m in row.prompt), *(reply[0].content for reply in replies)]
    return row if all(text.strip() for text in texts) else "empty: no text in prompt or reply"


def _numbered(file: Path) -> Iterator[tuple[int, Any]]:
    """Rows by number from 1; a line that is no JSON comes as the error that says so."""
    try:
        with _opened(file) as lines:
            if ".jsonl" in file.suffixes:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield number, _parsed(line)
                return
            data = json.load(lines)
    except InputError:
        raise
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read as training data: {error}") from None
    if not isinstance(data, list):
        raise InputError(f"{file} holds {type(data).__name__}, not an array of rows")
    yield from enumerate(data, 1)


def _opened(file: Path) -> IO[str]:
    if file.suffix != ".gz":
        return open(file, encoding="utf-8")
    return io.StringIO(unpacked(file, file.read_bytes()).decode("utf-8"))


def _parsed(line: str) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        return error


def _unit(text: str) -> float:
    """A number in [0, 1) from a hash."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64

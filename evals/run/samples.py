"""What an evaluation keeps: one :class:`Sample` for each arm, order and problem. Plain data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vitarmm_agent.data import Data
from vitarmm_agent.memory_store.schema import EntryType
from vitarmm_agent.problem import AnswerType, ErrorKind, Status, Usage, Verdict


class ShownEntry(Data):
    """A memory entry that recall chose for an attempt.

    Attributes:
        origin: id of the problem it was learned on.
        confidence: the writer's, 0 to 1.
        similarity: cosine similarity to the problem.
        withheld: chosen, but kept from the model to estimate what it is worth.
        as_example: its worked example was shown, not its text.
        kin: it was learned on a problem of the same group.
    """

    id: str
    entry_type: EntryType
    origin: str = ""
    confidence: float = 0.5
    similarity: float | None = None
    withheld: bool = False
    as_example: bool = False
    kin: bool = False


class SampleError(Data):
    """One wrong step: its kind and the signature by which a repetition is known."""

    kind: ErrorKind
    signature: str
    step: int | None = None


class SampleAttempt(Data):
    """One attempt, graded against the gold answer after the run.

    Attributes:
        number: 1 for the first.
        answer: what it commits to, or None.
        correct: the gold answer's verdict, which no model saw.
        verdict: what feedback said.
        source: the verifier that decided.
        advice: what others said that decided nothing, by verifier.
        steps: how many steps it has.
        wrong_steps: how many of them break an equation (checked by arithmetic, see
            :mod:`vitarmm_agent.verifiers.arithmetic`).
        checked_steps: how many of them state an equation that could be checked.
        errors: what feedback found wrong.
        shown: entries that recall chose for it.
        cut: the reply ended at the token limit.
        copied: it is wrong, and its answer is that of an example it was shown.
    """

    number: int
    answer: str | None
    correct: bool
    verdict: Verdict
    source: str
    advice: dict[str, Verdict] = Field(default_factory=dict)
    steps: int = 0
    wrong_steps: int = 0
    checked_steps: int = 0
    errors: tuple[SampleError, ...] = ()
    shown: tuple[ShownEntry, ...] = ()
    cut: bool = False
    copied: bool = False
    usage: Usage = Usage()
    seconds: float = 0.0


class WrittenEntry(Data):
    """A memory operation of the run, and what the leak audit says of the entry's text.

    Attributes:
        leak: why its text gives away the problem it comes from (``answer`` or ``verbatim``), or
            None.
    """

    entry_id: str
    action: str
    entry_type: EntryType | None = None
    attempt: int = 0
    leak: Literal["answer", "verbatim"] | None = None


class Sample(Data):
    """What one arm did with one problem in one order of the problems.

    Attributes:
        arm: name of the arm.
        order: number of the task order, from 0; 0 for arms that have but one.
        position: place of the problem in that order, from 0.
        question: the problem's text.
        reference: the gold answer, which no model saw outside an oracle run.
        thread_id: the run's trace.
        answer: the answer that stood, or None.
        correct: whether it is the gold answer.
        crash: what went wrong when the run did not end, or None. A crashed sample has no answer,
            is not wrong, and is counted apart.
        write_failures: decisions of the memory writer that could not be used.
        usage: tokens of all model calls.
        seconds: wall time of the run.
        cost: price of the tokens in dollars, where prices are known.
        oracle: the run's feedback saw the gold answer.
        group: of recurring problems, the group it belongs to.
        teacher: tokens of a teacher's solution that was asked for; None where none was.
    """

    benchmark: str
    problem_id: str
    arm: str
    group: str = ""
    order: int = 0
    position: int = 0
    thread_id: str = ""
    category: str = ""
    question: str = ""
    reference: str | None = None
    answer_type: AnswerType = "text"
    answer: str | None = None
    correct: bool = False
    status: Status = "running"
    stopped_because: str = ""
    crash: str | None = None
    attempts: tuple[SampleAttempt, ...] = ()
    written: tuple[WrittenEntry, ...] = ()
    write_failures: int = 0
    usage: Usage = Usage()
    seconds: float = 0.0
    cost: float | None = None
    oracle: bool = False
    teacher: Usage | None = None
    metadata: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """``ARM/ORDER/PROBLEM``: unique in an evaluation."""
        return f"{self.arm}/{self.order}/{self.problem_id}"

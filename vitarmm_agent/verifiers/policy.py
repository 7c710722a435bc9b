"""How verifiers combine into one verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.nearest import did_you_mean
from vitarmm_agent.options import one_of
from vitarmm_agent.problem import Attempt, Feedback, Problem, StepError, Usage, Verdict
from vitarmm_agent.verifiers.base import Verifier
from vitarmm_agent.verifiers.function import Check, OwnVerifier, feedback_of, own_verifier
from vitarmm_agent.verifiers.installed import installed, load_installed
from vitarmm_agent.verifiers.precision import MEASURED, MIN_PRECISION

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vitarmm_agent.media import MediaStore

Role = Literal["full", "fail only", "pass only", "decides", "measured", "advises"]
"""``full``: its pass and its fail decide. ``fail only`` / ``pass only``: only that one does.
``decides``: as full, and it overrules what verifiers before it said. ``measured``: what it says decides
where such a verdict has a measured precision of one half or more, and is advice else. ``advises``:
recorded only."""

ROLES: dict[str, Role] = {
    "arithmetic": "fail only",
    "borrowed": "fail only",
    "answer_follows": "fail only",
    "choice": "fail only",
    "self_consistency": "full",
    "reference": "decides",
    "judge": "measured",
    "human": "decides",
    "function": "full",
}
ANSWER = "answer"
"""Source of a verdict on an attempt that has none."""
NO_VERDICT = "No verifier had grounds to pass or to fail this attempt."


@dataclass(frozen=True)
class FeedbackPolicy:
    """Verifiers in order, what each may say, and what they may cost.

    Attributes:
        verifiers: asked in order, until one settles the verdict.
        roles: what each may do, by name; a name that is not here has the role in :data:`ROLES`, and
            one that is in neither is ``full``.
        abstain: what it means when none of them settles it: ``abstain`` (the default: the first
            answer stands), ``pass`` or ``fail``.
        max_seconds: once one check has taken this long, no further verifier is asked.
        max_tokens: likewise for the tokens of verifiers.
        precision: measured precision by (verifier, verdict), added to what they say.
    """

    verifiers: tuple[Verifier, ...]
    roles: Mapping[str, Role] = field(default_factory=dict)
    abstain: Literal["abstain", "pass", "fail"] = "abstain"
    max_seconds: float | None = None
    max_tokens: int | None = None
    precision: Mapping[tuple[str, str], float] = field(default_factory=lambda: MEASURED)

    def __post_init__(self) -> None:
        """Take verifiers of every kind; see :func:`~vitarmm_agent.verifiers.function.own_verifier`.

        Raises:
            InputError: a role, or what it means to abstain, is none there is.
        """
        for name, role in self.roles.items():
            one_of(f"the role of {name!r}", role, get_args(Role))
        one_of("abstain", self.abstain, get_args(Verdict))
        object.__setattr__(self, "verifiers", tuple(map(own_verifier, self.verifiers)))

    def role(self, verifier: Verifier) -> Role:
        """What this verifier may do."""
        return self.roles.get(verifier.name, ROLES.get(verifier.name, "full"))

    def check(self, problem: Problem, attempts: Sequence[Attempt]) -> Flow[Feedback]:
        """Judge the last of ``attempts``.

        One that says nothing fails unseen, and one without a final answer is passed only by a verifier
        that ``decides``. A verifier is shown the problem without its reference, unless it has
        ``sees_reference``. The result's ``parts`` are what each verifier that was asked said, in order.
        """
        if attempts[-1].silent:
            return no_answer(attempts[-1].silent)
        started, parts = time.perf_counter(), list[Feedback]()
        hidden = problem.without_reference()
        settled: Feedback | None = None
        for verifier in self.verifiers:
            if settled is not None and self.role(verifier) != "decides":
                continue
            if parts and self._spent(started, parts):
                break
            shown = problem if _knows(verifier) else hidden
            part = self._measured((yield from _asked(verifier, shown, attempts[-1])))
            settles = self._settles(verifier, part)
            if part.verdict == "pass" and attempts[-1].answer is None and settles:
                settles = self.role(verifier) == "decides"
            advises = self.role(verifier) in ("advises", "measured") and part.verdict != "abstain"
            parts.append(part.model_copy(update={"advice": advises and not settles}))
            settled = parts[-1] if settles else settled
        combined = self._combined(settled, parts, time.perf_counter() - started)
        if combined.verdict == "abstain" and (why := _unanswered(attempts[-1])):
            said = "; ".join(filter(None, (why, combined.failure)))
            return combined.model_copy(update={"source": ANSWER, "failure": said})
        return combined

    def _spent(self, started: float, parts: Sequence[Feedback]) -> bool:
        if self.max_seconds is not None and time.perf_counter() - started >= self.max_seconds:
            return True
        tokens = sum(part.usage.total_tokens for part in parts)
        return self.max_tokens is not None and tokens >= self.max_tokens

    def _measured(self, part: Feedback) -> Feedback:
        known = self.precision.get((part.source, part.verdict))
        if part.precision is not None or known is None:
            return part
        return part.model_copy(update={"precision": known})

    def _settles(self, verifier: Verifier, part: Feedback) -> bool:
        trusted = part.precision is not None and part.precision >= MIN_PRECISION
        allowed: dict[Role, tuple[str, ...]] = {
            "full": ("pass", "fail"),
            "decides": ("pass", "fail"),
            "fail only": ("fail",),
            "pass only": ("pass",),
            "measured": ("pass", "fail") if trusted else (),
            "advises": (),
        }
        return part.verdict in allowed[self.role(verifier)]

    def _combined(
        self, settled: Feedback | None, parts: Sequence[Feedback], seconds: float
    ) -> Feedback:
        usage = sum((part.usage for part in parts), Usage())
        common = {
            "parts": tuple(parts),
            "usage": usage,
            "seconds": seconds,
            "oracle": any(part.oracle for part in parts),
            "calls": (),
        }
        if settled is None:
            failures = [f"{p.source}: {p.failure}" for p in parts if p.failure]
            return Feedback(
                verdict=self.abstain,
                source=parts[-1].source if len(parts) == 1 else "policy",
                message="" if self.abstain == "pass" else NO_VERDICT,
                failure="; ".join(failures) or None,
            ).model_copy(update=common)
        if settled.verdict == "fail":
            common |= _grounds(settled, parts)
        return settled.model_copy(update=common)


def _asked(verifier: Verifier, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
    said: Any = yield from verifier.check(problem, attempt)
    if isinstance(said, Feedback):
        return said
    return feedback_of(verifier.name, said, oracle=_knows(verifier))


def _unanswered(attempt: Attempt) -> str:
    """Why there is no final answer; nothing where there is one."""
    if attempt.answer is not None:
        return ""
    if attempt.cut:
        return "it was cut off at the limit of new tokens; raise max_tokens"
    return "it commits to no answer"


def no_answer(why: str) -> Feedback:
    """The fail of an attempt that says nothing."""
    error = StepError(
        kind="format", message=f"There is no answer: {why.rstrip('.')}.", subject="no answer"
    )
    return Feedback(
        verdict="fail", source=ANSWER, score=0.0, errors=(error,), message=error.message
    )


def _grounds(settled: Feedback, parts: Sequence[Feedback]) -> dict[str, object]:
    """Errors and message of a fail, with those of the verifiers that failed it as well."""
    failing = [part for part in parts if part.verdict == "fail" and not part.advice]
    errors: list[StepError] = []
    for part in [settled, *(p for p in failing if p is not settled)]:
        errors.extend(e for e in part.errors if e not in errors)
    messages = [settled.message, *(p.message for p in failing if p is not settled)]
    return {
        "errors": tuple(sorted(errors, key=lambda e: e.step if e.step is not None else 10**6)),
        "message": " ".join(dict.fromkeys(m for m in messages if m)),
        "mended": next((part.mended for part in failing if part.mended), ""),
    }


Verifiers = str | Sequence[str | OwnVerifier | Check] | FeedbackPolicy
"""Names, a list of verifiers of every kind, or a policy."""
EXACT = ("arithmetic", "borrowed", "answer_follows", "choice")


def exact_checks(policy: FeedbackPolicy | None = None) -> FeedbackPolicy:
    """The verifiers that need no model, and those of ``policy`` that know the gold answer."""
    knowing = [v for v in (policy.verifiers if policy else ()) if _knows(v)]
    nobody = _Parts(judge=None, reasoner=None, media=None)
    return FeedbackPolicy((*(FACTORIES[name](nobody) for name in EXACT), *knowing))


@dataclass(frozen=True)
class _Parts:
    judge: BaseChatModel | None
    reasoner: BaseChatModel | None
    media: MediaStore | None


def _judge(parts: _Parts) -> Verifier:
    from vitarmm_agent.verifiers.judge import Judge

    if parts.judge is None:
        raise InputError("feedback names 'judge' but no judge model is given; pass judge=MODEL")
    return Judge(parts.judge, media=parts.media)


def _self_consistency(parts: _Parts) -> Verifier:
    from vitarmm_agent.verifiers.self_consistency import SelfConsistency

    model = parts.reasoner or parts.judge
    if model is None:
        raise InputError(
            "feedback names 'self_consistency' but no model is given; pass reasoner=MODEL"
        )
    return SelfConsistency(model, media=parts.media)


def _simple(module: str, name: str) -> Callable[[_Parts], Verifier]:
    def make(_: _Parts) -> Verifier:
        from importlib import import_module

        verifier: Verifier = getattr(import_module(f"vitarmm_agent.verifiers.{module}"), name)()
        return verifier

    return make


FACTORIES: dict[str, Callable[[_Parts], Verifier]] = {
    "arithmetic": _simple("arithmetic", "Arithmetic"),
    "borrowed": _simple("borrowed", "Borrowed"),
    "answer_follows": _simple("follows", "AnswerFollows"),
    "choice": _simple("choice", "ChoiceIsValid"),
    "self_consistency": _self_consistency,
    "reference": _simple("reference", "Reference"),
    "judge": _judge,
    "human": _simple("human", "Human"),
}


def build_policy(
    verifiers: str | Sequence[str | OwnVerifier | Check],
    *,
    judge: BaseChatModel | None = None,
    oracle: bool = False,
    reasoner: BaseChatModel | None = None,
    media: MediaStore | None = None,
    precision: Mapping[tuple[str, str], float] | None = None,
) -> FeedbackPolicy:
    """The policy of these verifiers, in order: ``"arithmetic,judge"``, or ``["choice", my_function]``.

    Args:
        verifiers: names, separated by commas, of: arithmetic, borrowed, answer_follows, choice,
            self_consistency, reference, judge, human, and what installed packages offer
            (:mod:`~vitarmm_agent.verifiers.installed`); or a list of names, functions of (problem,
            attempt), and objects with a ``check``.
        judge: the judging chat model.
        oracle: the run may use the gold answer; ``reference`` is added after the verifiers that need
            no model, when no verifier sees the gold answer.
        reasoner: the model that ``self_consistency`` samples; default: the judge.
        media: where images lie; with it, judge and samples are shown the problem's images.
        precision: measured precision by (verifier, verdict), such as the judge's, besides what is
            known of the exact ones; without it a judge advises.

    Raises:
        InputError: a name is unknown or twice, something is no verifier, a model is missing, or what
            sees the gold answer is named outside an oracle run.
    """
    parts = _Parts(judge=judge, reasoner=reasoner, media=media)
    chosen = [one for given in _listed(verifiers) for one in _chosen(given, parts, oracle)]
    names = [verifier.name for verifier in chosen]
    if (isinstance(verifiers, str) and not names) or len(set(names)) != len(names):
        raise InputError(
            f"feedback {verifiers!r:.200} names no verifier, or one twice; got {names}. Of your own, "
            "each has a name: Function(check, name=…)"
        )
    if oracle and not any(_knows(verifier) for verifier in chosen):
        exact = [name in EXACT for name in names]
        at = exact.index(False) if False in exact else len(exact)
        chosen.insert(at, FACTORIES["reference"](parts))
    return FeedbackPolicy(tuple(chosen), precision={**MEASURED, **(precision or {})})


def _listed(verifiers: Any) -> Sequence[Any]:
    if isinstance(verifiers, str):
        return [verifiers]
    if isinstance(verifiers, Sequence):
        return verifiers
    raise InputError(
        f"verifiers must be names or a list, got {verifiers!r:.200}; put a single one in a list"
    )


def _chosen(given: Any, parts: _Parts, oracle: bool) -> Iterator[Verifier]:
    if isinstance(given, str):
        names = (name.strip() for name in given.split(","))
        yield from (_named(name, parts, oracle) for name in names if name)
        return
    verifier = own_verifier(given)
    if verifier.name in FACTORIES and verifier is not given and not hasattr(given, "name"):
        raise InputError(
            f"{given!r:.200} has the name of a verifier that there is, {verifier.name!r}; give it "
            "another: Function(…, name=…)"
        )
    yield verifier


def _named(name: str, parts: _Parts, oracle: bool) -> Verifier:
    make = FACTORIES.get(name)
    verifier = make(parts) if make else load_installed(name)
    if verifier is None:
        known = [*FACTORIES, *installed()]
        raise InputError(
            f"verifier {name!r} is unknown{did_you_mean(name, known)}; use some of: "
            + ", ".join(known)
        )
    if _knows(verifier) and not oracle:
        raise InputError(
            f"verifier {name!r} uses the gold answer, which only an oracle run may; add --oracle"
        )
    return verifier


def _knows(verifier: Verifier) -> bool:
    """Whether a verifier is shown the gold answer."""
    return bool(getattr(verifier, "sees_reference", False))

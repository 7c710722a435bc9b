from __future__ import annotations

import pytest

from tests.verifiers.helpers import RIGHT, SQUARE, WRONG, attempt
from vitarmm_agent.effects import Flow, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Feedback, Problem, Usage, Verdict
from vitarmm_agent.verifiers import Arithmetic, FeedbackPolicy, Reference, build_policy
from vitarmm_agent.verifiers.stopping import is_slip


class Says:
    """A verifier that says what it is told, and notes what it was shown."""

    def __init__(self, name: str, verdict: Verdict, tokens: int = 0) -> None:
        self.name, self.verdict, self.tokens = name, verdict, tokens
        self.seen: list[Problem] = []

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        yield from ()
        self.seen.append(problem)
        return Feedback(
            verdict=self.verdict, source=self.name, message=f"{self.name} says so",
            usage=Usage(output_tokens=self.tokens, calls=1),
        )  # fmt: skip


def decide(policy: FeedbackPolicy, text: str = RIGHT) -> Feedback:
    return run(policy.check(SQUARE, [attempt(text)]))


def test_the_first_that_may_settles_it_and_later_ones_are_not_asked() -> None:
    last = Says("last", "fail")
    feedback = decide(FeedbackPolicy((Says("first", "abstain"), Says("second", "pass"), last)))
    assert (feedback.verdict, feedback.source) == ("pass", "second")
    assert [part.source for part in feedback.parts] == ["first", "second"]
    assert last.seen == []


def test_a_verifier_that_may_only_fail_does_not_pass() -> None:
    feedback = decide(FeedbackPolicy((Arithmetic(),)))
    assert feedback.verdict == "abstain" and feedback.parts[0].verdict == "pass"
    assert decide(FeedbackPolicy((Arithmetic(),)), WRONG).verdict == "fail"


def test_roles_can_be_given() -> None:
    one = Says("one", "fail")
    assert decide(FeedbackPolicy((one,), roles={"one": "advises"})).verdict == "abstain"
    assert decide(FeedbackPolicy((one,), roles={"one": "pass only"})).verdict == "abstain"
    assert decide(FeedbackPolicy((Arithmetic(),), roles={"arithmetic": "full"})).verdict == "pass"


@pytest.mark.parametrize("meaning", ["abstain", "pass", "fail"])
def test_what_abstain_means_can_be_given(meaning: Verdict) -> None:
    policy = FeedbackPolicy((Says("one", "abstain"),), abstain=meaning)
    assert decide(policy).verdict == meaning


def test_reference_decides_and_keeps_the_grounds_of_others() -> None:
    policy = FeedbackPolicy((Arithmetic(), Reference()))
    wrong = decide(policy, WRONG)
    assert (wrong.verdict, wrong.source) == ("fail", "reference")
    assert [error.step for error in wrong.errors] == [1] and "comes to 5" in wrong.message
    sloppy = "1. The side is 20 / 4 = 6 cm.\nAnswer: 25"
    assert decide(policy, sloppy).verdict == "pass"


def test_only_oracles_see_the_reference() -> None:
    spy = Says("spy", "abstain")
    feedback = decide(FeedbackPolicy((spy, Reference())))
    assert feedback.oracle and feedback.verdict == "pass"
    assert spy.seen[0].reference is None and spy.seen[0].metadata == {}


def test_the_budget_ends_the_asking() -> None:
    late = Says("late", "fail")
    policy = FeedbackPolicy((Says("dear", "abstain", tokens=500), late), max_tokens=400)
    assert decide(policy).verdict == "abstain" and late.seen == []
    assert (
        decide(FeedbackPolicy((Says("one", "abstain"), late), max_seconds=0)).verdict == "abstain"
    )
    assert late.seen == []


def test_usage_adds_up_and_measured_precision_is_attached() -> None:
    feedback = decide(FeedbackPolicy((Says("a", "abstain", 3), Says("b", "pass", 4))))
    assert feedback.usage.output_tokens == 7
    assert decide(FeedbackPolicy((Arithmetic(),)), WRONG).precision == pytest.approx(0.89)
    policy = FeedbackPolicy((Says("a", "fail"),), precision={("a", "fail"): 0.25})
    assert decide(policy).precision == 0.25


def test_a_failing_judge_leaves_its_reason_and_no_feedback() -> None:
    policy = build_policy("arithmetic,judge", judge=ScriptedChatModel.of("As an AI, I cannot."))
    feedback = decide(policy)
    assert feedback.verdict == "abstain"
    assert feedback.failure == "judge: the judge's output could not be used"
    assert "As an AI" not in feedback.message


SAYS = {
    verdict: {
        "structured": {
            "steps": [{"step": 1, "check": "20 / 4 = 5", "verdict": verdict, **more}],
            "verdict": verdict,
        }
    }
    for verdict, more in (("right", {}), ("wrong", {"mistake": "It is 4.", "kind": "arithmetic"}))
}


@pytest.mark.parametrize(
    ("says", "precision", "verdict"),
    [
        ("right", {}, "abstain"),
        ("wrong", {}, "abstain"),
        ("right", {("judge", "pass"): 0.9}, "pass"),
        ("wrong", {("judge", "pass"): 0.9}, "abstain"),
        ("wrong", {("judge", "fail"): 0.6}, "fail"),
        ("right", {("judge", "pass"): 0.27}, "abstain"),
    ],
)
def test_a_judge_advises_unless_it_is_known_to_be_right(
    says: str, precision: dict[tuple[str, str], float], verdict: Verdict
) -> None:
    judge = ScriptedChatModel.of(SAYS[says])
    feedback = decide(build_policy("arithmetic,judge", judge=judge, precision=precision))
    assert feedback.verdict == verdict
    said = feedback.parts[1]
    assert said.verdict == ("pass" if says == "right" else "fail")
    assert said.advice == (verdict == "abstain")
    if said.advice:
        assert feedback.errors == () and "It is 4." not in feedback.message


def test_a_judge_decides_where_the_caller_says_so() -> None:
    judge = build_policy("judge", judge=ScriptedChatModel.of(SAYS["right"])).verifiers
    assert decide(FeedbackPolicy(judge, roles={"judge": "full"})).verdict == "pass"


def test_advice_is_no_ground() -> None:
    policy = FeedbackPolicy((Says("one", "fail"), Arithmetic()), roles={"one": "advises"})
    feedback = decide(policy, WRONG)
    assert (feedback.source, is_slip(feedback)) == ("arithmetic", True)
    assert "one says so" not in feedback.message


def test_build_policy_orders_by_name() -> None:
    model = ScriptedChatModel.of()
    policy = build_policy("arithmetic, answer_follows,choice,judge", judge=model)
    assert [v.name for v in policy.verifiers] == ["arithmetic", "answer_follows", "choice", "judge"]
    oracle = build_policy("arithmetic,judge", judge=model, oracle=True)
    assert [v.name for v in oracle.verifiers] == ["arithmetic", "reference", "judge"]
    assert [v.name for v in build_policy("human").verifiers] == ["human"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [("arithmetic,magic", "'magic' is unknown.*arithmetic, borrowed"), ("", "no verifier"),
     ("judge", "no judge model"), ("reference", "oracle"), ("choice,choice", "twice"),
     ("self_consistency", "no model")],
)  # fmt: skip
def test_build_policy_says_what_is_wrong(names: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        build_policy(names)


def test_a_fail_that_nobody_gave_a_reason_for_is_no_slip() -> None:
    feedback = decide(FeedbackPolicy((Says("one", "abstain"),), abstain="fail"))
    assert feedback.verdict == "fail" and not is_slip(feedback)


def test_a_pass_over_a_wrong_value_is_no_slip() -> None:
    person = Says("person", "pass")
    feedback = decide(FeedbackPolicy((Arithmetic(), person), roles={"person": "decides"}), WRONG)
    assert feedback.verdict == "pass" and not is_slip(feedback)

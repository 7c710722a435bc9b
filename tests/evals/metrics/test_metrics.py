"""Every metric against a case small enough to work out by hand."""

from __future__ import annotations

import pytest

from tests.evals.made import attempt, crash, sample, shown, tokens
from vitarmm_agent.evals.metrics import Estimate, compare_samples, measure
from vitarmm_agent.evals.metrics.arm import ArmMetrics, measure_arm
from vitarmm_agent.evals.metrics.estimate import mean, share
from vitarmm_agent.evals.run.samples import Sample, WrittenEntry


def of(samples: list[Sample]) -> ArmMetrics:
    return measure_arm(samples[0].arm, samples)


def value(estimate: Estimate) -> tuple[float | None, int]:
    shown_value = None if estimate.value is None else round(estimate.value, 4)
    return shown_value, estimate.n


def test_accuracy_counts_crashes_apart() -> None:
    # 3 of 4 ended runs are right; with the crash as wrong 3 of 5.
    found = of([sample("a", True), sample("b", True), sample("c", True), sample("d", False),
                crash("e")])  # fmt: skip
    assert value(found.accuracy) == (0.75, 4) and found.accuracy.method == "wilson"
    # Wilson for 3 of 4: (0.75 + 1.9207/4 ± 1.96·√(0.75·0.25/4 + 0.9604/16)) / (1 + 3.8415/4)
    assert found.accuracy.low == pytest.approx(0.3006, abs=1e-4)
    assert found.accuracy.high == pytest.approx(0.9544, abs=1e-4)
    assert value(found.accuracy_crashes_wrong) == (0.6, 5)
    assert (found.crashed, found.samples, found.crashes) == (1, 5, {"TimeoutError": 1})


def test_nothing_ended_is_not_zero() -> None:
    found = of([crash("a"), crash("b")])
    assert found.accuracy == Estimate(value=None, n=0, count=0, method="wilson")
    assert value(found.accuracy_crashes_wrong) == (0.0, 2)
    assert found.accuracy.text() == "–" and found.iterations == ()


def test_several_orders_are_not_several_problems() -> None:
    # Two problems, one always right and one always wrong, ten orders each: 50 % of 20 runs, but
    # only two problems were seen, so the interval must be wider than that of 20 trials.
    found = of([sample(p, p == "a", order=o) for p in "ab" for o in range(10)])
    assert value(found.accuracy) == (0.5, 20) and found.accuracy.method == "clustered wilson"
    assert found.accuracy.low is not None and found.accuracy.low < 0.1
    assert {o: e.value for o, e in found.by_order.items()} == {str(o): 0.5 for o in range(10)}


def test_iterations_and_pass_at_k() -> None:
    # a: wrong, wrong, right.  b: right at once.  c: right, then wrong.  d: wrong 1, x, x: the vote
    # of its first two goes to the later one, of all three to x, which is right.
    d = tuple(
        attempt(n, right, answer=answer)
        for n, right, answer in ((1, False, "y"), (2, True, "x"), (3, True, "x"))
    )
    found = of([sample("a", False, False, True), sample("b", True), sample("c", True, False),
                sample("d", attempts=d)])  # fmt: skip
    assert [value(p.accuracy) for p in found.iterations] == [(0.5, 4), (0.5, 4), (0.75, 4)]
    assert [value(p.pass_at_k) for p in found.iterations] == [(0.5, 4), (0.75, 4), (1.0, 4)]
    assert [p.reached for p in found.iterations] == [4, 3, 2]


def test_a_vote_of_the_first_attempts_stands() -> None:
    # x, y, x fail, the fourth passes: after three, x is the most frequent and is right.
    made = [("x", True), ("y", False), ("x", True), ("z", False)]
    tries = tuple(attempt(n, r, answer=a) for n, (a, r) in enumerate(made, 1))
    found = of([sample("a", attempts=tries)])
    assert [p.accuracy.value for p in found.iterations] == [1.0, 0.0, 1.0, 0.0]


def test_step_correctness() -> None:
    # 10 checked steps, 3 wrong: 70 %. First attempts: 4 of 6; last ones: 5 of 6. 10 of 16 checkable.
    a = (
        attempt(1, False, steps=6, checked_steps=4, wrong_steps=2),
        attempt(2, True, steps=6, checked_steps=4, wrong_steps=1),
    )
    b = (attempt(1, True, steps=4, checked_steps=2),)
    found = of([sample("a", attempts=a), sample("b", attempts=b)]).steps
    assert value(found.correct) == (0.7, 10)
    assert value(found.correct_first) == (round(4 / 6, 4), 6)
    assert value(found.correct_last) == (round(5 / 6, 4), 6)
    assert value(found.checkable) == (0.625, 16)


def test_errors_made_again() -> None:
    one, two, nameless = "arithmetic:3*4=13", "arithmetic:2+2=5", "other:"
    samples = [
        # a, first: attempts 2 and 3 follow a named error; only 3 repeats it.
        sample("a", position=0, attempts=(attempt(1, False, errors=[one]), attempt(2, False),
                                          attempt(3, False, errors=[one, nameless]))),
        # b, second: a's error again, on another problem; and its own once more.
        sample("b", position=1, attempts=(attempt(1, False, errors=[one, two]),
                                          attempt(2, False, errors=[two]))),
        # c, third: an error without a name repeats nothing.
        sample("c", position=2, attempts=(attempt(1, False, errors=[nameless]),)),
        # Another order knows nothing of the first.
        sample("c", order=1, position=0, attempts=(attempt(1, False, errors=[one]),)),
    ]  # fmt: skip
    found = of(samples).repetition
    assert value(found.same_problem) == (round(2 / 3, 4), 3)
    assert value(found.new_problems) == (0.5, 2)
    assert found.nameless == 2


def test_a_benchmark_is_a_stream_of_its_own() -> None:
    tries = (attempt(1, False, errors=["arithmetic:1+1=3"]),)
    found = of([sample("a", attempts=tries), sample("b", attempts=tries, benchmark="other")])
    assert value(found.repetition.new_problems) == (None, 0)


def test_correction() -> None:
    # First wrong: a (ends right), b (ends wrong), e (ends wrong). First right: c (spoiled), d.
    found = of([sample("a", False, True), sample("b", False, False), sample("c", True, False),
                sample("d", True), sample("e", False)]).correction  # fmt: skip
    assert value(found.mended) == (round(1 / 3, 4), 3)
    assert value(found.spoiled) == (0.5, 2)
    assert value(found.retried_mended) == (0.5, 2)  # after the wrong firsts of a and b
    assert value(found.retried_spoiled) == (1.0, 1)  # after the right first of c


def test_advice_is_counted_for_who_gave_it() -> None:
    advised = [
        attempt(1, right, "abstain").model_copy(
            update={"source": "policy", "advice": {"judge": "pass"}}
        )
        for right in (True, False, False)
    ]
    found = of([sample(str(n), attempts=(a,)) for n, a in enumerate(advised)]).confusion
    assert found.by_source["judge"]["pass"] == {"right": 1, "wrong": 2}
    assert found.counts["pass"] == {"right": 0, "wrong": 0}


def test_confusion() -> None:
    verdicts = [(True, "pass"), (True, "pass"), (False, "pass"), (False, "fail"), (True, "fail"),
                (False, "abstain")]  # fmt: skip
    found = of(
        [sample(str(n), attempts=(attempt(1, r, v),)) for n, (r, v) in enumerate(verdicts)]
    ).confusion
    assert found.counts == {"pass": {"right": 2, "wrong": 1}, "fail": {"right": 1, "wrong": 1},
                            "abstain": {"right": 0, "wrong": 1}}  # fmt: skip
    assert found.by_source == {"judge": found.counts}
    assert value(found.pass_right) == (round(2 / 3, 4), 3)
    assert value(found.fail_wrong) == (0.5, 2)
    assert value(found.wrong_failed) == (round(1 / 3, 4), 3)
    assert value(found.right_passed) == (round(2 / 3, 4), 3)
    assert value(found.abstained) == (round(1 / 6, 4), 6)


def test_memory_use() -> None:
    samples = [
        sample("a", attempts=(attempt(1, True, "pass", shown=(shown("m1"), shown("m2"))),)),
        sample("b", attempts=(attempt(1, False, "fail", shown=(shown("m1"),)),
                              attempt(2, True, "abstain"))),
        sample("c", attempts=(attempt(1, False, "fail", shown=(shown("m3", withheld=True),)),)),
    ]  # fmt: skip
    found = of(samples).memory
    assert value(found.recalled) == (0.5, 4)  # two of four attempts saw an entry
    assert value(found.entries) == (0.75, 4)  # three showings
    assert value(found.helpful) == (round(2 / 3, 4), 3)
    assert value(found.harmful) == (round(1 / 3, 4), 3)
    assert value(found.right_after) == (round(2 / 3, 4), 3)
    assert value(found.right_with) == (0.5, 2) and value(found.right_without) == (0.5, 2)
    assert found.withheld == 1


def test_calibration() -> None:
    # Confidence 0.9 twice, right once: gap 0.4. Confidence 0.25 once, wrong: gap 0.25. Confidence 1
    # once, right: it is in the bin of 0.9, which makes that bin (0.9+0.9+1)/3 against 2/3.
    rows = [(0.9, True), (0.9, False), (1.0, True), (0.25, False)]
    found = of(
        [
            sample(str(n), attempts=(attempt(1, r, shown=(shown("m", confidence=c),)),))
            for n, (c, r) in enumerate(rows)
        ]
    ).calibration
    assert [(b.low, b.confidence, b.right.value, b.right.n) for b in found.bins] == [
        (0.2, 0.25, 0.0, 1),
        (0.9, pytest.approx(0.933333), pytest.approx(0.666667), 3),
    ]
    assert value(found.ece) == (round((3 * (2.8 / 3 - 2 / 3) + 0.25) / 4, 4), 4)


def test_leaks_and_contamination() -> None:
    def entry(name: str, action: str = "added", leak: str | None = None) -> WrittenEntry:
        return WrittenEntry.model_validate(
            {"entry_id": name, "action": action, "entry_type": "fact", "leak": leak}
        )

    own = (attempt(1, False), attempt(2, False, shown=(shown("m1", origin="a"),)))
    before = (attempt(1, False, shown=(shown("m9", origin="b"),)),)
    samples = [
        # What a run wrote itself may come back in its next attempt: that is the loop at work.
        sample("a", attempts=own, written=(entry("m1", leak="answer"), entry("m2"))),
        # An entry that an earlier run learned on this very problem may not.
        sample("b", attempts=before, written=(entry("m3", leak="verbatim"), entry("m4"),
                                              entry("m5", action="skipped", leak="answer"))),
    ]  # fmt: skip
    found = of(samples).written
    assert value(found.leaks) == (0.5, 4)  # two of four; what was skipped is not written
    assert value(found.leaks_answer) == value(found.leaks_verbatim) == (0.25, 4)
    assert value(found.entries) == (2.0, 2) and found.by_type == {"fact": 4}
    assert value(found.contaminated) == (0.5, 2)


def test_price() -> None:
    samples = [
        sample("a", True, usage=tokens(100), seconds=1.0, cost=0.01),
        sample("b", False, usage=tokens(200), seconds=3.0, cost=0.03),
        sample("c", True, usage=tokens(300), seconds=5.0, cost=None),
    ]
    found = of(samples).price
    assert value(found.tokens) == (200.0, 3) and value(found.seconds) == (3.0, 3)
    assert value(found.cost) == (0.02, 2)
    assert value(found.cost_per_right) == (0.04, 1)  # 0.04 dollars for one right answer
    assert value(found.tokens_per_right) == (300.0, 2)
    assert found.tokens.method == "bootstrap"


def test_a_ratio_keeps_problems_without_weight() -> None:
    # Five tokens each, one right answer in four problems: twenty tokens per right answer.
    assert mean((str(n), 5, n == 0) for n in range(4)).value == 20
    assert share([]) == Estimate(value=None, n=0, count=0, method="wilson")


def test_the_learning_curve_is_the_mean_over_orders() -> None:
    # 40 positions make two windows of 20. Order 0 is right in the second half, order 1 always.
    samples = [
        sample(f"p{place}", place >= 20 or order == 1, order=order, position=place)
        for order in (0, 1)
        for place in range(40)
    ]
    control = {f"made/p{n}": 0.5 for n in range(40)}
    curve = measure_arm("online", samples, control).curve
    assert [(p.first, p.last, p.accuracy.value, p.accuracy.n) for p in curve] == [
        (1, 20, 0.5, 40),
        (21, 40, 1.0, 40),
    ]
    assert [p.per_order for p in curve] == [{"0": 0.0, "1": 1.0}, {"0": 1.0, "1": 1.0}]
    assert [p.gain.value for p in curve if p.gain] == [0.0, 0.5]


def test_arms_are_compared_on_the_same_problems() -> None:
    # Both right: 1. Only online: 5. Only empty: 1. Crashed or missing: 3 (one each way, one alone).
    online = [sample("both", True), *(sample(f"w{n}", True) for n in range(5)), sample("l", False),
              crash("x"), sample("y", True), sample("alone", True)]  # fmt: skip
    empty = [sample("both", True, arm="empty"), sample("l", True, arm="empty"),
             *(sample(f"w{n}", False, arm="empty") for n in range(5)),
             sample("x", True, arm="empty"), crash("y", arm="empty")]  # fmt: skip
    found = compare_samples(online, empty, ("online", "empty"))
    assert (found.pairs, found.dropped) == (7, 3)
    assert (found.only_first, found.only_second) == (5, 1)
    assert value(found.difference) == (round(4 / 7, 4), 7)
    assert value(found.bootstrap) == (round(4 / 7, 4), 7)
    assert found.p == pytest.approx(14 / 64)  # two-sided: 2·(C(6,0)+C(6,1))/2⁶
    assert found.test == "McNemar, exact"


def test_several_orders_are_compared_by_their_means() -> None:
    online = [sample(p, o < 2, order=o) for p in "abcd" for o in range(3)]  # 2/3 on each problem
    empty = [sample(p, p == "a", arm="empty") for p in "abcd"]
    found = compare_samples(online, empty, ("online", "empty"))
    assert value(found.difference) == (round(2 / 3 - 1 / 4, 4), 4)
    assert found.only_first is None and found.test == "sign flips"
    # Gaps −1/3 and three times 2/3 sum to 5/3. Of the 16 sign patterns, only all kept or all turned
    # (±5/3), and those where the −1/3 alone turns (±7/3), are as large: 4 of 16.
    assert found.p == pytest.approx(4 / 16, abs=0.01)


def test_a_group_of_more_problems_counts_for_more() -> None:
    # Three of a group are gained, the one of another is lost: 2 of 4 pairs, not the mean of +1 and −1.
    taught = [sample(p, p != "d", group="big" if p != "d" else "small") for p in "abcd"]
    empty = [s.model_copy(update={"arm": "empty", "correct": not s.correct}) for s in taught]
    found = compare_samples(taught, empty, ("taught", "empty"))
    assert value(found.difference) == value(found.bootstrap) == (0.5, 4)
    assert (found.first_accuracy, found.second_accuracy) == (0.75, 0.25)
    # Sums of +3 and −1: however they are turned, they come to 2 or 4, and 2 was seen.
    assert found.p == 1


def test_no_difference_at_all_is_still_uncertain() -> None:
    online = [sample(f"p{n}", True, order=o) for n in range(20) for o in range(2)]
    empty = [sample(f"p{n}", True, arm="empty") for n in range(20)]
    found = compare_samples(online, empty, ("online", "empty")).difference
    assert found.value == 0
    assert found.low is not None and found.high is not None
    assert found.low < -0.05 and found.high > 0.05


def test_the_control_is_the_loop_with_an_empty_memory() -> None:
    samples = [
        sample(p, True, arm=arm, oracle=arm == "oracle")
        for arm in ("single", "empty", "online", "oracle")
        for p in "ab"
    ]
    found = measure(samples, ("single", "empty", "online", "oracle"))
    assert found.control == "empty"
    assert [(c.first, c.second) for c in found.comparisons] == [
        ("single", "empty"), ("online", "empty"), ("oracle", "empty"),
        ("online", "single"), ("oracle", "single"),
    ]  # fmt: skip
    assert [c.oracle for c in found.comparisons] == [False, False, True, False, True]
    assert all(c.p_holm == 1.0 for c in found.comparisons)
    assert [m.oracle for m in found.arms] == [False, False, False, True]
    assert found.credit == {}

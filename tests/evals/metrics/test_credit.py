"""Credit of entries against a simulation whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.evals.made import attempt, sample, shown
from vitarmm_agent.evals.metrics.credit import Credit, measure_credit
from vitarmm_agent.evals.run.samples import Sample

LIFT = {"insight": 0.2, "fact": 0.0, "correction": -0.15}
BASE = {1: 0.75, 2: 0.5, 3: 0.3}
"""Where more entries fit, problems are harder: to be seen with others is not to do harm."""


def runs(seed: int, count: int = 1000, withhold: float = 0.3) -> Iterator[Sample]:
    """One run per problem; each shown entry adds its type's lift to the chance of being right."""
    source, alike = random.Random(seed), dict[tuple[object, ...], Sample]()
    for number in range(count):
        chosen = source.sample(sorted(LIFT), source.randint(1, 3))
        held = source.randrange(len(chosen)) if source.random() < withhold else -1
        chance = BASE[len(chosen)] + sum(LIFT[t] for n, t in enumerate(chosen) if n != held)
        right = source.random() < min(max(chance, 0.02), 0.98)
        case = (*chosen, held, right)
        if case not in alike:
            entries = tuple(
                shown(f"m-{kind}", entry_type=kind, withheld=n == held)
                for n, kind in enumerate(chosen)
            )
            alike[case] = sample("p", attempts=(attempt(1, right, shown=entries),))
        yield alike[case].model_copy(update={"problem_id": f"p{number}"})


def lifts(credit: Credit) -> dict[str, tuple[float, float, float]]:
    found = {}
    for lift in credit.types:
        e = lift.lift
        assert e.value is not None and e.low is not None and e.high is not None
        found[lift.name] = (e.value, e.low, e.high)
    return found


def test_the_truth_is_found_and_the_intervals_hold_it() -> None:
    sums, inside, rounds = dict.fromkeys(LIFT, 0.0), 0, 80
    for seed in range(rounds):
        credit = measure_credit(runs(seed))
        assert credit is not None
        for kind, (value, low, high) in lifts(credit).items():
            sums[kind] += value / rounds
            inside += low <= LIFT[kind] <= high
    for kind, truth in LIFT.items():
        assert sums[kind] == pytest.approx(truth, abs=0.02)
    assert inside / (3 * rounds) == pytest.approx(0.95, abs=0.035)  # 240 intervals: ± 2.8 by chance


def test_what_merely_comes_before_a_right_answer_misleads() -> None:
    # An insight among few entries is on easier problems: the plain difference of accuracy with and
    # without any insight is far from what an insight does.
    rows = [(s, s.attempts[0]) for seed in range(8) for s in runs(seed)]
    with_one = [
        s.correct
        for s, a in rows
        if any(e.entry_type == "fact" and not e.withheld for e in a.shown)
    ]
    without = [s.correct for s, a in rows if not any(e.entry_type == "fact" for e in a.shown)]
    plain = sum(with_one) / len(with_one) - sum(without) / len(without)
    assert plain < -0.1  # although a fact does nothing
    credit = measure_credit([s for s, _ in rows])
    assert credit is not None
    assert abs(lifts(credit)["fact"][0]) < 0.1


def test_worked_by_hand() -> None:
    # Shown both entries: 3 runs, 2 right. Without m1: 2 runs (weight 2 each), none right.
    # Without m2: 1 run, right. Lift of m1 = 2/3 − 0, of m2 = 2/3 − 1.
    def run(name: str, right: bool, held: str = "") -> Sample:
        entries = tuple(shown(m, withheld=m == held) for m in ("m1", "m2"))
        return sample(name, attempts=(attempt(1, right, shown=entries), attempt(2, True)))

    credit = measure_credit(
        [
            run("a", True),
            run("b", True),
            run("c", False),
            run("d", False, "m1"),
            run("e", False, "m1"),
            run("f", True, "m2"),
            sample("g", True),
        ]  # fmt: skip
    )
    assert credit is not None and (credit.runs, credit.withheld) == (6, 3)
    assert [(e.name, e.shown_n, e.withheld_n) for e in credit.entries] == [
        ("m1", 3, 2),
        ("m2", 3, 1),
    ]
    assert [e.lift.value for e in credit.entries] == [
        pytest.approx(2 / 3, abs=1e-5),
        pytest.approx(-1 / 3, abs=1e-5),
    ]
    # All together: shown 2/3, withheld (0 + 0 + 1)/3.
    assert credit.overall.lift.value == pytest.approx(1 / 3, abs=1e-5)
    assert credit.final.lift.value == 0  # the second attempt is right whatever was shown
    low, high = credit.entries[0].lift.low, credit.entries[0].lift.high
    assert low is not None and high is not None and low < 0 < high


def test_runs_of_one_problem_are_one_case() -> None:
    def many(copies: int) -> Credit:
        rows = [
            sample(p, order=o, attempts=(attempt(1, p in "ab", shown=(shown("m", withheld=p in "cd"),)),))
            for p in "abcd"
            for o in range(copies)
        ]  # fmt: skip
        credit = measure_credit(rows)
        assert credit is not None
        return credit

    once, often = many(1).overall.lift, many(9).overall.lift
    assert (once.low, once.high) == (often.low, often.high)


def test_without_withholding_there_is_no_credit() -> None:
    assert measure_credit(runs(0, count=20, withhold=0.0)) is None
    assert measure_credit([]) is None


def test_two_withheld_at_once_tell_of_neither() -> None:
    entries = (shown("m1", withheld=True), shown("m2", withheld=True))
    assert measure_credit([sample("a", attempts=(attempt(1, True, shown=entries),))]) is None


def test_only_the_first_attempt_with_entries_counts() -> None:
    # Whether a later attempt is made depends on what was withheld before.
    first = attempt(1, False, shown=(shown("m1", withheld=True),))
    later = attempt(2, True, shown=(shown("m2"),))
    full = attempt(1, True, "pass", shown=(shown("m1"),))
    credit = measure_credit([sample("a", attempts=(first, later)), sample("b", attempts=(full,))])
    assert credit is not None
    assert (credit.overall.shown, credit.overall.withheld) == (1.0, 0.0)
    assert [entry.name for entry in credit.entries] == ["m1"]

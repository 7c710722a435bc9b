"""Data for pictures: an agent that gets a kind of problem wrong, is taught, and gets the next ones right."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.evals.made import attempt, evaluation, sample, tokens
from tests.scripts import LESSON, nothing, operations
from tests.viewer.conftest import script
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.evals.report import write_report
from vitarmm_agent.evals.run.folder import BenchmarkUsed
from vitarmm_agent.evals.run.samples import Sample

ROLLS = "A baker makes {a} rolls a day and sells half. How many are left after {d} days?"
ROLLS_LESSON = {
    "title": "What is left over each day adds up",
    "applies_when": "a part of what is made each day is sold, and what is left after some days is asked for",
    "content": "Find what is left of one day first, then multiply it by the number of days.",
    "entry_type": "correction",
    "confidence": 0.8,
}
SQUARE = "A square has a perimeter of {p} cm. What is its area in square centimeters?"


def square(perimeter: int, side: int | None = None) -> str:
    """A solution; a wrong side is a wrong step."""
    side = side or perimeter // 4
    return (
        f"1. The perimeter is {perimeter} cm, so the side is $s = {perimeter} / 4 = {side}$ cm.\n"
        f"2. The area is $s^2 = {side} * {side} = {side * side}$ square centimeters.\n"
        f"Answer: {side * side}"
    )


def rolls(a: int, d: int, *, forgets: bool = False) -> str:
    """A solution; one that forgets the days answers for a single one."""
    last = (
        f"2. So {a // 2} are left."
        if forgets
        else f"2. After {d} days {a // 2} * {d} = {a // 2 * d} are left."
    )
    answer = a // 2 if forgets else a // 2 * d
    return f"1. Each day {a} / 2 = {a // 2} rolls are left.\n{last}\nAnswer: {answer}"


def learn(settings: Settings, folder: Path) -> dict[str, str]:
    """Runs of two kinds of problems, each wrong at first; ids of those that are shown."""
    told = [
        (ROLLS.format(a=48, d=3), "72", [rolls(48, 3, forgets=True), rolls(48, 3)], ROLLS_LESSON),
        (SQUARE.format(p=20), "25", [square(20, 6), square(20)], LESSON),
        (SQUARE.format(p=36), "81", [square(36)], None),
        (ROLLS.format(a=64, d=5), "160", [rolls(64, 5)], None),
        (SQUARE.format(p=12), "9", [square(12)], None),
        (SQUARE.format(p=52), "169", [square(52, 12), square(52)], None),
        (SQUARE.format(p=28), "49", [square(28)], None),
        (ROLLS.format(a=30, d=4), "60", [rolls(30, 4)], None),
        (SQUARE.format(p=44), "121", [square(44)], None),
        (SQUARE.format(p=60), "225", [square(60)], None),
        (ROLLS.format(a=90, d=7), "315", [rolls(90, 7, forgets=True), rolls(90, 7)], None),
        (SQUARE.format(p=16), "16", [square(16)], None),
    ]
    runs: dict[str, str] = {}
    drawn = _square(folder / "square.png", 52)
    for number, (text, reference, replies, lesson) in enumerate(told):
        writes = [operations(lesson), nothing()] if lesson else [nothing()] * 2
        given = settings.model_dump(exclude_unset=True) | {
            "reasoner": script(folder / "qwen2.5-coder-0.5b.json", *replies),
            "rmm": script(folder / f"writer-{number}.json", *writes),
            "feedback": "arithmetic,reference",
            "oracle": True,
        }
        agent = ReasoningAgent.open(settings=Settings.load(**given))
        images = [str(drawn)] if text == SQUARE.format(p=52) else []
        asked = {"text": text, "reference": reference, "images": images}
        result = agent.solve({**asked, "metadata": {"benchmark": "kinds"}})
        assert result.passed, text
        runs[f"p{number}"] = result.thread_id
        agent.close()
    return {"taught": runs["p1"], "again": runs["p5"], "helped": runs["p9"]}


def _square(path: Path, perimeter: int) -> Path:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (480, 320), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((130, 40, 350, 260), outline="#27408b", width=5)
    draw.text((180, 275), f"perimeter: {perimeter} cm", fill="black", font_size=20)
    image.save(path)
    return path


def evaluate(folder: Path) -> None:
    """Sixty problems of a kind, with nothing in memory and with one of them taught; one run is kept."""
    for name, share, seed in (("rolls-nothing-taught", 0.35, 1), ("rolls-one-taught", 0.75, 2)):
        dice = random.Random(seed)
        rows = [_sample(dice, number, share) for number in range(60)]
        settings = {"reasoner": "local:qwen2.5-coder-0.5b-instruct", "feedback": "arithmetic"}
        used = BenchmarkUsed(name="rolls", split="test", n=len(rows), sha256="f" * 64)
        place = evaluation(folder / name, rows, settings=settings, benchmarks=(used,))
        write_report(place.path)
        first = rows[0]
        given = Settings.load(
            data_dir=place.data_dir, memory="off", feedback="arithmetic",
            reasoner=script(folder / "r.json", rolls(*_numbers(0))),
        )  # fmt: skip
        with ReasoningAgent.open(settings=given) as agent:
            agent.solve(first.question, thread_id=first.thread_id)


def _numbers(number: int) -> tuple[int, int]:
    dice = random.Random(number)
    return 2 * dice.randint(8, 60), dice.randint(2, 9)


def _sample(dice: random.Random, number: int, share: float) -> Sample:
    a, d = _numbers(number)
    right, verdict = dice.random() < share, "pass" if dice.random() < 0.8 else "abstain"
    reference = str(a // 2 * d)
    said: dict[str, Any] = {"answer": reference if right else str(a // 2), "source": "arithmetic"}
    tries = [attempt(1, right, verdict, steps=2, **said)]
    if right and dice.random() < 0.3:
        first = {"answer": str(a // 2 + 1), "source": "arithmetic", "steps": 2}
        tries = [attempt(1, False, **first), attempt(2, right, verdict, steps=2, **said)]
    return sample(
        f"rolls-{number:02}", benchmark="rolls", arm="online", position=number,
        question=ROLLS.format(a=a, d=d), reference=reference, attempts=tuple(tries),
        usage=tokens(dice.randint(180, 640)), seconds=dice.uniform(1, 5),
    )  # fmt: skip

"""One word for one thing: what all commands call their options, read from the commands themselves."""

from __future__ import annotations

import re
import runpy
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vitarmm_agent.cli.app import application
from vitarmm_agent.cli.examples import EXAMPLES
from vitarmm_agent.cli.spelling import OTHER_SPELLINGS

SEVERAL = {
    "--arms", "--benchmark", "--data", "--dtype", "--keep-last", "--older-than", "--rmm", "--sample-size",
    "--skills", "--temperature", "--token", "--type", "--verdict",
}  # fmt: skip
"""Options whose help differs between commands, since what they are about does."""


class Option(NamedTuple):
    command: str
    option: Any

    @property
    def name(self) -> str:
        return max(self.option.opts, key=len)  # type: ignore[no-any-return]


def every(kind: str = "option") -> Iterator[Option]:
    """Each shown option (or argument) of each command."""

    def walk(command: Any, path: list[str]) -> Iterator[Option]:
        for name, sub in getattr(command, "commands", {}).items():
            yield from walk(sub, [*path, name])
        for option in command.params:
            if option.param_type_name == kind and not getattr(option, "hidden", False):
                yield Option(" ".join(path), option)

    yield from walk(application(), [])


def told(option: Any) -> str:
    """Its help without the default, as one compares it."""
    return re.sub(r"[;.] default: .*", "", option.help or "", flags=re.I).rstrip(".").lower()


def test_one_name_for_each_thing() -> None:
    names = defaultdict(set)
    for found in every():
        names[told(found.option)].add(found.name)
    assert {said: n for said, n in names.items() if len(n) > 1} == {}


def test_one_thing_for_each_name() -> None:
    helps = defaultdict(set)
    for found in every():
        helps[found.name].add(told(found.option))
    several = {name: said for name, said in helps.items() if len(said) > 1}
    assert {n: h for n, h in several.items() if n not in SEVERAL} == {}
    assert SEVERAL - set(several) == set()


def test_names_are_spelled_alike() -> None:
    spelled = [f"{found.command} {found.name}" for found in every()]
    assert [s for s in spelled if "_" in s.rpartition(" ")[2]] == []
    retired = {f"--{word}" for word in OTHER_SPELLINGS}
    assert [f"{f.command} {n}" for f in every() for n in f.option.opts if n in retired] == []


def test_every_option_says_what_it_is_and_what_it_is_by_default() -> None:
    silent = []
    for found in (*every(), *every("argument")):
        option = found.option
        default = option.show_default if isinstance(option.show_default, str) else option.default
        evident = option.required or getattr(option, "is_flag", False)
        if not option.help or (not evident and default in (None, "", [])):
            silent.append(f"{found.command} {found.name}")
    assert silent == []


PUBLISHED = {
    "simulate --output_dir d --num_samples 3 --vita_model m --feedback_model j --max_iterations 4": {
        "sample_size": 3, "reasoner": "m", "judge": "j", "max_iterations": 4,
    },
    "eval rmm --output_dir d --num_samples 3 --vita-model m": {"sample_size": 3, "reasoner": "m"},
    "eval --model m --images ocr --vita_model f --processes 2": {
        "reasoner": "m", "images": "ocr", "vita_model": "f", "processes": 2,
    },
    "eval siblings --model m": {"reasoner": "m"},
    "eval compare a b --arms x,y": {"pair": ["x,y"]},
    "eval export a b --only x": {"arms": "x"},
    "eval verifiers --data d --dataset mathv": {"benchmark": ["mathv"]},
    "train --data_path d --output_dir o --model_name m": {"data_path": Path("d"), "model_name": "m"},
    "resume t --message why": {"reason": "why"},
    "judge t pass --comment why": {"reason": "why"},
    "solve x --images ocr": {"images": "ocr"},
    "trace list --memory used": {"memory_use": "used"},
    "trace export t --html -o f": {"output": Path("f")},
    "memory search q --k 2": {"limit": 2},
    "memory compact --keep-since 90d --keep-batches 2": {"older_than": "90d", "keep_last": 2},
    "config --set": {"changed": True},
}  # fmt: skip


def parsed(line: str) -> dict[str, Any]:
    """What a command line comes to, by parameter; nothing is run."""
    command: Any = application()
    context, words = None, ["vitarmm", *shlex.split(line)]
    while True:
        name, rest = words[0], words[1:]
        deeper = bool(rest) and rest[0] in getattr(command, "commands", {})
        context = command.make_context(
            name, [] if deeper else rest, parent=context, resilient_parsing=True
        )
        if not deeper:
            assert context.args == [], line
            return context.params  # type: ignore[no-any-return]
        command, words = command.commands[rest[0]], rest


def test_published_spellings_are_still_taken() -> None:
    for line, heard in PUBLISHED.items():
        given = parsed(line)
        assert {name: given[name] for name in heard} == heard, line


def test_each_command_has_examples_that_can_be_read() -> None:
    assert set(EXAMPLES) == {
        found.command for kind in ("option", "argument") for found in every(kind)
    } - {""}
    for line in (line for lines in EXAMPLES.values() for line in lines):
        parsed(line)


def test_the_reference_of_the_command_line_is_up_to_date() -> None:
    script = Path(__file__).parents[2] / "docs" / "make_cli.py"
    made = runpy.run_path(str(script))
    page = script.with_name("cli.md").read_text("utf-8")
    assert page == made["reference"](), "make it again: python docs/make_cli.py"

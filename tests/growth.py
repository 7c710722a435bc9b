"""Every pattern of some modules, how each is used, and texts built to make it slow.

A pattern grows too fast when a repeat in it can be read in several ways. So each repeat of its parse tree is
pumped: what leads to it, its body many times, then something that does not fit.
"""

from __future__ import annotations

import ast
import math
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

TELLING = 0.02
"""Seconds of processor time from which matching a pattern is looked at more closely."""
GLANCE = 3
"""A pattern is glanced at with a third of the longest text, which takes at least a ninth of the time
where that grows with the square or more slowly; with what it grows by more, one text takes minutes."""
TRIALS = 6
SIZE = 1_500
BRIEF = (24, 400)
"""Lengths at which time that doubles with each sign is seen before it lasts."""
MUCH = 2.2
"""Times as long as four texts of a quarter take: a linear reading takes 1, a quadratic one 4."""
METHODS = {
    "match": "match", "fullmatch": "fullmatch", "search": "search", "sub": "finditer",
    "subn": "finditer", "split": "finditer", "findall": "finditer", "finditer": "finditer",
}  # fmt: skip
LIMIT = 2.0
"""Seconds of processor time after which a call is broken off; linear ones take a hundredth."""
SUFFIXES = ("\x00", "!x 1")
PUMPS = (" ", "a", "1", "-", "\n", "a ", "1 ", "1,", "= ", "a. ")
_CATEGORIES = {
    c.CATEGORY_DIGIT: "1", c.CATEGORY_SPACE: " ", c.CATEGORY_WORD: "a", c.CATEGORY_NOT_DIGIT: "a",
    c.CATEGORY_NOT_SPACE: "a", c.CATEGORY_NOT_WORD: "-",
}  # fmt: skip
_REPEATS = (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT)


class TooSlowError(Exception):
    """A call ran into the limit."""


@dataclass
class Used:
    """A pattern and the methods it is used with (``match``, ``fullmatch``, ``search``, ``finditer``)."""

    pattern: re.Pattern[str]
    where: str
    methods: set[str] = field(default_factory=set)


def patterns_of(modules: Iterable[tuple[ModuleType, Path]]) -> tuple[list[Used], list[str]]:
    """All patterns that are compiled in modules or written into a call of ``re``.

    Returns:
        The patterns, and the places whose pattern is put together at run time.
    """
    found: dict[tuple[str, int, str], Used] = {}
    dynamic: list[str] = []
    for module, path in modules:
        tree = ast.parse(path.read_text("utf-8"))
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
        for name, value in vars(module).items():
            for pattern in _compiled(value):
                key = (pattern.pattern, pattern.flags, module.__name__)
                used = found.setdefault(key, Used(pattern, f"{module.__name__}.{name}"))
                used.methods |= _methods_of(name, calls) or {"search", "fullmatch"}
        for call in calls:
            method = _of_re(call)
            if method is None:
                continue
            where = f"{module.__name__}:{call.lineno}"
            try:
                pattern = _evaluated(call, module)
            except NameError:
                dynamic.append(where)
                continue
            key = (pattern.pattern, pattern.flags, module.__name__)
            used = found.setdefault(key, Used(pattern, where))
            used.methods |= {METHODS[method]} if method in METHODS else set()
    return [used for used in found.values() if used.methods], dynamic


def too_slow(used: Used) -> str | None:
    """The first attack under which the pattern grows too fast, in words; None when none does."""
    tree = _parser.parse(used.pattern.pattern, used.pattern.flags & ~re.DEBUG)
    attacks = dict.fromkeys([*(("", pump) for pump in PUMPS), *_attacks(tree)])
    for (head, pump), suffix, method in product(list(attacks)[:60], SUFFIXES, used.methods):

        def read(size: int) -> object:
            text = head + (pump * (size // len(pump) + 1))[:size] + suffix  # noqa: B023
            return _run(used.pattern, method, text)  # noqa: B023

        glanced = seconds(partial(read, 4 * SIZE // GLANCE))
        if glanced < TELLING / GLANCE**2 and longest(read, BRIEF) < LIMIT:
            continue
        if grows_too_fast(read, SIZE):
            return f"{used.where} {method}: {head!r} + {pump!r} * … + {suffix!r}"
    return None


def grows_too_fast(read: Callable[[int], object], size: int, telling: float = TELLING) -> bool:
    """Whether reading one text of four times ``size`` takes far longer than four of ``size``.

    What takes less than ``telling`` seconds is not looked at more closely.
    """
    brief, one = longest(read, BRIEF), seconds(lambda: read(4 * size))
    if max(brief, one) >= LIMIT or one < telling:
        return max(brief, one) >= LIMIT

    four = math.inf
    for _ in range(TRIALS):  # the best of each so far: a busy machine slows down some of them
        four = min(four, sum(seconds(lambda: read(size)) for _ in range(4)))
        if one < telling or one <= MUCH * four:
            return False
        one = min(one, seconds(lambda: read(4 * size)))
    return one >= telling and one > MUCH * four


def longest(read: Callable[[int], object], lengths: Iterable[int]) -> float:
    """Seconds of processor time of the longest of some readings."""
    return max(seconds(partial(read, length)) for length in lengths)


def seconds(call: Callable[[], object]) -> float:
    """Processor time of a call; the limit where it is broken off for it. Main thread only."""

    def stop(*_: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    started = time.process_time()
    try:
        call()
    except TooSlowError:
        return LIMIT
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return min(time.process_time() - started, LIMIT)


def _run(pattern: re.Pattern[str], method: str, text: str) -> object:
    found = getattr(pattern, method)(text)
    return sum(1 for _ in found) if method == "finditer" else found


def _compiled(value: Any, depth: int = 0) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif hasattr(value, "cache_info") and _gives_patterns(value):
        yield from _compiled(value(), depth)
    elif isinstance(value, dict) and depth < 3:
        for inner in value.values():
            yield from _compiled(inner, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)) and depth < 3:
        for inner in value:
            yield from _compiled(inner, depth + 1)


def _gives_patterns(cached: Any) -> bool:
    """Whether a function without parameters compiles patterns when they are first used."""
    told = cached.__wrapped__.__annotations__
    return told.keys() == {"return"} and "re.Pattern" in str(told["return"])


def _methods_of(name: str, calls: list[ast.Call]) -> set[str]:
    """Methods called on a module's pattern by name."""
    return {
        METHODS[call.func.attr]
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == name
        and call.func.attr in METHODS
    }


def _of_re(call: ast.Call) -> str | None:
    """``match`` of ``re.match(…)``, ``compile`` of ``re.compile(…)``."""
    func = call.func
    known = isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name)
    if known and func.value.id == "re" and (func.attr in METHODS or func.attr == "compile"):  # type: ignore[union-attr]
        return str(func.attr)  # type: ignore[union-attr]
    return None


def _evaluated(call: ast.Call, module: ModuleType) -> re.Pattern[str]:
    """The pattern of a call, from constants of the module.

    Raises:
        NameError: it is put together from local variables.
    """

    def value(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "", "eval"), vars(module).copy())

    options = [*call.args[1:], *(k.value for k in call.keywords if k.arg == "flags")]
    named = [node for node in options if re.fullmatch(r"re\.[A-Z].*", ast.unparse(node))]
    flags = re.NOFLAG
    for node in named:
        flags |= value(node)
    return re.compile(value(call.args[0]), flags)


def _attacks(tree: Any) -> Iterator[tuple[str, str]]:
    for before, body in _pumps(tree, [""]):
        yield before, body
        yield "", before + body


def _pumps(tree: Any, before: list[str]) -> Iterator[tuple[str, str]]:
    """For each repeat: some texts that lead to it, each with some texts that its body matches."""
    for op, argument in tree:
        if op in _REPEATS:
            _, most, body = argument
            if most > 3:
                yield from ((b, text) for b in before[:3] for text in _texts(body, 8) if text)
            yield from _pumps(body, before)
        elif op is c.BRANCH:
            for branch in argument[1]:
                yield from _pumps(branch, before)
        elif op is c.SUBPATTERN:
            yield from _pumps(argument[3], before)
        elif op is c.ATOMIC_GROUP:
            yield from _pumps(argument, before)
        elif op in (c.ASSERT, c.ASSERT_NOT):
            yield from _pumps(argument[1], before)
        before = [b + text for b in before[:3] for text in _texts([(op, argument)], 2)][:4]


def _texts(tree: Any, most: int) -> list[str]:
    """A few texts that a part of a pattern matches."""
    found = [""]
    for op, argument in tree:
        choices = _choices(op, argument)[: max(1, most // len(found))]
        found = [text + choice for text in found for choice in choices]
    return found[:most]


def _choices(op: Any, argument: Any) -> list[str]:
    if op is c.LITERAL:
        return [chr(argument)]
    if op is c.NOT_LITERAL:
        return ["a" if argument != ord("a") else "b"]
    if op is c.ANY:
        return ["a", " "]
    if op is c.IN:
        return _of_class(argument)
    if op is c.BRANCH:
        return [text for branch in argument[1] for text in _texts(branch, 2)][:8]
    if op in _REPEATS:
        least, _, body = argument
        texts = _texts(body, 4)
        return [*texts, ""] if least == 0 else [text * least for text in texts]
    if op is c.SUBPATTERN:
        return _texts(argument[3], 6)
    return _texts(argument, 6) if op is c.ATOMIC_GROUP else [""]


def _of_class(items: Any) -> list[str]:
    if items[0][0] is c.NEGATE:
        pattern = _parser.parse("")
        pattern.append((c.IN, items))
        matches = re._compiler.compile(pattern)  # type: ignore[attr-defined]
        return [text for text in "a 1-.(\n" if matches.match(text)] or ["é"]
    named = {c.LITERAL: chr, c.RANGE: lambda ends: chr(ends[0]), c.CATEGORY: _CATEGORIES.get}
    return [named[op](argument) for op, argument in items if op in named][:4]

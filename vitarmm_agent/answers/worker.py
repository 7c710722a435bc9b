"""The process that runs math-verify: pairs of expressions in, ``true`` or ``false`` out.

Run as ``python -m vitarmm_agent.answers.worker``. Its memory is bounded, so is the processor time of
one comparison, and whoever started it kills it when an answer does not come for too long.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from typing import Any

CPU_SECONDS = 0.8
"""Processor time of one comparison; unlike wall time it does not depend on how busy the machine is."""
SMALL = 1e-5
"""Numbers below it are compared by their ratio."""
MEMORY_BYTES = 2 * 1024**3


class _OutOfTime(BaseException):  # noqa: N818 - not an Exception, so that sympy cannot swallow it
    pass


def main() -> None:
    """Answer one JSON pair per line until the input ends."""
    _bound_memory()
    from math_verify import parse, verify  # type: ignore[import-untyped]

    def same(a: str, b: str) -> bool:
        first, second = (_parsed(parse, text) for text in (a, b))
        if not first or not second:
            return False
        equal = verify(first, second, timeout_seconds=None) or verify(
            second, first, timeout_seconds=None
        )
        return bool(equal) and not _differ_by_little(first[0], second[0])

    same("$x$", "$x$")  # sympy builds its tables on first use
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        a, b = json.loads(line)
        try:
            _set_timer(CPU_SECONDS)
            answer = same(a, b)
        except (Exception, _OutOfTime):  # one comparison; sympy raises of every kind
            answer = False
        finally:
            _set_timer(0)
        print(json.dumps(answer), flush=True)  # noqa: T201


def _differ_by_little(first: Any, second: Any) -> bool:
    """Whether two expressions differ, but by less than math-verify looks at: it rounds absolutely."""
    from sympy import Expr  # type: ignore[import-untyped]

    if not isinstance(first, Expr) or not isinstance(second, Expr):
        return False
    difference = (first - second).doit()
    if difference.free_symbols or difference.is_zero:
        return False
    small = abs(difference.evalf(30))
    if first.free_symbols or not bool(small.is_positive):
        return bool(difference.is_Rational)
    size = max(abs(first.doit().evalf(30)), abs(second.doit().evalf(30)))
    return bool(size < SMALL and small > size / 10**9)


def _parsed(parse: Any, text: str) -> Any:
    text = text.strip()
    if not (text.startswith("$") and text.endswith("$") and len(text) > 2):
        text = f"${text.strip('$')}$"
    return parse(text, parsing_timeout=None, raise_on_error=False)


def _set_timer(seconds: float) -> None:
    if not hasattr(signal, "setitimer"):  # on Windows only the parent's bound holds
        return

    def stop(*_: object) -> None:
        raise _OutOfTime

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _bound_memory() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main()

"""The process that runs math-verify: pairs of expressions in, ``true`` or ``false`` out.

Run as ``python -m vitarmm_agent.answers.worker``. Its memory is bounded, and whoever started it
kills it when an answer takes too long.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

MEMORY_BYTES = 2 * 1024**3


def main() -> None:
    """Answer one JSON pair per line until the input ends."""
    _bound_memory()
    from math_verify import parse, verify  # type: ignore[import-untyped]

    def same(a: str, b: str) -> bool:
        first, second = (_parsed(parse, text) for text in (a, b))
        return bool(first and second) and (
            verify(first, second, timeout_seconds=None)
            or verify(second, first, timeout_seconds=None)
        )

    same("$x$", "$x$")  # sympy builds its tables on first use
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        a, b = json.loads(line)
        try:
            answer = same(a, b)
        except Exception:  # one comparison; sympy raises of every kind
            answer = False
        print(json.dumps(answer), flush=True)  # noqa: T201


def _parsed(parse: Any, text: str) -> Any:
    text = text.strip()
    if not (text.startswith("$") and text.endswith("$") and len(text) > 2):
        text = f"${text.strip('$')}$"
    return parse(text, parsing_timeout=None, raise_on_error=False)


def _bound_memory() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main()

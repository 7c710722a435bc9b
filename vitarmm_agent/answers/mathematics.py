"""Mathematical equality of two expressions, bounded in time and memory.

Closed forms (numbers, roots, π, powers, fractions) are compared by value. Everything else goes to
math-verify in a worker process: its own time bound uses signals, which work in the main thread only,
so here the process is killed when a comparison takes too long. The worker starts when it is first
needed, stays warm, and serves all threads in turn.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress

from vitarmm_agent.answers.closed_form import closed_form

logger = logging.getLogger(__name__)

SECONDS = 2.0 if os.name == "nt" else 30.0
"""Wall time after which the warm worker is killed. It gives up itself after 0.8 s of processor time, except
on Windows; so what is equal does not depend on how busy the machine is."""
START_SECONDS = 60.0
MAX_EXPRESSION = 300
RELATIVE = 1e-9
DOTS = re.compile(r"\\[lcvd]?dots|…|\.\.\.")
"""What stands for terms that are left out."""
_DROPPED = re.compile(rf"{DOTS.pattern}|≡|\\equiv(?![a-z])|\\[bp]?mod(?![a-z])|\bp?mod\b")
_FUNCTION = re.compile(
    r"\\(?:log|ln|lg|binom|sqrt\s?\[|lfloor|lceil|begin\{vmatrix|sin|cos|tan|int|sum|prod)|\|[^|]+\|"
)
_COMMAND = re.compile(r"\\(?:begin|end)\{[a-z]+\}|\\[a-zA-Z]+|∞")
_LETTERS = re.compile(r"[^\W\d_e]")
_NAMED = re.compile(r"(?<![\\a-zA-Z])(?:sin|cos|tan|log|ln)(?![a-zA-Z])")
_BARE_ROOT = re.compile(r"\\sqrt\s?\[(\d)\]\s?(\d)")
_ROOT_SIGN = re.compile(r"√\s?(?:\(([^()]{1,80})\)|(\d+|[a-z]))")
_BARE_BINOMIAL = re.compile(r"\\binom\s?(\d)\s?(\d)")
_LETTER = re.compile(r"\\(?:mathrm|text|operatorname|textrm|rm)\s?\{\s?([a-zA-Z])\s?\}")


def same_mathematics(a: str, b: str, *, seconds: float = SECONDS) -> bool:
    """Whether two expressions (plain or LaTeX) are mathematically equal.

    What is longer than 300 characters, cannot be read, or is not decided within ``seconds`` is not
    equal.
    """
    if max(len(a), len(b)) > MAX_EXPRESSION or _unread(a, b):
        return False
    a, b = _prepared(a), _prepared(b)
    first, second = closed_form(a), closed_form(b)
    if first is not None and second is not None:
        return abs(first - second) <= RELATIVE * max(abs(first), abs(second), 1e-12)
    if (first is None) != (second is None) and not ("=" in a or "=" in b):
        other = a if first is None else b
        if not _FUNCTION.search(other) or _LETTERS.search(_COMMAND.sub(" ", other)):
            return False
    return _WORKER.compare(a, b, seconds)


def _unread(a: str, b: str) -> bool:
    """Whether something stands there that math-verify drops: what is left out by dots, a modulus, a prime."""
    return bool(_DROPPED.search(a) or _DROPPED.search(b)) or a.count("'") != b.count("'")


def _prepared(text: str) -> str:
    r"""What math-verify does not read as such: ``\mathrm{e}`` as ``e``, ``\binom52`` with braces, ``±`` and ``sin`` as commands."""
    text = _BARE_ROOT.sub(r"\\sqrt[\1]{\2}", _BARE_BINOMIAL.sub(r"\\binom{\1}{\2}", text))
    text = _NAMED.sub(r"\\\g<0>", _LETTER.sub(r"\1", text))
    text = _ROOT_SIGN.sub(r"\\sqrt{\1\2}", text)
    return text.replace("±", r"\pm ")


class _Worker:
    """One subprocess that runs :mod:`vitarmm_agent.answers.worker`; restarted after a kill."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = os.getpid()

    def compare(self, a: str, b: str, seconds: float) -> bool:
        if os.getpid() != self._owner:  # forked off: the lock may be held by a thread left behind
            self.__init__()  # type: ignore[misc]
        with self._lock:
            process = self._started()
            if process is None:
                return False
            answer = self._ask(process, json.dumps([a, b]), seconds)
        return answer == "true"

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and os.getpid() == self._owner:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with suppress(OSError):
                        pipe.close()

    def _started(self) -> subprocess.Popen[str] | None:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        atexit.unregister(self.stop)
        atexit.register(self.stop)  # once, and not before there is something to stop
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vitarmm_agent.answers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
        )
        if self._line(self._process, START_SECONDS) != "ready":
            logger.error("the math-verify worker did not start; expressions compare as not equal")
            self.stop()
        return self._process

    def _ask(self, process: subprocess.Popen[str], question: str, seconds: float) -> str | None:
        assert process.stdin is not None
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
        except OSError:
            self.stop()
            return None
        answer = self._line(process, seconds)
        if answer is None:
            logger.warning("comparing expressions took over %.1f s; taken as not equal", seconds)
            self.stop()
        return answer

    @staticmethod
    def _line(process: subprocess.Popen[str], seconds: float) -> str | None:
        """The worker's next line; None when none comes in time, for which the worker is killed."""
        assert process.stdout is not None
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        return line.strip() or None


_WORKER = _Worker()

"""The child process that holds the weights: how it is begun, how it ends, and what it said."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from vitarmm_agent.errors import InputError, MissingExtraError, ModelServerError, WeightsError

CHILD = Path(__file__).with_name("child.py")
SOCKET = "x.sock"
"""The ending tells llama.cpp that it is no host name."""
LONGEST_SOCKET = 100
"""Bytes that a socket's path may have; the system's limit is 104 or 108."""

MOST_CALLS = 32
"""Calls under way at once, of each event loop and of all threads together; others wait."""
CONNECTIONS = 4 * MOST_CALLS
_SHOWN = 600
_STAMP = re.compile(r"^[\d.]+ [A-Z] +")


def default_threads() -> int:
    """Threads that generate a reply: half of the cores, and two where there are two.

    With one of two, a lone reply takes nearly twice as long. More than half make it slower on a busy machine.
    """
    return min(cores(), max(2, cores() // 2))


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Options:
    """How the weights are opened; servers of the same file and options are one.

    Attributes:
        context: tokens that one call can hold, prompt and reply; at most what the model was made for.
        slots: calls that are answered at once; others wait in the server.
        adapter: a LoRA adapter as GGUF, applied to every call.
        embedding: give vectors (mean over tokens) instead of text.
        threads: threads that generate; default: :func:`default_threads`.
        cache_mb: memory for the beginnings of prompts that no slot holds any more, in MiB.
        batch: tokens of a prompt that are computed in one piece.
        check: look through all weights for values that cannot be.
    """

    context: int = 4096
    slots: int = 4
    adapter: Path | None = None
    embedding: bool = False
    threads: int | None = None
    cache_mb: int = 512
    batch: int = 512
    check: bool = False


class ServerProcess:
    """The process, its socket and its key."""

    def __init__(self, weights: Path, options: Options) -> None:
        self.weights = weights
        self.options = options
        self.owner = os.getpid()
        self.folder = _private_folder()
        self.socket = str(self.folder / SOCKET)
        self.headers = {"Authorization": f"Bearer {(key := secrets.token_urlsafe(24))}"}
        self._log = self.folder / "log"
        self.is_ready = False
        self.about: dict[str, Any] | None = None
        given = asdict(options) | {
            "weights": str(weights),
            "socket": self.socket,
            "connections": CONNECTIONS,
            "adapter": None if options.adapter is None else str(options.adapter),
            "threads": min(options.threads or default_threads(), cores()),
            "batch_threads": cores(),
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(CHILD), json.dumps(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the one who asked
            )
        self._send(f"{key}\n".encode())

    def url(self, path: str) -> str:
        """Address of a path; the host's name is never looked up."""
        return f"http://llama{path}"

    @property
    def alive(self) -> bool:
        """Whether it runs; also a process that was forked off can tell."""
        return not self._has_ended(0)

    def wait(self) -> None:
        """Return once it answers.

        Raises:
            WeightsError: it ended instead.
        """
        self.is_ready = self.is_ready or bool(self._pipe_state(select.POLLIN, None) & select.POLLIN)
        if self.is_ready:
            return
        raise WeightsError(
            f"{self.weights} cannot be opened by llama.cpp ({self._how_it_ended()}); "
            "check that the file is whole and of a model that llama.cpp knows, and that there is memory "
            f"for a context of {self.options.slots} × {self.options.context:,} tokens"
        )

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Say in a clear error that the child died, where the connection broke for that."""
        import httpx

        try:
            yield
        except httpx.TransportError as error:
            self._has_ended(2000)
            raise ModelServerError(
                f"llama.cpp stopped while {self.weights.name} was asked "
                f"({self._how_it_ended() or error}); it is started again by the next call: "
                "the run can be resumed"
            ) from error

    def said(self) -> str:
        """What it wrote on standard error."""
        with contextlib.suppress(OSError):
            return self._log.read_text("utf-8", "replace")
        return ""

    def end(self) -> None:
        """Let go of the process; the process that began it ends it and removes its folder."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                _pipe(pipe).close()
        if os.getpid() != self.owner:
            return
        self.process.kill()  # it has nothing to put away, and may be in the middle of loading
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _has_ended(self, milliseconds: int) -> bool:
        """Whether it ends within this time."""
        return self._pipe_state(0, milliseconds) != 0

    def _pipe_state(self, wanted: int, milliseconds: int | None) -> int:
        """What its output shows, unread: a line says that it is ready, the end that it ended.

        A line that one process reads is lost to those that share the pipe after a fork.

        Args:
            wanted: what is waited for, besides the end.
            milliseconds: how long; for ever when None.
        """
        watched = select.poll()
        try:
            watched.register(_pipe(self.process.stdout), wanted)
        except ValueError:  # end() has closed it
            return select.POLLHUP
        return sum(state for _, state in watched.poll(milliseconds))

    def _send(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it ended at once: wait() says why
            _pipe(self.process.stdin).write(line)
            _pipe(self.process.stdin).flush()

    def _how_it_ended(self) -> str:
        """The first errors it named, from which the others follow, or the signal that ended it."""
        if self.alive:
            return ""
        if os.getpid() == self.owner and (code := self.process.wait()) < 0:
            hint = ": is there enough memory?" if code == -9 else ""
            return f"ended by signal {-code}{hint}"
        lines = self.said().strip().splitlines()
        return "; ".join(_STAMP.sub("", line) for line in lines[:2])[:_SHOWN]


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _private_folder() -> Path:
    """A folder for the socket that only this user can enter, with a short path."""
    for parent in (None, "/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="vitarmm-", dir=parent))
        if len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET:
            return folder
        folder.rmdir()
    raise InputError(f"the folder for temporary files has too long a path: {tempfile.gettempdir()}")


def check_platform() -> None:
    """Refuse where llama.cpp cannot be run; raises as :class:`LlamaServer` does."""
    import socket
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise MissingExtraError("a local model", "local")
    if not hasattr(socket, "AF_UNIX") or sys.platform == "win32":
        raise InputError(
            "local models need unix sockets, which Python has on Linux and macOS only; use WSL, or "
            "an OpenAI-compatible server: openai:MODEL with --base-url"
        )

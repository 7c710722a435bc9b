"""The child process: what stays on its side, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.llama.helpers import CHAT, OPTIONS, asked, text_of
from tests.models.tiny_gguf import write_gguf
from vitarmm_agent.errors import InputError, ModelServerError, WeightsError
from vitarmm_agent.llama.process import MOST_CALLS, Options, cores, default_threads
from vitarmm_agent.llama.server import LlamaServer, shared_server


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[LlamaServer]:
    server = LlamaServer(tiny, OPTIONS)
    yield server
    server.close()


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def listening(pid: int) -> set[str]:
    """Inodes of TCP sockets that a process listens on."""
    inodes = {
        os.readlink(link).removeprefix("socket:[").rstrip("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.exists() or link.is_symlink()
    }
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {fields[9] for fields in lines if fields[3] == "0A"} & inodes


def test_no_port_is_opened_and_the_socket_is_private(server: LlamaServer) -> None:
    server.wait()
    assert server.pid is not None and listening(server.pid) == set()
    child = server._child
    assert child is not None
    assert stat.S_IMODE(child.folder.stat().st_mode) == 0o700
    words = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    key = child.headers["Authorization"].removeprefix("Bearer ")
    assert key.encode() not in words  # other users may read them
    with httpx.Client(transport=httpx.HTTPTransport(uds=child.socket)) as stranger:
        answer = stranger.post("http://x/tokenize", json={"content": "Hi"})
        assert answer.status_code == 401
        assert answer.headers.get("access-control-allow-origin", "") == ""  # no page may read it


def test_servers_of_the_same_file_and_options_are_one(tiny: Path) -> None:
    first = shared_server(tiny, OPTIONS)
    assert shared_server(tiny, Options(context=256, slots=2, cache_mb=16)) is first
    assert shared_server(tiny, Options(context=256, slots=1, cache_mb=16)) is not first
    assert first.pid is None  # nothing is started that nobody asked


def test_it_ends_with_the_last_that_holds_it(tiny: Path) -> None:
    server = shared_server(tiny, Options(context=256, slots=1))
    server.wait()
    pid, folder = server.pid, server._child.folder  # type: ignore[union-attr]
    assert pid is not None
    del server
    assert gone(pid) and not folder.exists()


@pytest.mark.parametrize("end", ["return", "sys.exit(3)", "os.kill(os.getpid(), 9)", "raise Ghost"])
def test_it_ends_with_its_parent_however_that_ends(tiny: Path, end: str) -> None:
    """Also in the middle of a reply, which ended llama.cpp with a crash in one process."""
    code = f"""
import os, sys
from pathlib import Path
from vitarmm_agent.llama.server import LlamaServer
from tests.llama.helpers import CHAT, OPTIONS, asked
def main():
    server = LlamaServer(Path({str(tiny)!r}), OPTIONS)
    events = server.stream(CHAT, asked(200, ignore_eos=True))
    next(events)
    print(server.pid, server._child.folder, flush=True)
    {end}
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid, folder = done.stdout.split()
    assert done.returncode == {"return": 0, "sys.exit(3)": 3, "raise Ghost": 1}.get(end, -9)
    assert gone(int(pid))
    assert not Path(folder).exists()
    if "kill" not in end:
        assert done.stderr.count("\n") == 0 or "Ghost" in done.stderr


def test_nothing_is_said_on_standard_error(tiny: Path) -> None:
    code = f"""
from pathlib import Path
from vitarmm_agent.llama.server import LlamaServer
from tests.llama.helpers import CHAT, OPTIONS, asked
list(LlamaServer(Path({str(tiny)!r}), OPTIONS).stream(CHAT, asked()))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_killed_child_is_explained_and_started_again(tiny: Path) -> None:
    server = LlamaServer(tiny, OPTIONS)
    try:
        before = text_of(server.stream(CHAT, asked()))
        events = server.stream(CHAT, asked(200, ignore_eos=True))
        next(events)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ModelServerError, match="ended by signal 9.*can be resumed"):
            list(events)
        assert text_of(server.stream(CHAT, asked())) == before
    finally:
        server.close()


def test_leaving_a_stream_early_frees_its_slot(tiny: Path) -> None:
    server = LlamaServer(tiny, Options(context=256, slots=1))
    try:
        for _ in range(3):  # each would take the only slot for 200 tokens
            events = server.stream(CHAT, asked(200, ignore_eos=True))
            next(events)
            events.close()  # type: ignore[attr-defined]
        assert text_of(server.stream(CHAT, asked()))
    finally:
        server.close()


async def test_a_cancelled_task_frees_its_slot(tiny: Path) -> None:
    server = LlamaServer(tiny, Options(context=256, slots=1))
    try:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in server.astream(CHAT, asked(240, ignore_eos=True)):
                begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.wait_for(_read(server, asked()), 30)
    finally:
        server.close()


async def _read(server: LlamaServer, body: dict[str, object]) -> list[dict[str, object]]:
    return [event async for event in server.astream(CHAT, body)]


def test_threads_and_event_loops_share_it(server: LlamaServer) -> None:
    alone = text_of(server.stream(CHAT, asked()))
    with ThreadPoolExecutor(2 * MOST_CALLS) as pool:
        found = pool.map(lambda n: text_of(server.stream(CHAT, asked())), range(2 * MOST_CALLS))
        assert set(found) == {alone}

    async def many() -> set[str]:
        replies = (_read(server, asked()) for _ in range(2 * MOST_CALLS))
        return {text_of(iter(events)) for events in await asyncio.gather(*replies)}

    for _ in range(2):  # two loops, one after the other
        with asyncio.Runner() as runner:
            assert runner.run(many()) == {alone}


def test_breaks_within_a_text_end_no_event(server: LlamaServer) -> None:
    said = "one\u2028two\u2029three\u0085four"
    body = asked(100, grammar=f'root ::= "{said}"')
    assert text_of(server.stream(CHAT, body)) == said
    assert text_of(iter(asyncio.run(_read(server, body)))) == said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_uses_it_and_leaves_it_alone(server: LlamaServer) -> None:
    ids = server.post("/tokenize", {"content": "Hi"})
    holding = threading.Event()

    def hold() -> None:  # a lock that is held while the process is forked
        with server._starting:
            holding.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)
        os._exit(0 if server.post("/tokenize", {"content": "Hi"}) == ids else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    thread.join()
    assert server.post("/tokenize", {"content": "Hi"}) == ids


def in_forked(*works: Callable[[], bool]) -> list[int]:
    """Exit codes of processes that are forked off to do this, all at once: 0 where it holds."""
    begun = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            code = 1
            try:
                code = 0 if work() else 2
            finally:
                os._exit(code)
        begun.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in begun]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_processes_that_are_forked_while_it_loads_all_learn_that_it_is_ready(tiny: Path) -> None:
    server = LlamaServer(tiny, OPTIONS)
    try:
        server.start()
        pid = server.pid
        asks = [lambda: bool(text_of(server.stream(CHAT, asked()))) and server.pid == pid] * 2
        assert in_forked(*asks) == [0, 0]
        assert asks[0]()
    finally:
        server.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_starts_one_of_its_own_when_the_parents_is_gone(tiny: Path) -> None:
    server = LlamaServer(tiny, OPTIONS)
    try:
        before = text_of(server.stream(CHAT, asked()))
        parents, folder = server.pid, server._child.folder  # type: ignore[union-attr]
        assert parents is not None

        def killed_in_the_middle() -> bool:
            events = server.stream(CHAT, asked(200, ignore_eos=True))
            next(events)
            os.kill(parents, signal.SIGKILL)
            with pytest.raises(ModelServerError, match="can be resumed"):
                list(events)
            again = text_of(server.stream(CHAT, asked()))
            return again == before and server.pid != parents and folder.exists()

        def found_dead() -> bool:
            return text_of(server.stream(CHAT, asked())) == before and server.pid != parents

        assert in_forked(killed_in_the_middle) == [0]
        assert in_forked(found_dead, found_dead) == [0, 0]
        assert server.pid == parents and folder.exists()
        assert text_of(server.stream(CHAT, asked())) == before
        assert server.pid != parents and not folder.exists()
    finally:
        server.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_forked_processes_are_told_why_a_file_cannot_be_opened(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(tiny.read_bytes().replace(b"qwen2", b"zwen2"))
    server = LlamaServer(path, OPTIONS)
    server.start()

    def told() -> bool:
        with pytest.raises(WeightsError, match="unknown model architecture: 'zwen2'"):
            server.wait()
        return True

    assert in_forked(told, told) == [0, 0]
    assert told()


def test_two_processes_open_one_file(server: LlamaServer, tiny: Path) -> None:
    other = LlamaServer(tiny, OPTIONS)
    try:
        assert text_of(other.stream(CHAT, asked())) == text_of(server.stream(CHAT, asked()))
        assert other.pid != server.pid
    finally:
        other.close()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_named_with_the_reason(
    tiny: Path, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[: int(tiny.stat().st_size * share)])
    server = LlamaServer(path, OPTIONS)
    for _ in range(2):  # again, not as if it were ready
        with pytest.raises(WeightsError, match="cut.gguf cannot be opened by llama.cpp"):
            server.wait()


def test_an_unknown_architecture_is_named_with_the_reason(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(tiny.read_bytes().replace(b"qwen2", b"zwen2"))
    with pytest.raises(WeightsError, match="unknown model architecture: 'zwen2'"):
        LlamaServer(path, OPTIONS).wait()


def test_a_request_that_cannot_be_answered_is_the_callers(server: LlamaServer) -> None:
    with pytest.raises(InputError, match="tiny.gguf: .*messages"):
        server.post(CHAT, {"messages": 3})
    with pytest.raises(InputError, match="exceeds the available context size"):
        messages = [{"role": "user", "content": "x" * 900}]
        list(server.stream(CHAT, asked() | {"messages": messages}))
    assert text_of(server.stream(CHAT, asked()))


def test_an_installation_without_the_wheel_names_the_extra(tiny: Path) -> None:
    code = f"""
import sys; sys.modules["xllamacpp"] = None
from pathlib import Path
from vitarmm_agent.errors import MissingExtraError
from vitarmm_agent.llama.server import LlamaServer
try: LlamaServer(Path({str(tiny)!r}), None)
except MissingExtraError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "vitarmm-agent[local]"' in done.stdout


def test_threads_leave_cores_to_others() -> None:
    assert min(2, cores()) <= default_threads() <= max(2, cores() // 2)

"""The child process: one llama.cpp server behind a unix socket, until standard input ends.

It is run as a script, by path, and imports nothing of this package. The one argument is JSON, as
:meth:`~vitarmm_agent.llama.server.LlamaServer.start` makes it; the key comes as the first line of
standard input, since other users can read arguments. Further lines are beginnings of prompts to read
ahead. One line on standard output says that it is ready. What llama.cpp has to say goes to standard error.

Every setting below was seen to matter; ``tests/llama/test_wheel.py`` fails when a release of the
wheel changes one of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any


def parameters(given: dict[str, Any]) -> Any:
    """llama.cpp's parameters: what is asked for, and nothing that a caller did not ask for."""
    import xllamacpp  # type: ignore[import-untyped, unused-ignore]

    wanted = xllamacpp.CommonParams()
    wanted.model.path = given["weights"]
    # A server that listens on a port can be asked by any web page.
    wanted.hostnames = [given["socket"]]
    wanted.api_keys = [given["key"]]
    wanted.ui = False
    wanted.endpoint_slots = False
    wanted.n_threads_http = given["connections"]
    # Slots share no context: one that ran over would fail the calls of all.
    wanted.kv_unified = False
    wanted.n_parallel = given["slots"]
    wanted.n_ctx = given["context"] * given["slots"]
    wanted.ctx_shift = False
    wanted.cache_ram_mib = given["cache_mb"]
    # A cancelled prompt is left after each batch of this many tokens.
    wanted.n_batch = wanted.n_ubatch = given["batch"]
    wanted.cpuparams.n_threads = given["threads"]
    wanted.cpuparams_batch.n_threads = given["batch_threads"]
    wanted.check_tensors = given["check"]
    wanted.warmup = False
    wanted.fit_params = False
    wanted.verbosity = 1
    # Text is text: what a model thinks aloud is not taken out of its reply.
    wanted.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    if given["embedding"]:
        wanted.embedding = True
        wanted.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if given["adapter"]:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = given["adapter"], 1.0
        wanted.lora_adapters = [adapter]
    return wanted


def main() -> None:
    """Serve until the parent is gone."""
    given = json.loads(sys.argv[1])
    lines = _lines()
    given["key"] = next(lines, "")
    # OpenMP's threads wait by spinning, which stops a busy machine; read when the library is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp  # type: ignore[import-untyped, unused-ignore]

    ahead: SimpleQueue[str] = SimpleQueue()
    parent = Thread(target=_listen, args=(lines, ahead, given["socket"]), daemon=True)
    parent.start()
    try:
        server = xllamacpp.Server(parameters(given))
    except Exception as error:  # the top of this process: the parent is told in one line
        sys.exit(f"{type(error).__name__}: {error}")
    while not ahead.empty():
        _read_ahead(server, ahead.get())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    parent.join()


def _lines() -> Iterator[str]:
    """Lines of standard input; not by ``sys.stdin``, whose lock a thread would hold when this process ends."""
    rest = b""
    while piece := os.read(0, 65_536):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode() for line in whole)


def _listen(lines: Iterator[str], ahead: SimpleQueue[str], socket: str) -> None:
    """Take what the parent sends; when it is gone, end at once, whatever goes on here."""
    for line in lines:
        ahead.put(line)
    shutil.rmtree(os.path.dirname(socket), ignore_errors=True)
    os._exit(0)


def _read_ahead(server: Any, messages: str) -> None:
    """Compute the beginning of a prompt; a slot keeps it for the call that begins so."""
    request = {"messages": json.loads(messages), "max_tokens": 0, "cache_prompt": True}
    with contextlib.suppress(Exception):  # what is wrong with it, the call itself is told
        server.handle_chat_completions(json.dumps(request), lambda answer: None)


if __name__ == "__main__":
    main()

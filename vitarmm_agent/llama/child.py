"""The child process: one llama.cpp server behind a unix socket, until standard input ends.

It is run as a script, by path, and imports nothing of this package. The one argument is JSON, as
:meth:`~vitarmm_agent.llama.server.LlamaServer.start` makes it; the key comes as the first line of
standard input, since other users can read arguments. One line on standard output says that it is
ready. What llama.cpp has to say goes to standard error.

Every setting below was seen to matter; ``tests/llama/test_wheel.py`` fails when a release of the
wheel changes one of them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
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
    given["key"] = os.read(0, 1024).decode().strip()
    said = os.dup(1)
    os.dup2(2, 1)  # whatever comes out of ``said`` is taken for "ready"
    # OpenMP's threads wait by spinning, which stops a busy machine; read when the library is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp  # type: ignore[import-untyped, unused-ignore]

    parent = Thread(target=_end_with_parent, args=(os.path.dirname(given["socket"]),), daemon=True)
    parent.start()
    try:
        server = xllamacpp.Server(parameters(given))
    except Exception as error:  # the top of this process: the parent is told in one line
        sys.exit(f"{type(error).__name__}: {error}")
    os.write(said, b"ready\n")
    parent.join()
    del server


def _end_with_parent(folder: str) -> None:
    """Wait until standard input ends, then end at once: while loading, or in the middle of a reply.

    Not by ``sys.stdin``, whose lock this thread would hold when the process ends otherwise.
    """
    while os.read(0, 1024):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()

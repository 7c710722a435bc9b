"""What is refused before any model is loaded, and in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vitarmm_agent.cli.cluster import cluster_of
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.cluster.session import Cluster, Session


@contextmanager
def answering(data: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(data)

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        (Cluster(actors=0), r"actors must be from 1 to the workers \(4\), got 0"),
        (Cluster(actors=5), r"got 5"),
        (Cluster(gpus_per_actor=1.5), "whole number, or a share from 0 to 1, got 1.5"),
        (Cluster(gpus_per_actor=-1), "got -1"),
        (Cluster("nowhere"), "HOST:PORT of a Ray head, such as 10.0.0.5:6379, got 'nowhere'"),
        (Cluster("ray://10.0.0.5:10001"), "got 'ray://10.0.0.5:10001'"),
        (Cluster("10.0.0.5:99999"), "got '10.0.0.5:99999'"),
    ],
)
def test_numbers_and_addresses_that_cannot_be_used(cluster: Cluster, told: str) -> None:
    with pytest.raises(InputError, match=told):
        cluster.check(4)


def test_options_that_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster_of(None, None, None) is None
    assert cluster_of("local", None, 0.5) == Cluster("local", 2, 0.5)
    assert cluster_of(None, None, None, processes=3) == Cluster("local", 3)
    assert "--processes 3 is --cluster local --actors 3" in capsys.readouterr().err
    with pytest.raises(InputError, match="need --cluster"):
        cluster_of(None, 2, None)
    with pytest.raises(InputError, match="give one of them"):
        cluster_of("local", None, None, processes=2)


def test_an_address_where_no_head_answers() -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(InputError, match=f"no Ray head answers at 127.0.0.1:{port}: .*refused"):
        Session(Cluster(f"127.0.0.1:{port}"))
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        with pytest.raises(InputError, match=f"127.0.0.1:{port} is no Ray head"):
            Session(Cluster(f"127.0.0.1:{port}"))


def test_without_ray_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('not here')")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a", "text": "2 + 3?", "reference": "5", "answer_type": "integer"}\n')
    command = [sys.executable, "-m", "vitarmm_agent.cli", "eval", "--problems-path", str(rows)]
    command += ["--arms", "single", "--output-dir", str(tmp_path / "out"), "--processes", "2"]
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "--processes 2 is --cluster local --actors 2" in done.stderr
    assert 'pip install "vitarmm-agent[cluster]"' in " ".join(done.stderr.split())

"""Begin a Ray cluster on this machine, or join one; see that it has room, before anything is loaded.

A cluster of our own listens on the loopback interface alone, wants a token that nobody else has, and
keeps its files in a folder of this user. Ray reports nothing to its makers, and shows no dashboard.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vitarmm_agent.clip import one_line
from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.evals.cluster.scratch import Scratch

LOCAL = "local"
ANSWERS_WITHIN = 10.0
"""Seconds in which the head of a cluster must answer."""
STORE = 80 * 2**20
"""Bytes of Ray's object store, which hardly anything goes through; the least that Ray takes."""
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
"""How a gRPC client greets; a server answers with a frame of type 4, its settings."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""By this Ray takes 127.0.0.1 for this machine's address, on Linux too, and listens nowhere else."""

WORDS = 400
"""Characters that are told of an error of Ray's, which is often a page."""


@dataclass(frozen=True)
class Cluster:
    """Over what runs are spread.

    Attributes:
        address: ``local``, or the host and port of a cluster's head.
        actors: processes; each loads the models.
        gpus_per_actor: reserved for each; a fraction is shared. With 0 it sees what this process would.
    """

    address: str = LOCAL
    actors: int = 2
    gpus_per_actor: float = 0.0

    def check(self, workers: int) -> None:
        """Refuse numbers that cannot be used.

        Raises:
            InputError: there are fewer workers than actors, or a number is out of range.
        """
        if not 1 <= self.actors <= workers:
            raise InputError(f"actors must be from 1 to the workers ({workers}), got {self.actors}")
        gpus = self.gpus_per_actor
        if not (gpus >= 0 and (gpus < 1 or float(gpus).is_integer())):
            raise InputError(
                f"gpus-per-actor must be a whole number, or a share from 0 to 1, got {gpus}"
            )
        if self.address != LOCAL:
            _host_and_port(self.address)


class Session:
    """This process on a cluster, until :meth:`close`."""

    def __init__(self, cluster: Cluster) -> None:
        """Begin or join; a process that is on a cluster already stays there.

        Raises:
            MissingExtraError: Ray is not installed.
            InputError: the cluster cannot be joined, or has not the room.
        """
        try:
            _import_ray(cluster.address)
            import ray
        except ImportError:
            raise MissingExtraError("a cluster", "cluster") from None
        self.cluster = cluster
        self._scratch: Scratch | None = None
        self._joined = not ray.is_initialized()
        if self._joined:
            self._begin() if cluster.address == LOCAL else self._join()
        try:
            self._check_room()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the cluster, and end it if it is ours."""
        import ray

        if self._joined:
            ray.shutdown()
        if self._scratch is not None:
            self._scratch.close()

    def room(self) -> str:
        """In words, what the cluster has, and what of it is free."""
        import ray

        has, free = ray.cluster_resources(), ray.available_resources()
        parts = [
            f"{free.get(name, 0):g} of {has.get(name, 0):g} {what} free"
            for name, what in (("CPU", "CPUs"), ("GPU", "GPUs"))
        ]
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())
        return f"{' and '.join(parts)} on {nodes} node{'s' * (nodes != 1)}"

    def _check_room(self) -> None:
        import ray

        wanted = {"CPU": 1.0, "GPU": self.cluster.gpus_per_actor}
        has = ray.cluster_resources()
        if any(has.get(name, 0) < each * self.cluster.actors for name, each in wanted.items()):
            raise InputError(
                f"{self.cluster.actors} actors need {self.cluster.actors} CPUs and "
                f"{self.cluster.gpus_per_actor * self.cluster.actors:g} GPUs, and the cluster has "
                f"{self.room()}; ask for fewer actors, or start more nodes"
            )

    def _begin(self) -> None:
        self._scratch = Scratch("ray")  # Ray opens its own to all
        with _environment(QUIET | LOOPBACK | {"PYTHONSAFEPATH": "1"}):
            self._init(
                address=LOCAL, num_cpus=self.cluster.actors, object_store_memory=STORE,
                include_dashboard=False, _node_ip_address="127.0.0.1", _temp_dir=str(self._scratch.path / "r"),
            )  # fmt: skip

    def _join(self) -> None:
        host, port = _host_and_port(self.cluster.address)
        _check_answers(host, port)
        with _environment(QUIET | (LOOPBACK if _is_loopback(host) else {})):
            self._init(address=f"{host}:{port}")

    def _init(self, **options: Any) -> None:
        import ray
        from ray._private.worker import global_worker

        # Ray's workers look for modules in the directory that this process is in at that moment.
        with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
            try:
                ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
            except Exception as error:  # Ray raises that very class when a node is slow to begin
                self.close()
                raise InputError(
                    f"the Ray cluster {self.cluster.address!r} cannot be used: {one_line(str(error), WORDS)}"
                ) from None
        # What Ray has to say of its nodes it would print where the results go.
        worker: Any = global_worker
        worker.gcs_error_subscriber.close()


def _import_ray(address: str) -> None:
    """Import Ray, and say whether it is to know this machine by its loopback address.

    What it reads at import it is told then. Where a program has imported it before, a cluster of our own
    takes calls of every user of this machine.
    """
    local = address == LOCAL
    if local and "ray" not in sys.modules:
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    with _environment(QUIET):
        from ray._private import ray_constants
    loopback = local or _is_loopback(_host_and_port(address)[0])
    ray_constants.ENABLE_RAY_CLUSTER = not loopback


def _encrypted() -> bool:
    """Whether Ray is told to use TLS; then nobody else can greet for it."""
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            f"cluster must be 'local' or HOST:PORT of a Ray head, such as 10.0.0.5:6379, got {address!r}"
        )
    return host.strip("[]"), int(port)


def _check_answers(host: str, port: int) -> None:
    """Refuse an address where no Ray head answers; Ray itself waits for minutes, and ends the process."""
    hint = "is `ray start --head` running there, and does this machine reach it?"
    try:
        with socket.create_connection((host, port), timeout=ANSWERS_WITHIN) as connection:
            connection.sendall(HTTP2)
            answer = b"\0\0\0\x04" if _encrypted() else connection.recv(9)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"no Ray head answers at {host}:{port}: {reason}; {hint}") from None
    if len(answer) < 4 or answer[3] != 4:
        raise InputError(f"what answers at {host}:{port} is no Ray head; {hint}")


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Variables for what is begun meanwhile, and for the libraries that read them then."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

"""Two nodes, one of which is lost; a killed driver; a node with other code. Minutes, so by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vitarmm_agent
from tests.evals.cluster.served import pupil, served_plan
from tests.evals.cluster.test_actors import memories, threads
from tests.evals.pupil import benchmark_of, timeless
from tests.training.test_simulate import GARDEN, YARD, rows_file
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.cluster.session import LOOPBACK, QUIET, Cluster
from vitarmm_agent.evals.datasets.groups import OWN
from vitarmm_agent.evals.run.runner import evaluate
from vitarmm_agent.evals.speed.server import ScriptedServer, running
from vitarmm_agent.problem import Problem
from vitarmm_agent.training.simulate import simulate
from vitarmm_agent.training.simulated import SimulatedRow, SimulationConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RED = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJg"
    "gg=="
)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch, weights: Callable[[str], Path]) -> Iterator[Any]:
    """A head that runs nothing and two nodes."""
    weights("all-minilm-l6-v2")
    for name, value in (QUIET | LOOPBACK).items():
        monkeypatch.setenv(name, value)
    Nodes = pytest.importorskip("ray.cluster_utils").Cluster

    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    found = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    for _ in range(2):
        found.add_node(num_cpus=2, object_store_memory=80 * 2**20)
    found.wait_for_nodes()
    yield found
    found.shutdown()


def test_a_node_that_is_lost_loses_nothing(nodes: Any, tmp_path: Path) -> None:
    with served_plan(tmp_path / "alone") as plan:
        alone = asyncio.run(evaluate(plan))
    left, killed = iter(range(26)), threading.Event()

    def reply(request: dict[str, Any]) -> str:
        if next(left, None) == 25:
            nodes.list_all_nodes()[-1].kill_raylet()
            killed.set()
        time.sleep(0.1)
        return pupil(request)

    cluster = Cluster(nodes.address, actors=2)
    with served_plan(tmp_path / "spread", reply=reply, cluster=cluster) as plan:
        spread = asyncio.run(evaluate(plan))
    assert killed.is_set() and spread.stopped is None
    assert timeless(spread.samples) == timeless(alone.samples)
    assert len(plan.folder.samples_path.read_text().splitlines()) == len(alone.samples)
    assert memories(tmp_path / "spread") == memories(tmp_path / "alone")
    assert threads(tmp_path / "spread") == threads(tmp_path / "alone")


DRIVER = """
import asyncio, sys
from pathlib import Path
from tests.evals.cluster.served import served_plan
from vitarmm_agent.evals.cluster.session import Cluster
from vitarmm_agent.evals.datasets.groups import OWN
from vitarmm_agent.evals.run.runner import evaluate
from dataclasses import replace
from tests.evals.cluster.served import ARMS
with served_plan(Path(sys.argv[1]), cluster=Cluster(sys.argv[2], 2)) as plan:
    settings = plan.settings.model_copy(update={"base_url": sys.argv[3]})
    asyncio.run(evaluate(replace(plan, settings=settings)))
"""


def test_a_killed_driver_goes_on(nodes: Any, tmp_path: Path) -> None:
    with served_plan(tmp_path / "alone") as plan:
        alone = asyncio.run(evaluate(plan))
    out = tmp_path / "out"
    cluster = Cluster(nodes.address, actors=2)
    with running(ScriptedServer(pupil, latency=0.1)) as url:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(out), nodes.address, url], cwd=Path.cwd()
        )
        ledger = out / "samples.jsonl"
        while driver.poll() is None and (
            not ledger.exists() or len(ledger.read_text().splitlines()) < 4
        ):
            time.sleep(0.05)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        before = len(ledger.read_text().splitlines())
        assert 4 <= before < len(alone.samples)
        with served_plan(out, cluster=cluster) as plan:
            settings = plan.settings.model_copy(update={"base_url": url})
            outcome = asyncio.run(evaluate(replace(plan, settings=settings), resume=True))
    assert timeless(outcome.samples) == timeless(alone.samples)
    assert len(ledger.read_text().splitlines()) == len(alone.samples)
    assert memories(out) == memories(tmp_path / "alone")


def test_images_go_where_there_is_no_common_disk(nodes: Any, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    picture.write_bytes(base64.b64decode(RED))
    problem = Problem.parse(
        {"id": "red", "text": "How many pixels?", "images": [str(picture)], "reference": "25"}
    )
    seen = list[str]()

    def reply(request: dict[str, Any]) -> str:
        seen.append(json.dumps(request))
        return pupil(request)

    found = []
    for name, cluster in (("alone", None), ("spread", Cluster(nodes.address, actors=2))):
        one = benchmark_of((problem,))
        with served_plan(
            tmp_path / name, "single,within", reply, benchmarks=(one,), cluster=cluster
        ) as plan:
            found.append(timeless(asyncio.run(evaluate(plan)).samples))
    assert found[0] == found[1] and not any(sample["crash"] for sample in found[1].values())
    assert sum(RED in request for request in seen) == 2 * sum(
        RED in r for r in seen[: len(seen) // 2]
    )
    assert RED in seen[-1] or RED in seen[len(seen) // 2]
    stored = [p.name for p in (tmp_path / "spread" / "data" / "media").rglob("*.png")]
    assert len(stored) == 1


def test_a_node_with_other_code_is_named(nodes: Any, tmp_path: Path) -> None:
    other = tmp_path / "other" / "vitarmm_agent"
    shutil.copytree(Path(vitarmm_agent.__file__).parent, other)
    (other / "prompts" / "solve.md").write_text("Solve it.")
    for node in [*nodes.worker_nodes]:
        nodes.remove_node(node)
    path = os.pathsep.join(filter(None, [str(other.parent), os.environ.get("PYTHONPATH")]))
    nodes.add_node(num_cpus=2, object_store_memory=80 * 2**20, env_vars={"PYTHONPATH": path})
    with served_plan(tmp_path / "out", "single", cluster=Cluster(nodes.address, 1)) as plan:
        with pytest.raises(
            InputError, match=r"node 127.0.0.1 .* with other code; install the same"
        ):
            asyncio.run(evaluate(plan))


@pytest.mark.parametrize("siblings", [0, 2])
def test_a_simulation_has_the_rows_of_one_here(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: int
) -> None:
    texts = (GARDEN, YARD, GARDEN.replace("garden", "lawn"), YARD.replace("yard", "court"))
    file = OWN if siblings else rows_file(tmp_path, *texts)
    found = []
    with running(ScriptedServer(pupil)) as url:
        monkeypatch.setenv("VITARMM_BASE_URL", url)
        for name, cluster in (("alone", None), ("spread", Cluster(nodes.address, actors=2))):
            config = SimulationConfig.of(
                sources=[{"name": "gsm8k", "path": str(file)}], vita_model="openai:pupil",
                feedback_model="openai:pupil", rmm="openai:pupil", num_samples=4,
                feedback="reference" if siblings else "arithmetic", oracle=True, holdout=0.25,
                candidates=1, lanes=2, siblings=siblings,
            )  # fmt: skip
            out = tmp_path / name
            summary = asyncio.run(simulate(config, out, workers=2, cluster=cluster))
            assert summary.problems == 4 and not summary.crashes
            rows = (out / "simulate.jsonl").read_text().splitlines()
            found.append([SimulatedRow.model_validate_json(row) for row in rows])
    alone, spread = [
        {
            r.key: (
                r.passed, r.situations, r.crash, r.baselines, r.solutions,
                [(d.candidate, d.label, d.tried) for d in r.decisions],
                [(c.problem, c.solution and c.solution.text, c.siblings) for c in r.cases],
            )
            for r in rows
        }
        for rows in found
    ]  # fmt: skip
    assert alone == spread and len(spread) == 4
    assert siblings == 0 or any(d.tried for r in found[0] for d in r.decisions)

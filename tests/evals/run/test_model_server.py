"""All benchmarks and arms, with a real model server and with the same weights in this process.

``make test-server`` builds llama-cpp-python in a virtual environment of its own and runs this. In the
environment, ``VITARMM_SERVER_PYTHON`` names another Python that has it, ``VITARMM_SERVER_URL`` and
``VITARMM_SERVER_MODEL`` a server that runs already, and ``VITARMM_SERVER_OUT`` a folder that keeps the
evaluations; those of the same server that lie there are gone on with.
"""

from __future__ import annotations

import html
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from vitarmm_agent.effects import run
from vitarmm_agent.evals.run.arms import ARMS
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.calls import ask_structured
from vitarmm_agent.models.replies import cut_off
from vitarmm_agent.settings import DEFAULT_CHAT_MODEL, Settings
from vitarmm_agent.verifiers.judge import Judgement, judgement_schema

pytestmark = [pytest.mark.server, pytest.mark.timeout(7200)]
PYTHON = os.environ.get("VITARMM_SERVER_PYTHON", sys.executable)
NAME = os.environ.get("VITARMM_SERVER_MODEL", "same-weights")
ROWS, ORDERS, ATTEMPTS = 1, 3, 2
BENCHMARKS = ("gsm8k", "mathv", "mathvista", "mmlu")
PLAIN = {name: arm for name, arm in ARMS.items() if not arm.recurs}
KINDS = ("server", "local")


class Area(BaseModel):
    side: int
    area: int


@pytest.fixture(scope="module")
def base_url(weights: Callable[[str], Path], place: Path) -> Iterator[str]:
    """llama-cpp-python's server on the default local model's own file."""
    if running := os.environ.get("VITARMM_SERVER_URL"):
        yield running
        return
    probe = [PYTHON, "-c", "import llama_cpp.server.app"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip(
            f"{PYTHON} cannot run llama-cpp-python's server; run `make test-server`, or install "
            "it with: pip install 'llama-cpp-python[server]'"
        )
    file = weights(DEFAULT_CHAT_MODEL.removeprefix("local:"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = place / "server.log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            [PYTHON, "-m", "llama_cpp.server", "--model", str(file), "--model_alias", NAME,
             "--n_ctx", "8192", "--host", "127.0.0.1", "--port", str(port)],
            stdout=told, stderr=subprocess.STDOUT,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}/v1"
    try:
        _wait_for(url, process, log)
        yield url
    finally:
        process.kill()
        process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/models", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"the model server did not come up:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("VITARMM_SERVER_OUT")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        return Path(kept)
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def vitarmm(place: Path) -> Callable[..., str]:
    """Run the command line in a process of its own; what it prints."""
    environment = os.environ | {
        "VITARMM_DATA_DIR": str(place / "unused"),
        "VITARMM_CONFIG": str(place / "none.toml"),
        "no_proxy": "127.0.0.1",
        "COLUMNS": "120",
    }

    def start(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "vitarmm_agent.cli", *words],
            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        (place / f"{words[0]}-{len(list(place.glob('*.out')))}.out").write_text(done.stdout)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    return start


@pytest.fixture(scope="module")
def evaluations(
    base_url: str, shared: Path, place: Path, vitarmm: Callable[..., str]
) -> dict[str, Path]:
    """The folders of the same evaluation, with the server and without."""
    data = shared / "data"
    reasoners = {
        "server": ["--reasoner", f"openai:{NAME}", "--base-url", base_url],
        "local": ["--reasoner", DEFAULT_CHAT_MODEL],
    }
    folders = {}
    for kind, reasoner in reasoners.items():
        folders[kind] = place / kind
        vitarmm(
            "eval", *reasoner, "--feedback", "arithmetic,judge",
            "--gsm8k-path", str(data / "gsm8k_test.jsonl.gz"),
            "--mathv-path", str(data / "vision" / "problems.jsonl"),
            "--mathvista-path", str(data / "vision" / "problems.jsonl"),
            "--mmlu-path", str(data / "vision" / "mmlu_vision.jsonl"),
            "--train-path", str(data / "gsm8k_train.jsonl.gz"), "--train-size", "1",
            "--arms", ",".join(PLAIN), "--orders", str(ORDERS), "--sample-size", str(ROWS),
            "--images", "ocr", "--max-iterations", str(ATTEMPTS), "--max-tokens", "256",
            "--output-dir", str(folders[kind]), *["--resume"] * folders[kind].exists(),
        )  # fmt: skip
    return folders


def served(base_url: str, **options: Any) -> Any:
    return load_chat_model(f"openai:{NAME}", settings=Settings(base_url=base_url, **options))


def test_the_limit_of_new_tokens_holds(base_url: str) -> None:
    reply = served(base_url, max_tokens=12).invoke("Count from 1 to 200, in words.")
    assert isinstance(reply, AIMessage) and cut_off(reply)
    assert reply.usage_metadata is not None and reply.usage_metadata["output_tokens"] == 12


def test_sampling_has_a_seed(base_url: str) -> None:
    def told(seed: int) -> str:
        model = served(base_url, max_tokens=24, temperature=1.5, seed=seed)
        return str(model.invoke("Invent a long word.").text)

    told(1)  # the first reply to a prompt may differ: later ones reuse what was computed for it
    assert told(1) == told(1)
    assert len({told(seed) for seed in range(4)}) > 1


def test_schemas_hold(base_url: str) -> None:
    model = served(base_url, max_tokens=400)
    talk = [HumanMessage("A square has a perimeter of 20 cm. Give its side and its area as JSON.")]
    reply = run(ask_structured(model, Area, talk))
    assert isinstance(reply.parsed, Area), reply.error
    assert reply.usage.input_tokens > 20 and reply.usage.output_tokens > 5
    talk = [HumanMessage("Judge. 1. The side is 20 / 4 = 5. 2. The area is 5 * 5 = 25.")]
    judged = run(ask_structured(model, judgement_schema(2), talk))
    assert len(Judgement.model_validate(judged.parsed).steps) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_of_every_arm_is_there(evaluations: dict[str, Path], kind: str) -> None:
    place = EvaluationFolder(evaluations[kind])
    samples = place.samples()
    assert [(s.key, s.crash) for s in samples if s.crash] == []
    counted = Counter((s.arm, s.benchmark) for s in samples)
    assert counted == {
        (arm.name, benchmark): ROWS * (ORDERS if arm.ordered else 1)
        for arm in PLAIN.values()
        for benchmark in BENCHMARKS
    }
    assert len({s.key for s in samples}) == len(samples)
    assert all(s.attempts and s.usage.output_tokens > 0 for s in samples)
    assert {s.oracle for s in samples if s.arm != "oracle"} == {False}
    assert place.config().sessions[-1].ended == "finished"


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_did_what_the_loop_asks(evaluations: dict[str, Path], kind: str) -> None:
    """The judge gives advice and the writer entries: neither works where schemas do not hold."""
    samples = EvaluationFolder(evaluations[kind]).samples()
    loops = [s for s in samples if ARMS[s.arm].loop and s.arm != "oracle"]
    assert any("judge" in a.advice for s in loops for a in s.attempts)
    assert any(s.written for s in samples)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reports_open_offline(
    evaluations: dict[str, Path], kind: str, vitarmm: Callable[..., str]
) -> None:
    folder = evaluations[kind]
    report = json.loads((folder / "report.json").read_text())
    assert {line["arm"] for line in report["headline"]} == set(PLAIN)
    markdown = (folder / "report.md").read_text()
    assert all(f"| {name}" in markdown for name in PLAIN)
    exported = folder / "export.html"
    exported.unlink(missing_ok=True)
    told = vitarmm("eval", "export", str(folder), str(exported))
    runs = len(EvaluationFolder(folder).samples())
    assert f"{runs} runs" in told and "no readable trace" not in told
    for page in (folder / "report.html", exported):
        text = html.unescape(page.read_text())
        assert "default-src 'none'" in text
        assert not re.search(r"(src|href|srcset|action)\s*=\s*[\"']?(https?:)?//", text)
        assert not re.search(r"@import|url\((?!data:|#)", text)


def test_server_and_local_model_can_be_compared(
    evaluations: dict[str, Path], vitarmm: Callable[..., str]
) -> None:
    told = vitarmm("eval", "compare", *map(str, evaluations.values()), "--json")
    found = json.loads(told[told.index("{") :])
    assert found["objections"] == []
    assert {(row["first"], row["second"]) for row in found["rows"]}
    assert all(row["pairs"] == len(BENCHMARKS) * ROWS for row in found["rows"])

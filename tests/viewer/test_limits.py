"""What a visitor of the page may name and send, whatever they know."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.scripts import QUESTION
from tests.viewer.conftest import script, settings_in
from tests.viewer.forms import csrf, finished, send, thread_in
from vitarmm_agent.errors import InputError
from vitarmm_agent.settings import Settings
from vitarmm_agent.viewer import create_app
from vitarmm_agent.viewer.security import MAX_BODY
from vitarmm_agent.viewer.site import check_models


@pytest.fixture
def strict(tmp_path: Path) -> Settings:
    """A page whose operator allowed no further models."""
    return settings_in(tmp_path / "strict", page_models=())


def test_a_visitor_names_no_file_as_a_model(strict: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('[{"content": "TOP-SECRET"}]')
    with TestClient(create_app(strict), base_url="http://127.0.0.1:8765") as client:
        for role in ("reasoner", "judge", "rmm"):
            given = {role: f"scripted:{secret}"}
            asked = {"csrf": csrf(client), "text": QUESTION, **given}
            shown = client.post("/solve", data=asked)
            assert shown.status_code == 400 and "cannot be chosen on this page" in shown.text
            assert "TOP-SECRET" not in shown.text and QUESTION in shown.text
        text = send(client, "/solve", text=QUESTION, no_memory="on", max_iterations="1")
        assert "cannot be chosen" not in finished(client, thread_in(text))


@pytest.mark.parametrize(
    "spec",
    ["scripted:/etc/passwd", "local:/mailed/model", "local:smollm2-135m-instruct+/mailed/adapter",
     "vita:/mailed", "local:../x", "openai:gpt-5", "huggingface:evil/model", "ollama:x"],
)  # fmt: skip
def test_models_that_no_one_allowed(strict: Settings, spec: str) -> None:
    with pytest.raises(InputError, match="cannot be chosen"):
        check_models(strict, {"reasoner": spec})


def test_models_that_may_be_chosen(tmp_path: Path) -> None:
    own = script(tmp_path / "own.json", "x")
    settings = Settings.load(reasoner="openai:gpt-5", judge=own, page_models=("vita:/models/v",))
    for spec in ("openai:gpt-5-mini", "local:smollm2-135m-instruct", own, "vita:/models/v"):
        check_models(settings, {"reasoner": spec, "rmm": spec})
    check_models(settings, {"reasoner": "", "feedback": "arithmetic"})


def test_an_upload_is_read_no_further_than_a_form_may_be(strict: Settings) -> None:
    """A visitor streams without end: nothing of it is kept once it is too much."""
    with TestClient(create_app(strict), base_url="http://127.0.0.1:8765") as client:
        token = re.findall(r'name="csrf" value="([0-9a-f]{64})"', client.get("/solve").text)[0]
        cookie = "; ".join(f"{c.name}={c.value}" for c in client.cookies.jar)
        sent, answer = asyncio.run(endless_upload(client.app, cookie, token))
    assert answer == 413 and MAX_BODY <= sent < MAX_BODY + 2**22


async def endless_upload(app: Any, cookie: str, token: str) -> tuple[int, int]:
    head = (
        f'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{token}\r\n--x\r\n'
        'Content-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    ).encode()
    sent, status = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        body = head if sent == 0 else bytes(2**20)
        sent += len(body)
        assert sent < 2 * MAX_BODY, "it reads on"
        return {"type": "http.request", "body": body, "more_body": True}

    async def answer(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = {"host": "127.0.0.1:8765", "cookie": cookie,
               "content-type": "multipart/form-data; boundary=x"}  # fmt: skip
    scope = {
        "type": "http", "method": "POST", "path": "/solve", "raw_path": b"/solve",
        "query_string": b"", "scheme": "http", "http_version": "1.1", "root_path": "",
        "server": ("127.0.0.1", 8765), "client": ("127.0.0.1", 1),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()], "app": app,
    }  # fmt: skip
    await app(scope, receive, answer)
    return sent, status

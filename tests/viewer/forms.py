"""Forms of the page, and the page of a run that was begun with one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from starlette.testclient import TestClient


def csrf(client: TestClient) -> str:
    return re.findall(r'name="csrf" value="([0-9a-f]{64})"', client.get("/solve").text)[0]


def send(client: TestClient, path: str, **fields: str) -> str:
    """Post a form; the text of the page it leads to."""
    answer = client.post(path, data={"csrf": csrf(client), **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


def page_when(client: TestClient, thread: str, so: Callable[[str], bool]) -> str:
    """The page of a run, once it is so."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = client.get(f"/runs/{thread}").text
        if so(text):
            return text
        time.sleep(0.05)
    raise AssertionError("the run's page does not come to it")


def finished(client: TestClient, thread: str) -> str:
    """The page of a run, once it is over."""
    return page_when(client, thread, lambda text: "data-events" not in text)


def thread_in(text: str) -> str:
    return re.findall(r'data-live="/runs/([\w-]+)"', text)[0]

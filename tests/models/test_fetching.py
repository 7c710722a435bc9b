"""Web addresses of images: refused unless allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from tests.models.vita.conftest import noise, png
from tests.models.vita.tiny import Tiny
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MAX_BYTES
from vitarmm_agent.models.content import images_of
from vitarmm_agent.models.fetching import fetch_images
from vitarmm_agent.models.vita import VitaChatModel

PICTURE = png(noise(56, 56))


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/a.png": PICTURE, "/text": b"hello", "/huge": b"x" * (MAX_BYTES + 1)}.get(
            self.path
        )
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Tiny().write(tmp_path_factory.mktemp("vita") / "tiny")


def test_every_form_of_address_becomes_bytes(web):
    url = f"{web}/a.png"
    blocks = [
        {"type": "image", "url": url},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "image", "source": {"type": "url", "url": url}},
        {"type": "text", "text": f"see {url}"},
    ]
    plain = SystemMessage(url)
    fetched = fetch_images([plain, HumanMessage(blocks)])
    assert [image.data for image in images_of(fetched)] == [PICTURE] * 4
    assert fetched[0] == plain and fetched[1].content[-1] == blocks[-1]
    assert blocks[0] == {"type": "image", "url": url}  # the caller's are left alone


@pytest.mark.parametrize(
    ("path", "message"),
    [("/nowhere", "404"), ("/text", "not an image"), ("/huge", "more than")],
)
def test_addresses_that_give_no_image(web, path, message):
    with pytest.raises(InputError, match=message):
        fetch_images([HumanMessage([{"type": "image", "url": web + path}])])


def test_a_chat_model_fetches_only_when_allowed(web, folder):
    question = [HumanMessage([{"type": "image", "url": f"{web}/a.png"}])]
    with pytest.raises(InputError, match="not fetched over the network"):
        VitaChatModel.load(folder, max_tokens=2).invoke(question)
    allowed = VitaChatModel.load(folder, max_tokens=2, allow_urls=True)
    assert allowed.invoke(question).response_metadata["tiles_per_image"] == [1]

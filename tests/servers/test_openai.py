"""Where `openai:` models run, and what those that reason first are not told."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from pydantic import SecretStr

from tests.security.servers import echo_server
from tests.servers.canned import canned
from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.memory_store.embedding import embedding_dims, load_embeddings
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.retried import sampling
from vitarmm_agent.servers.openai import checked_address, is_openai
from vitarmm_agent.settings import Settings

OWN = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("OPENAI_", "AZURE_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("localhost:8000/v1", "write it so, such as http://localhost:8000/v1"),
        ("127.0.0.1:8000", "such as http://127.0.0.1:8000"),
        ("models.example.com/v1", "such as http://models.example.com/v1"),
        ("//localhost/v1", "such as http://localhost/v1"),
        ("ws://localhost/v1", "does not begin with http:// or https://"),
        ("file:///srv/model", "does not begin with http:// or https://"),
        ("http://", "names no host"),
        ("http:/localhost:8000/v1", "names no host"),
        ("http:///v1", "names no host"),
        ("http://local host/v1", "spaces inside"),
        ("http://localhost:8000 /v1", "spaces inside|no address"),
        ("http://localhost:80a/v1", "no address"),
        ("http://localhost:99999/v1", "no address"),
    ],
)
def test_an_address_that_cannot_be_used_says_what_to_write(address: str, remedy: str) -> None:
    with pytest.raises(InputError, match=f"base_url .*({remedy})"):
        load_chat_model("openai:m", settings=Settings(base_url=address))
    with pytest.raises(InputError, match=f"base_url .*({remedy})"):
        load_chat_model("openai:m", settings=Settings(), base_url=address)
    with pytest.raises(InputError, match=f"base_url .*({remedy})"):
        load_embeddings("openai:m", Settings(embedder_base_url=address))


@pytest.mark.parametrize(
    "address",
    [
        " http://localhost:8000/v1\n",
        "http://localhost:8000/v1/",
        "http://localhost:8000/v1//",
        "http://localhost:8000/v1/chat/completions",
        "http://localhost:8000/v1/chat/completions/",
        "http://localhost:8000/v1/completions",
        "http://localhost:8000/v1/embeddings",
        "http://localhost:8000/v1/responses",
        "http://localhost:8000/v1/models",
    ],
)
def test_an_address_of_a_call_is_that_of_its_server(address: str) -> None:
    assert checked_address(address) == ("http://localhost:8000/v1", {})


@pytest.mark.parametrize("end", ["", "/", "/chat/completions"])
def test_the_query_of_an_address_is_sent_with_each_call(end: str) -> None:
    """The OpenAI client would put the call's name behind it."""
    with echo_server(200) as server:
        url = f"http://127.0.0.1:{server.port}/v1{end}?api-version=2026-01-01"
        load_chat_model("openai:m", settings=Settings(base_url=url)).invoke("Hi")
    assert server.seen[0].startswith("POST /v1/chat/completions?api-version=2026-01-01\n")


def test_a_password_in_an_address_is_not_told() -> None:
    with pytest.raises(InputError) as raised:
        checked_address("ws://me:word@localhost:8000/v1?key=word")
    assert "word" not in str(raised.value)


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
def test_the_clients_own_variable_names_a_server_too(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, OWN)
    chat: Any = load_chat_model("openai:m", settings=Settings())
    assert chat.openai_api_base == OWN
    given: Any = load_chat_model("openai:m", settings=Settings(base_url="http://127.0.0.1:8/v1"))
    assert given.openai_api_base == "http://127.0.0.1:8/v1"


@pytest.mark.parametrize(
    ("address", "openai"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://proxy.example/api.openai.com/v1", False),
        ("https://notapi.openai.com.example/v1", False),
    ],
)
def test_whose_server_it_is(address: str | None, openai: bool) -> None:
    assert is_openai(address) is openai


def payload(name: str, base_url: str | None, **options: Any) -> dict[str, Any]:
    settings = Settings(base_url=base_url, max_tokens=7)
    model: Any = load_chat_model(f"openai:{name}", settings=settings, api_key="k", **options)
    again: Any = sampling(model, 0.7, "t/2")
    request: dict[str, Any] = model._get_request_payload([("user", "Hi")])
    assert ("temperature" in request) == (
        "temperature" in again._get_request_payload([("user", "Hi")])
    )
    return request


@pytest.mark.parametrize("base_url", [None, OWN])
@pytest.mark.parametrize(
    "name",
    ["o1", "o1-mini", "o3", "o3-mini", "o3-mini-2025-01-31", "o4-mini", "O3-Mini", "gpt-5",
     "gpt-5-mini", "gpt-5.1", "openai/o3-mini", "azure/gpt-5-nano", "ft:o4-mini:me::x"],
)  # fmt: skip
def test_a_model_that_reasons_is_told_no_temperature(name: str, base_url: str | None) -> None:
    request = payload(name, base_url)
    assert "temperature" not in request and "max_tokens" not in request
    assert request["max_completion_tokens"] == 7


@pytest.mark.parametrize(
    "name",
    ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "gpt-oss-20b", "marco-o1", "qwen3", "o1js"],
)
def test_others_are_told_the_temperature(name: str) -> None:
    request = payload(name, OWN)
    assert request["temperature"] == 0.0 and request["max_tokens"] == 7


def test_a_temperature_that_was_asked_for_is_sent() -> None:
    assert payload("o3-mini", None, temperature=1)["temperature"] == 1


class TestEmbedders:
    def test_a_missing_key_is_named_as_for_a_chat_model(self) -> None:
        with pytest.raises(InputError, match="no key for the openai embedders.*OPENAI_API_KEY"):
            load_embeddings("openai:text-embedding-3-small", Settings())
        with pytest.raises(InputError, match="azure_openai:x' cannot be used: Missing cred"):
            load_embeddings("azure_openai:x", Settings())

    def test_a_provider_that_is_not_installed_names_its_package(self) -> None:
        with pytest.raises(InputError, match="pip install langchain-cohere") as raised:
            load_embeddings("cohere:embed-v4", Settings())
        assert not isinstance(raised.value, MissingExtraError)

    @pytest.mark.parametrize("where", ["embedder_base_url", "base_url", "OPENAI_BASE_URL"])
    async def test_a_server_of_ones_own_is_sent_the_text_itself(
        self, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Token ids of OpenAI's tokenizer mean nothing there, and its file would be fetched from the web."""
        vectors = {"data": [{"index": 0, "object": "embedding", "embedding": [0.5, 0.5]}]}
        usage = {"model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        with canned(vectors | usage) as server:
            given = {} if where == "OPENAI_BASE_URL" else {where: server.url}
            if not given:
                monkeypatch.setenv(where, server.url)
            embedder = load_embeddings("openai:bge-m3", Settings(**given))
            assert embedding_dims(embedder) == 2
            assert await embedder.aembed_documents(["a"]) == [[0.5, 0.5]]
        assert len(server.seen) == 2 and '"input":["dimension"]' in server.seen[0]

    def test_its_own_server_comes_first(self) -> None:
        with echo_server(200) as chat:
            settings = Settings(base_url=f"http://127.0.0.1:{chat.port}/v1", embedder_base_url=OWN)
            embedder: Any = load_embeddings("openai:m", settings)
        assert embedder.inner.openai_api_base == OWN


@pytest.mark.parametrize(
    "key", ["k-x.Y_1", " k-x.Y_1\n", "Bearer k-x.Y_1", "bearer  k-x.Y_1 ", "BEARER\tk-x.Y_1\r\n"]
)
@pytest.mark.parametrize("given", ["environment", "option", "secret"])
def test_a_key_is_taken_out_of_what_was_copied_with_it(
    key: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}
    if given == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", key)
    else:
        options["api_key"] = key if given == "option" else SecretStr(key)
    with echo_server(200) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        load_chat_model("openai:m", settings=Settings(base_url=url), **options).invoke("Hi")
    assert re.search("^authorization: (.*)$", server.seen[0], re.MULTILINE)[1] == "Bearer k-x.Y_1"  # type: ignore[index]
    model: Any = load_chat_model("openai:gpt-4o", settings=Settings(), **options)
    assert model.root_client.api_key == "k-x.Y_1"


def test_a_key_may_be_a_function() -> None:
    with echo_server(200) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        settings = Settings(base_url=url)
        load_chat_model("openai:m", settings=settings, api_key=lambda: "k-made").invoke("Hi")
    assert "authorization: Bearer k-made" in server.seen[0]


@pytest.mark.parametrize("key", [" ", "Bearer", "bearer \n"])
def test_an_empty_key_is_none(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(InputError, match="no key for the openai models"):
        load_chat_model("openai:gpt-4o", settings=Settings())


@pytest.mark.parametrize(
    ("key", "odd"), [("sk-é-secret", "'é'"), ("sk-1\u200b", "u200b"), ("sk-1 sk-2", "' '")]
)
def test_a_key_that_no_header_takes_is_an_error_without_it(
    key: str, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for base_url in (None, OWN):
        with pytest.raises(InputError, match=f"API key has .*{odd}.*copy it again") as raised:
            load_chat_model("openai:m", settings=Settings(base_url=base_url))
        assert "sk-" not in str(raised.value)
        with pytest.raises(InputError, match="API key has"):
            load_embeddings("openai:m", Settings(embedder_base_url=base_url))

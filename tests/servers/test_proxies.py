"""Proxies of the environment, real ones on the loopback interface: heard by sync and async calls alike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from tests.security.servers import EchoServer, echo_server
from tests.servers.canned import canned
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.effects import arun, run
from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.memory_store.embedding import load_embeddings
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.models.calls import ask
from vitarmm_agent.settings import Settings

FAR = "http://models.test/v1"
"""No such name: who reaches it went through the proxy."""
TALK = [HumanMessage("What is 5 squared?")]


class Proxy(EchoServer):
    """Answers for whatever server it is asked for; a tunnel it refuses, and tells of."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked_for(self) -> list[str]:
        return [told.splitlines()[0] for told in self.seen]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy(200)
    yield proxy
    proxy.http.shutdown()
    proxy.http.server_close()


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("OPENAI_"):
            monkeypatch.delenv(name)


def model(url: str, **options: Any) -> Any:
    return load_chat_model("openai:m", settings=Settings(base_url=url), max_retries=0, **options)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_proxy_is_heard_by_every_kind_of_call(
    variable: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    for streaming in (False, True):
        asked = model(FAR, streaming=streaming)
        assert run(ask(asked, TALK)).message.text == "Answer: 25"
        assert (await arun(ask(asked, TALK))).message.text == "Answer: 25"
    assert proxy.asked_for() == ["POST http://models.test/v1/chat/completions"] * 4


async def test_an_agent_solves_through_a_proxy(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    agent = ReasoningAgent.open(reasoner="openai:m", memory="off", base_url=FAR)
    assert agent.solve("What is 5 squared?").answer == "25"
    assert (await agent.asolve("What is 5 squared?")).answer == "25"
    assert set(proxy.asked_for()) == {"POST http://models.test/v1/chat/completions"}


async def test_an_embedder_goes_through_it_too(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = {"data": [{"index": 0, "object": "embedding", "embedding": [0.5, 0.5]}], "model": "m"}
    with canned(vectors | {"usage": {"prompt_tokens": 1, "total_tokens": 1}}) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        embedder = load_embeddings("openai:m", Settings(embedder_base_url=FAR))
        assert embedder.embed_query("a") == [0.5, 0.5]
        assert await embedder.aembed_query("b") == [0.5, 0.5]
    assert [told.splitlines()[0] for told in server.seen] == [
        "POST http://models.test/v1/embeddings"
    ] * 2


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_tunnel_is_asked_for_where_the_server_is_secure(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with echo_server(502) as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        asked = model("https://models.test/v1")
        with pytest.raises(ModelServerError):
            run(ask(asked, TALK))
        with pytest.raises(ModelServerError):
            await arun(ask(asked, TALK))
    assert [told.splitlines()[0] for told in proxy.seen] == ["CONNECT models.test:443"] * 2


@pytest.mark.parametrize("exempt", ["127.0.0.1", "models.test,127.0.0.1", "*"])
async def test_no_proxy_names_servers_that_are_reached_directly(
    exempt: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", exempt)
    with echo_server(200) as server:
        asked = model(f"http://127.0.0.1:{server.port}/v1")
        assert run(ask(asked, TALK)).message.text == "Answer: 25"
        assert (await arun(ask(asked, TALK))).message.text == "Answer: 25"
    assert len(server.seen) == 2 and not proxy.seen


@pytest.mark.parametrize(
    ("variable", "address", "exempt"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "127.0.0.1"),
        ("all_proxy", "socks5h://127.0.0.1:9", "localhost, 127.0.0.1"),
        ("ALL_PROXY", "socks://127.0.0.1:9", "127.0.0.1"),
        ("ALL_PROXY", "socks4://127.0.0.1:9", "*"),
        ("HTTP_PROXY", "http://127.0.0.1:port", "127.0.0.1:{port}"),
        ("HTTPS_PROXY", "socks5://127.0.0.1:9", ""),
        ("ftp_proxy", "nonsense://", ""),
    ],
)
async def test_a_proxy_that_is_not_on_the_way_stops_nothing(
    variable: str, address: str, exempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it could not be used: the HTTP library would open it all the same."""
    monkeypatch.setenv(variable, address)
    with echo_server(200) as server:
        monkeypatch.setenv("NO_PROXY", exempt.format(port=server.port))
        asked = model(f"http://127.0.0.1:{server.port}/v1")
        assert run(ask(asked, TALK)).message.text == "Answer: 25"
        assert (await arun(ask(asked, TALK))).message.text == "Answer: 25"


def test_an_address_in_brackets_is_exempt_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "::1")
    assert model("http://[::1]:9/v1")


def test_langchain_does_not_warn_that_proxies_are_disabled(proxy: Proxy) -> None:
    """It means its own clients, which are not used; it says so once in a process."""
    code = (
        "from vitarmm_agent.models import load_chat_model\n"
        "from vitarmm_agent.settings import Settings\n"
        f"model = load_chat_model('openai:m', settings=Settings(base_url={FAR!r}))\n"
        "print(model.invoke('Hi').text)"
    )
    environment = os.environ | {"HTTP_PROXY": proxy.url}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("Answer: 25\n", "")


def test_a_proxy_that_is_set_later_counts(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, where the first try failed."""
    with pytest.raises(ModelServerError, match="cannot be reached"):
        run(ask(model("http://127.0.0.1:9/v1"), TALK))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    assert run(ask(model(FAR), TALK)).message.text == "Answer: 25"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("socks5://me:word@127.0.0.1:9", "needs the package socksio.*pip install socksio"),
        ("socks5h://127.0.0.1:9", "needs the package socksio"),
        ("socks://me:word@127.0.0.1:9", "socks5://.*needs the package socksio"),
        ("ftp://127.0.0.1:9", "Unknown scheme"),
        ("http://127.0.0.1:port", "Invalid port"),
    ],
)
@pytest.mark.parametrize("what", ["chat", "embedder"])
def test_a_proxy_that_cannot_be_used_is_named(
    what: str, address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    if "socks" in address and _is_there("socksio"):
        pytest.skip("socksio is installed here")
    monkeypatch.setenv("ALL_PROXY", address)
    load: Callable[[], Any] = (
        (lambda: model(FAR))
        if what == "chat"
        else (lambda: load_embeddings("openai:m", Settings(base_url=FAR)))
    )
    with pytest.raises(InputError, match=f"the proxy of the environment.*{reason}") as raised:
        load()
    assert address.rpartition("@")[2] in str(raised.value) and "word" not in str(raised.value)


def _is_there(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None

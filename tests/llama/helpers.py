"""How the tests ask a server; imports nothing heavy, since processes begun by tests import it."""

from __future__ import annotations

from collections.abc import Iterator

from vitarmm_agent.llama.process import Options

OPTIONS = Options(context=256, slots=2, cache_mb=16)
CHAT = "/v1/chat/completions"


def asked(tokens: int = 8, **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "Hi"}]
    return {"messages": messages, "max_tokens": tokens, "temperature": 0, "stream": True} | more


def text_of(events: Iterator[dict[str, object]]) -> str:
    choices = [event["choices"][0] for event in events if event.get("choices")]  # type: ignore[index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)

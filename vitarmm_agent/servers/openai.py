"""Where the models of specs ``openai:NAME`` run: at OpenAI, or at a server that speaks its protocol."""

from __future__ import annotations

import os
import re
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from vitarmm_agent.errors import InputError
from vitarmm_agent.redaction import keep_secret, public_address

OPENAI = "api.openai.com"
"""Where the ``openai:`` models are that need no care for other servers' dialects."""
_CALLS = re.compile(r"/+(chat/completions|completions|embeddings|responses|models)?/*$")
"""What follows the base of an address; people copy the whole of it."""
_THINKS = re.compile(r"(^|[/:])(o\d+|gpt-[5-9])(?![a-z])(?!.*-chat)", re.IGNORECASE)


def server(what: str, base_url: str | None, key: Any = None) -> dict[str, Any]:
    """Address and key, as options of a LangChain model; a server of one's own needs no key.

    Args:
        what: is to run there, for the error.
        base_url: of the settings or options; of the environment where it is None.
        key: of the options: text, LangChain's secret text, or a function that gives it.

    Raises:
        InputError: the address or key cannot be used, or there is neither an address nor a key.
    """
    key = key.get_secret_value() if hasattr(key, "get_secret_value") else key
    key = key or os.environ.get("OPENAI_API_KEY")
    key = checked_key(key) if isinstance(key, str) else key
    for variable in ("OPENAI_API_BASE", "OPENAI_BASE_URL"):
        base_url = base_url or os.environ.get(variable)
    if base_url:
        address, query = checked_address(base_url)
        more = {"default_query": query} if query else {}
        return {"base_url": address, "api_key": key or "none", **more}
    if not key:
        raise InputError(
            f"no key for {what}: set OPENAI_API_KEY, or base_url to a server of your own"
        )
    return {"api_key": key}


def checked_key(key: str) -> str:
    """A key as a header takes it; what was copied with it is taken off: spaces, ``Bearer``.

    Raises:
        InputError: a character that no header may have. The key is not shown.
    """
    key = re.sub(r"^bearer(\s+|$)", "", key.strip(), count=1, flags=re.IGNORECASE | re.ASCII)
    keep_secret(key)
    odd = next((at for at, letter in enumerate(key) if not "!" <= letter <= "~"), None)
    if odd is not None:
        raise InputError(
            f"the API key has {key[odd]!r} as its character {odd + 1} of {len(key)}, which no key has; "
            "copy it again"
        )
    return key


def client_errors() -> tuple[type[Exception], ...]:
    """What making a client raises where it lacks something, such as a key."""
    openai = sys.modules.get("openai")
    return (ValueError, openai.OpenAIError) if openai else (ValueError,)


def is_openai(base_url: str | None) -> bool:
    """Whether an address is OpenAI's own, perhaps of a region; None is."""
    host = OPENAI if base_url is None else urlsplit(base_url).hostname or ""
    return f".{host}".endswith(f".{OPENAI}")


def thinks(model: str) -> bool:
    """Whether a name is that of a model of OpenAI's which reasons first.

    Such models refuse to be told a temperature, and the older name of the limit of new tokens.
    """
    return bool(_THINKS.search(model))


def checked_address(base_url: str) -> tuple[str, dict[str, str]]:
    """An address as the client takes it, which puts the names of calls behind it; and its query.

    Spaces around it, and the name of a call that was copied with it, are taken off.

    Raises:
        InputError: it has no scheme, no host, or spaces inside.
    """
    address = base_url.strip()
    shown = f"base_url {public_address(address)!r}"
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{shown} is no address: {error}; write {_EXAMPLE}") from None
    if re.search(r"\s", address):
        raise InputError(f"{shown} has spaces inside; write {_EXAMPLE}")
    if parts.scheme not in ("http", "https"):
        likely = "" if "://" in address else f", such as http://{address.lstrip('/')}"
        raise InputError(f"{shown} does not begin with http:// or https://; write it so{likely}")
    if not host:
        raise InputError(f"{shown} names no host; write {_EXAMPLE}")
    base = urlunsplit(parts._replace(path=_CALLS.sub("", parts.path), query="", fragment=""))
    return base, dict(parse_qsl(parts.query))


_EXAMPLE = "it like http://localhost:8000/v1"

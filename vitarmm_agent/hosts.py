"""Which requests of a browser are meant for a server of ours: by Host and Origin.

Another site can send a browser here in two ways: a request across origins, and a name of its own that
it points at this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def host_name(host: str) -> str:
    """Name in a Host header, without port or brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def is_address(name: str) -> bool:
    """Whether a host name is an IP address, which no rebinding can fake."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_own_origin(origin: str | None, fetched_from: str | None, host: str) -> bool:
    """Whether a request comes from a page of this very server, or from no page at all.

    Args:
        origin: the Origin header.
        fetched_from: the Sec-Fetch-Site header, which all current browsers send.
        host: the Host header.
    """
    if (fetched_from or "none") not in ("same-origin", "none"):
        return False
    return origin is None or origin.partition("://")[2] == host


def bearer_token(authorization: str) -> str:
    """The token in an Authorization header ``Bearer TOKEN``, the scheme in any case; else nothing."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""

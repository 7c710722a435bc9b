"""Secrets kept out of text: of errors, logs, traces, and of whatever is written or mailed.

Known are the values of environment variables whose names say so, and what :func:`keep_secret` was told.
Others are known by their look: ``sk-…``, ``Bearer …``, and what a web address has before its host and
after its path.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

SECRET = "[secret]"
SHORTEST = 8
"""Characters of a secret that is looked for; a shorter one would blank out common words."""
SHORTEST_PASSWORD = 6
"""Of a password in an address that was given to us."""

_NAMES = re.compile(
    r"API_?KEY|(?:^|_)KEYS?(?:_|\d|$)|TOKEN(?!IZ)|SECRET|PASSWORD|PASSWD|PASSPHRASE|PASS$|_PWD$",
    re.IGNORECASE,
)
_LOOKS = (
    (re.compile(r"\b(Bearer|Basic)\s{1,4}[A-Za-z0-9._~+/=*-]{8,}"), rf"\1 {SECRET}"),
    (re.compile(r"\bsk-[\w*.-]{6,}"), f"sk-{SECRET}"),
    (re.compile(r"\b(hf|gsk|ghp|gho|github_pat|lsv2|xox[abp])[-_][\w-]{8,}"), rf"\1_{SECRET}"),
    (re.compile(r"(?<=://)[^/\s?#'\"]{1,500}@"), f"{SECRET}@"),
    (re.compile(r"(https?://[^\s'\"?#<>]{1,2000}\?)[^\s'\"<>)]+"), rf"\1{SECRET}"),
)
_kept: dict[str, None] = {}
"""In the order in which they were given."""


def redact(text: str) -> str:
    """``text`` with each secret in it replaced by ``[secret]``."""
    for value in sorted(_known(), key=len, reverse=True):
        if value in text:
            text = text.replace(value, SECRET)
    for pattern, replacement in _LOOKS:
        text = pattern.sub(replacement, text)
    return text


def holds_secret(text: str) -> bool:
    """Whether a known secret is in ``text``; what only looks like one does not count."""
    return any(value in text for value in _known())


def keep_secret(*values: str | None, shortest: int = SHORTEST) -> None:
    """Have these values redacted in this process from now on; what is too short is passed over."""
    for value in values:
        if value and len(value) >= shortest:
            _kept[value] = None
            _kept[json.dumps(value)[1:-1]] = None


def keep_secrets_of_address(address: str) -> None:
    """Have name, password and query of an address redacted, in the forms in which servers echo them.

    A database's name of a user and its options are no secrets, and may be common words.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    database = parts.scheme.startswith("postgres")
    name, password = (unquote(part or "") for part in (parts.username, parts.password))
    if password or (name and not database):
        sent = base64.b64encode(f"{name}:{password}".encode()).decode()
        keep_secret(f"{name}:{password}", sent)
        keep_secret(password, quote(password, safe=""), shortest=SHORTEST_PASSWORD)
    for option, value in parse_qsl(parts.query):
        if _NAMES.search(option) or not database:
            keep_secret(value, quote(value, safe=""))


def keep_secrets_of_data(data: Any) -> None:
    """Have every text within plain data redacted that is long enough to be a secret."""
    keep_secret(*_texts(data))


def public_address(address: str) -> str:
    """A web address that may be shown: without name, password, query and fragment."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return SECRET
    if "://" not in address or not (parts.query or parts.fragment or "@" in address):
        return address  # a path, or an address that says no more than where the server is
    if "@" not in parts.netloc and "@" in address and _cut_apart(parts):
        place = re.split(r"[?#]", address.rpartition("@")[2])[0]
        return f"{parts.scheme}://{place}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _cut_apart(parts: SplitResult) -> bool:
    """Whether name and password were taken for host and port: the password has a sign that is not quoted."""
    port = parts.netloc.partition(":")[2]
    return parts.scheme.startswith("postgres") or not (port.isdigit() or ":" not in parts.netloc)


def fingerprint(data: Any) -> str:
    """A short hash of plain data, by which it can be compared and not be read."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def redact_logs() -> None:
    """Redact what is logged in this process from now on. For processes of ours, not for libraries."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        _redact_record(record)
        return record

    redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(redacted)


def _redact_record(record: logging.LogRecord) -> None:
    if isinstance(record.msg, str):
        record.msg = redact(record.msg)
    if isinstance(record.args, Mapping):
        record.args = {name: _redacted(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(map(_redacted, record.args))
    if record.exc_info and record.exc_info[1] is not None:
        told = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        if (clean := redact(told)) != told:
            record.msg, record.args = f"{record.getMessage()}\n{clean}", ()
            record.exc_info = None


def _redacted(value: object) -> object:
    if value is None or isinstance(value, (int, float)):
        return value
    text = str(value)
    clean = redact(text)
    return value if clean == text else clean


def _known() -> set[str]:
    named = {
        value.strip()
        for name, value in os.environ.items()
        if len(value) >= SHORTEST and _NAMES.search(name)
    }
    return named | _kept.keys()


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _texts(value)

"""A hook of mkdocs: cross-references of docstrings, ``:class:`~a.b.C```, become plain code, ``C``."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:class|meth|func|attr|mod|data|exc|obj):<code>([^<]*)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """The page without the names of roles, which mkdocstrings does not know."""
    return ROLE.sub(lambda found: f"<code>{short(found[1])}</code>", html)


def short(target: str) -> str:
    """What Sphinx would show: the last part behind ``~``, and no leading dot."""
    return target.rpartition(".")[2] if target[:1] == "~" else target.lstrip(".")

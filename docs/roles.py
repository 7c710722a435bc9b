"""Hooks of mkdocs: what the tests and Sphinx read in our pages and mkdocs does not.

``notest`` behind a fence's language is for the tests. Cross-references of docstrings, ``:class:`~a.b.C```,
become plain code, ``C``.
"""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:class|meth|func|attr|mod|data|exc|obj):<code>([^<]*)</code>")
NOTEST = re.compile(r"^( *```\w+) notest$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with fences that mkdocs knows: with a word behind the language it draws none."""
    return NOTEST.sub(r"\1", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """The page without the names of roles, which mkdocstrings does not know."""
    return ROLE.sub(lambda found: f"<code>{short(found[1])}</code>", html)


def short(target: str) -> str:
    """What Sphinx would show: the last part behind ``~``, and no leading dot."""
    return target.rpartition(".")[2] if target[:1] == "~" else target.lstrip(".")

"""A run as one HTML file: opens without network, can be mailed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from markupsafe import Markup

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.traces import Trace
from vitarmm_agent.viewer.render import page, static_bytes, static_text
from vitarmm_agent.viewer.run_view import run_context, view_of

_FONT = re.compile(r"url\((fonts/[\w-]+\.woff2)\)")


def export_html(trace: Trace, media: MediaStore) -> str:
    """The page of a run with its images, styles and script inside.

    A policy in the file lets only these very scripts run, and nothing be fetched. KaTeX and its
    fonts are put in only where the run holds a formula.
    """
    body = run_body(trace, images_of(trace, media))
    parts = Parts.of([body])
    return page(
        "export",
        result=trace.result,
        view=view_of(trace),
        body=Markup(body),
        styles=[Markup(text) for text in parts.styles],
        scripts=[Markup(text) for text in parts.scripts],
        policy=parts.policy,
    )


@dataclass(frozen=True)
class Parts:
    """Styles and scripts that exported runs need, as text."""

    styles: tuple[str, ...]
    scripts: tuple[str, ...]

    @classmethod
    def of(cls, bodies: Iterable[str], *more: str) -> Parts:
        """What these bodies need, and then the named static scripts; KaTeX only for formulas."""
        formulas = any('class="tex"' in body for body in bodies)
        scripts = ["katex/katex.min.js"] * formulas + ["app.js", *more]
        styles = (static_text("app.css"), *([_katex_css()] if formulas else []))
        return cls(styles, tuple(static_text(name) for name in scripts))

    @property
    def policy(self) -> str:
        """Lets these very scripts run, and nothing be fetched."""
        hashes = " ".join(f"'sha256-{_sha(text)}'" for text in self.scripts)
        return (
            "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
            f"script-src {hashes}"
        )


def run_body(trace: Trace, image_of: dict[str, str]) -> str:
    """What the page of a run shows, with the addresses of its images by hash."""
    context = run_context(trace, live=None, thread=trace.result.thread_id)
    return page("run_body", **context, exported=True, image_of=image_of)


def images_of(trace: Trace, media: MediaStore) -> dict[str, str]:
    """Data URLs of the run's images by hash; those that are missing are left out."""
    hashes = {image.sha256 for image in trace.result.problem.images}
    for attempt in trace.result.attempts:
        hashes |= set(re.findall(r'"sha256": "([0-9a-f]{64})"', json.dumps(attempt.prompt)))
    found = {}
    for sha256 in sorted(hashes):
        with suppress(InputError):
            found[sha256] = media.data_url(sha256)
    return found


def _katex_css() -> str:
    def inline(match: re.Match[str]) -> str:
        font = base64.b64encode(static_bytes(f"katex/{match.group(1)}")).decode()
        return f"url(data:font/woff2;base64,{font})"

    return _FONT.sub(inline, static_text("katex/katex.min.css"))


def _sha(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

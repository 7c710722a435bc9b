"""Many runs as parts of one HTML file: each is shown when the address names it.

The runs lie in ``<template>`` elements, which a browser neither draws nor loads images for, so that a
file with hundreds of runs opens at once. An image that several runs share is in the file once.
"""

from __future__ import annotations

import json

from markupsafe import Markup

from vitarmm_agent.media import MediaStore
from vitarmm_agent.traces import Trace
from vitarmm_agent.viewer.export import Parts, images_of, run_body

SCRIPT = "run_collection.js"


class RunCollection:
    """Collects runs; then gives what goes into the head and the body of a file."""

    def __init__(self, media: MediaStore) -> None:
        """Take images from ``media``."""
        self._media = media
        self._runs: list[str] = []
        self._images: dict[str, str] = {}
        self._parts: Parts | None = None

    def add(self, trace: Trace) -> str:
        """Put a run in; returns the address within the file that shows it."""
        images = images_of(trace, self._media)
        self._images |= images
        self._runs.append(run_body(trace, {sha256: f"image:{sha256}" for sha256 in images}))
        return f"#run-{len(self._runs)}"

    @property
    def policy(self) -> str:
        """The file's Content-Security-Policy."""
        return self._needed().policy

    def head(self) -> str:
        """Styles, for the end of the head."""
        return "".join(f"<style>{text}</style>" for text in self._needed().styles)

    def body(self) -> str:
        """The place where a run is shown, the runs, their images and the scripts."""
        runs = (
            f'<template id="run-{number}">{body}</template>\n'
            for number, body in enumerate(self._runs, 1)
        )
        images = Markup(json.dumps(self._images).replace("<", "\\u003c"))
        scripts = "".join(f"<script>{text}</script>" for text in self._needed().scripts)
        return (
            '<main id="main" data-collection hidden><p><a href="#samples">All runs</a></p>'
            '<div class="stack" data-run></div></main>\n'
            '<noscript><p class="note">Runs are shown by a script in this file.</p></noscript>\n'
            f'<script type="application/json" id="images">{images}</script>\n'
            f"{''.join(runs)}{scripts}"
        )

    def _needed(self) -> Parts:
        if self._parts is None:
            self._parts = Parts.of(self._runs, SCRIPT)
        return self._parts

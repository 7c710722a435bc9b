"""Templates and what they may use. Autoescaping is on; every value passes through ``visible``."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

from vitarmm_agent.viewer import drawing, markdown, text
from vitarmm_agent.viewer.run_view import model_calls, prompt_parts


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The one template environment."""
    env = Environment(
        loader=PackageLoader("vitarmm_agent.viewer", "templates"),
        autoescape=True,
        finalize=text.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "part": part,
        "rich": markdown.inline,
        "prose": markdown.prose,
        "ago": text.ago,
        "when": text.when,
        "seconds": text.seconds,
        "number": text.number,
        "clip": text.clip,
        "pretty": pretty,
        "prompt_parts": prompt_parts,
        "model_calls": model_calls,
        "from_time": text.from_time,
    }
    env.globals |= {"machine": drawing.state_machine, "bar": drawing.bar, "signed": signed}
    return env


def compile_templates() -> None:
    """Compile all templates, so that no visitor waits for it."""
    for name in environment().list_templates():
        environment().get_template(name)


def page(name: str, **context: Any) -> str:
    """One template, rendered."""
    return environment().get_template(f"{name}.html").render(**context)


def static_text(name: str) -> str:
    """A static file as text."""
    return resources.files("vitarmm_agent.viewer").joinpath("static", name).read_text("utf-8")


def static_bytes(name: str) -> bytes:
    """A static file as bytes."""
    return resources.files("vitarmm_agent.viewer").joinpath("static", name).read_bytes()


def part(value: object) -> str:
    """A part of an address: a slash in it is quoted, too."""
    return quote(str(value), safe="")


def pretty(value: Any) -> str:
    """Data as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def signed(value: float) -> str:
    """``+0.12`` or ``−0.05``."""
    return f"{value:+.2f}".replace("-", "−")

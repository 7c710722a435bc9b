"""One ``.md`` template per prompt, and the renderer.

Templates are Jinja2 with StrictUndefined: a variable that is not given is an error, never an
empty string.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vitarmm_agent", "prompts"),
        undefined=StrictUndefined,
        auto_reload=False,  # else each prompt costs a look at its file
        autoescape=False,  # prompts are plain text, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


def render(name: str, /, **variables: Any) -> str:
    """Render ``prompts/<name>.md`` with exactly the variables it names.

    Raises:
        jinja2.UndefinedError: the template uses a variable that was not given.
        jinja2.TemplateNotFound: there is no such template.
    """
    return _environment().get_template(f"{name}.md").render(**variables).strip()

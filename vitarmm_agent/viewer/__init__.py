"""The web page: runs, memory and a form to start a run. Starlette, templates, a little JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.viewer.app import create_app
    from vitarmm_agent.viewer.export import export_html

__all__ = ["create_app", "export_html"]

__getattr__ = lazy_names(__name__, {"create_app": "app", "export_html": "export"})

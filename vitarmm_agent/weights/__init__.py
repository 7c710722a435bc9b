"""Model weights: a closed catalogue, and a cache of what has been pulled.

from vitarmm_agent.weights import pull, resolve

pull("qwen2.5-coder-0.5b-instruct", settings.home)
path = resolve("qwen2.5-coder-0.5b-instruct", settings.home)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.weights.catalog import CATALOG, WeightsEntry
    from vitarmm_agent.weights.store import Installed, installed, pull, remove, resolve

__all__ = ["CATALOG", "Installed", "WeightsEntry", "installed", "pull", "remove", "resolve"]

__getattr__ = lazy_names(
    __name__,
    {
        "CATALOG": "catalog",
        "WeightsEntry": "catalog",
        "Installed": "store",
        "installed": "store",
        "pull": "store",
        "remove": "store",
        "resolve": "store",
    },
)

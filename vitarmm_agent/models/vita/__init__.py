"""VITA-1.5 (and VITA-1.0) as transformers classes and as a LangChain chat model.

    from vitarmm_agent.models.vita import VitaForConditionalGeneration, VitaProcessor

    model = VitaForConditionalGeneration.from_pretrained("/weights/VITA-1.5")
    processor = VitaProcessor.from_pretrained("/weights/VITA-1.5")

Importing a class also registers it with the Auto classes of transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.models.vita.chat import VitaChatModel
    from vitarmm_agent.models.vita.configuration import VitaConfig
    from vitarmm_agent.models.vita.modeling import VitaForConditionalGeneration
    from vitarmm_agent.models.vita.processing import VitaProcessor

__all__ = ["VitaChatModel", "VitaConfig", "VitaForConditionalGeneration", "VitaProcessor"]

__getattr__ = lazy_names(
    __name__,
    {
        "VitaChatModel": "chat",
        "VitaConfig": "configuration",
        "VitaForConditionalGeneration": "modeling",
        "VitaProcessor": "processing",
    },
)

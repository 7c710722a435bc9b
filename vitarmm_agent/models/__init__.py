"""Chat models: a spec ("local:NAME", "vita:PATH", "openai:…") becomes a LangChain chat model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.models.folder import FolderChatModel
    from vitarmm_agent.models.load import load_chat_model
    from vitarmm_agent.models.local import LocalChatModel
    from vitarmm_agent.models.scripted import ScriptedChatModel, ScriptExhaustedError

__all__ = [
    "FolderChatModel",
    "LocalChatModel",
    "ScriptExhaustedError",
    "ScriptedChatModel",
    "load_chat_model",
]

__getattr__ = lazy_names(
    __name__,
    {
        "FolderChatModel": "folder",
        "LocalChatModel": "local",
        "ScriptExhaustedError": "scripted",
        "ScriptedChatModel": "scripted",
        "load_chat_model": "load",
    },
)

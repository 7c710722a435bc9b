"""How a model folder of someone else's is opened: its files are data, and nothing is fetched.

Code in a folder is never run, nor asked about; weights are safetensors, since a pickle is code; and a
folder that names another on a hub does not make anyone ask there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""For ``from_pretrained`` of configurations, tokenizers and processors."""
WEIGHTS: dict[str, Any] = FOLDER | {"use_safetensors": True}
"""For ``from_pretrained`` of models."""


def reason(folder: Path, error: BaseException) -> str:
    """Why ``from_pretrained`` failed, without the advice to trust the folder's code or pickles."""
    text = str(error).strip() or type(error).__name__
    if "trust_remote_code" in text or "custom code" in text:
        return "it needs Python code of its own, which is not run; use a model transformers knows"
    pickles = [file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern)]
    if pickles and not any(folder.glob("*.safetensors")):
        return (
            f"its weights are pickles ({', '.join(sorted(pickles)[:3])}), which may run code when "
            "they are opened; convert them to safetensors where they come from"
        )
    return text

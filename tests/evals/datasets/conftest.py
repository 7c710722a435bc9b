"""An image that rows can name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (32, 16), "red").save(folder / "7.jpg", format="PNG")
    return folder

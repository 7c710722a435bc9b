"""Records whose fields can be read as those of plain data, too."""

from __future__ import annotations

from typing import Any


class ByName:
    """Reads a field as ``record["note"]`` and ``record.get("note")``, as where it is plain data."""

    def __getitem__(self, name: str) -> Any:
        """The field of that name; raises :class:`KeyError` where there is none."""
        if name not in type(self).model_fields:  # type: ignore[attr-defined]
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The field of that name, or ``default``."""
        return self[name] if name in type(self).model_fields else default  # type: ignore[attr-defined]

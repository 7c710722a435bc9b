"""What a person typed into a form that could not be used: it is shown again, with what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vitarmm_agent.errors import UserError


@dataclass(frozen=True)
class Typed:
    """A form as it was sent.

    Attributes:
        form: which one of the page.
        fault: why it could not be used, in words.
        fields: what was typed, by name.
    """

    form: str = ""
    fault: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, form: str, sent: Mapping[str, list[Any]], error: UserError) -> Typed:
        """What was sent, without uploads."""
        texts = {name: given[0] for name, given in sent.items() if isinstance(given[0], str)}
        return cls(form, str(error), texts)

    def said(self, form: str, name: str, default: str = "") -> str:
        """What was typed into a field of a form."""
        return self.fields.get(name, "") if form == self.form else default

    def wrong(self, form: str) -> str:
        """What is wrong with a form."""
        return self.fault if form == self.form else ""

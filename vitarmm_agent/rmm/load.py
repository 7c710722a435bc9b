"""From a spec to a memory writer: the rule, or a chat model that is asked."""

from __future__ import annotations

from vitarmm_agent.models.load import load_chat_model, look_for
from vitarmm_agent.rmm.rule import RULE, RuleWriter
from vitarmm_agent.rmm.writer import MemoryWriter
from vitarmm_agent.settings import Settings


def default_writer(reasoner: object) -> str | None:
    """The spec of the writer where none is named: the rule for a ``local:`` reasoner, else None, the reasoner.

    What small models write as lessons was measured to do harm.
    """
    return RULE if isinstance(reasoner, str) and reasoner.startswith("local:") else None


def writer_spec(settings: Settings) -> str:
    """The spec of the memory writer that settings choose."""
    return settings.rmm or default_writer(settings.reasoner) or settings.reasoner


def load_writer(spec: str, settings: Settings) -> MemoryWriter:
    """The memory writer that a spec names: ``rule``, or a chat model's spec.

    Raises:
        UserError: as :func:`~vitarmm_agent.models.load.load_chat_model`.
    """
    if spec == RULE:
        return RuleWriter(settings.trusted_precision)
    return MemoryWriter(load_chat_model(spec, settings=settings), think=settings.rmm_think)


def look_for_writer(spec: str, settings: Settings) -> None:
    """Look for what a writer needs, as :func:`~vitarmm_agent.models.load.look_for` does for a model."""
    if spec != RULE:
        look_for(spec, settings)

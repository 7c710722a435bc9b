"""What another attempt asks of a chat model: to go on with a reply, or to give another one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


def continues_reply(model: Any) -> bool:
    """Whether a model goes on with a last message of the assistant's, instead of answering it.

    Chat models of this package say so in ``continues_reply``; of others nothing is assumed.
    """
    from langchain_core.runnables.fallbacks import RunnableWithFallbacks

    if isinstance(model, RunnableWithFallbacks):
        return all(map(continues_reply, (model.runnable, *model.fallbacks)))
    if inner := getattr(model, "bound", None):
        return continues_reply(inner)
    return bool(getattr(model, "continues_reply", False))


def sampling(model: BaseChatModel, temperature: float, name: str) -> BaseChatModel:
    """The model, so that the same prompt gets another reply, and the same one when it is run again.

    A greedy model samples, at ``temperature`` and with a seed made of ``name``. One that samples keeps its
    temperature; a seed that it has becomes another. One that has neither field stays as it is.

    Args:
        model: the chat model, perhaps with retries or fallbacks wrapped round it.
        temperature: for a greedy model; 0 leaves it greedy.
        name: of the attempt: a run and a number.
    """
    from langchain_core.runnables.base import RunnableBindingBase
    from langchain_core.runnables.fallbacks import RunnableWithFallbacks

    whole: Any = model
    if isinstance(whole, RunnableBindingBase):
        bound = sampling(whole.bound, temperature, name)  # type: ignore[arg-type]
        return whole.model_copy(update={"bound": bound})  # type: ignore[return-value]
    if isinstance(whole, RunnableWithFallbacks):
        first, *others = (
            sampling(each, temperature, name)  # type: ignore[arg-type]
            for each in (whole.runnable, *whole.fallbacks)
        )
        return whole.model_copy(update={"runnable": first, "fallbacks": others})  # type: ignore[return-value]
    fields, changes = type(model).model_fields, dict[str, Any]()
    greedy = "temperature" in fields and whole.temperature == 0
    if greedy:
        changes["temperature"] = temperature
    if "seed" in fields and (greedy or whole.seed is not None):
        changes["seed"] = _seed(f"{whole.seed}/{name}")
    return model.model_copy(update=changes) if changes else model


def _seed(name: str) -> int:
    """A seed below 2³¹, which every provider takes."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:4]) >> 1

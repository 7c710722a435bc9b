"""Whose memory a run works with."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.namespaces import check_namespace
from vitarmm_agent.nodes import Run

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from vitarmm_agent.memory_store.memory import ReasoningMemory


def namespace_of(deps: Deps, run: Run) -> list[str]:
    """The namespace of who calls: the memory's template, filled from the call's ``configurable``.

    It is kept in state, to tell whose run it is. Without a memory a template that cannot be filled is no
    fault, and the namespace empty.

    Raises:
        InputError: the template has a variable that the run does not give.
    """
    if deps.memory is None and deps.default_memory is None:
        return own_namespace(deps.namespace, run.configurable)
    return list(fill_namespace(deps.namespace, run.configurable))


def own_settings(config: RunnableConfig | None) -> dict[str, Any]:
    """What a caller's ``configurable`` says apart from LangGraph's own keys."""
    given = (config or {}).get("configurable", {})
    return {k: v for k, v in given.items() if not k.startswith(("__", "checkpoint_", "thread_id"))}


def own_namespace(template: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """As :func:`fill_namespace`; empty when it cannot be filled."""
    try:
        return list(fill_namespace(template, values))
    except InputError:
        return []


def memory_of(deps: Deps, run: Run, namespace: Sequence[str]) -> Flow[ReasoningMemory | None]:
    """The memory of a run, in the namespace of who calls; None when it is off.

    Args:
        deps: of the graph.
        run: with the ``configurable`` of this call.
        namespace: the run's, as its state says; a client may have written it there.

    Raises:
        InputError: it is not the caller's.
    """
    memory = deps.memory
    if memory is None and deps.default_memory is None:
        return None
    own = namespace_of(deps, run)
    check_owner(namespace, own)
    if memory is None and deps.default_memory is not None:
        if run.store is not None:
            from vitarmm_agent.memory_store.memory import ReasoningMemory

            return ReasoningMemory(run.store, namespace=tuple(namespace))
        memory = yield from in_thread(deps.default_memory)
    return None if memory is None else memory.with_namespace(namespace)


def check_owner(namespace: Sequence[str], own: Sequence[str]) -> None:
    """Refuse a caller to whom a run does not belong.

    Args:
        namespace: the run's, as its state says.
        own: the caller's.

    Raises:
        InputError: they differ.
    """
    if list(namespace) != list(own):
        raise InputError(
            f"this run says that its memory is of {list(namespace)!r}, and who goes on with it is of "
            f"{list(own)!r}; a run stays with whom it was begun for: pass the same configurable, or "
            "at the command line the same --namespace"
        )


def fill_namespace(template: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """A namespace from its template: ``("team", "{user_id}")`` → ``("team", "ada")``.

    In a label of several variables, characters of a value that also stand between them are written
    as ``%2D``, so that ``{org}-{user}`` is another label for a-b and c than for a and b-c.

    Args:
        template: labels, each of which may hold variables in braces.
        values: what the variables stand for; text or numbers.

    Raises:
        InputError: a variable has no value or an unusable one, or the template is malformed.
    """
    return tuple(_fill_label(label, template, values) for label in check_namespace(template))


def has_variables(template: Sequence[str]) -> bool:
    """Whether each call fills this namespace with what its ``configurable`` says.

    Raises:
        InputError: it is malformed.
    """
    return any(name is not None for label in template for _, name in _parts(label, template))


def _fill_label(label: str, template: Sequence[str], values: Mapping[str, Any]) -> str:
    filled, parts = [], _parts(label, template)
    several = sum(name is not None for _, name in parts) > 1
    between = {"%", *"".join(literal or "%" for literal, _ in parts)} if several else set()
    for literal, name in parts:
        filled.append(literal)
        if name is None:
            continue
        value = values.get(name)
        if value is None or value == "" or not isinstance(value, (str, int)):
            raise InputError(
                f"namespace {tuple(template)!r} needs {name!r}, got {value!r}; pass it with the "
                f'run: config={{"configurable": {{"{name}": "…"}}}}'
            )
        filled += [_escaped(char) if char in between else char for char in str(value)]
    return "".join(filled)


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _parts(label: str, template: Sequence[str]) -> list[tuple[str, str | None]]:
    try:
        parts = [(part[0], part[1]) for part in string.Formatter().parse(label)]
    except ValueError as error:
        raise InputError(
            f"namespace {tuple(template)!r} is malformed: {error}; write variables as {{name}}"
        ) from None
    if any(name is not None and not name.isidentifier() for _, name in parts):
        raise InputError(
            f"namespace {tuple(template)!r} is malformed: {label!r} holds a variable that is no "
            "name; write variables as {name}"
        )
    beside = zip(parts, parts[1:], strict=False)
    if any(before[1] is not None and not literal for before, (literal, _) in beside):
        raise InputError(
            f"namespace {tuple(template)!r} is malformed: in {label!r} nothing stands between two "
            "variables; make two labels of them"
        )
    return parts

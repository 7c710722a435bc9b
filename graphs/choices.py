"""What a run may choose for itself by its context: what the operator's settings list, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Any

from vitarmm_agent.deps import Deps
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.make_deps import named_memory, policy_of, teacher_of, writer_of
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.nearest import did_you_mean
from vitarmm_agent.rmm.rule import RULE
from vitarmm_agent.settings import Settings
from vitarmm_agent.state import CHOICES

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.rmm.writer import MemoryWriter
    from vitarmm_agent.verifiers.policy import Verifiers

LISTS = {"feedback": "run_verifiers", "memory": "run_memories"}
"""Settings that list what may be chosen; for a model it is ``run_models``."""


@dataclass(frozen=True)
class Roles:
    """Who does what where a run chooses nothing; None: as the settings say."""

    reasoner: str | BaseChatModel | None = None
    verifiers: Verifiers | None = None
    judge: str | BaseChatModel | None = None
    rmm: str | BaseChatModel | MemoryWriter | None = None
    teacher: str | BaseChatModel | Callable[[Problem], str | None] | None = None


class Choices:
    """Makes the deps of a run that chooses; what is opened once serves all runs."""

    def __init__(self, deps: Deps, settings: Settings | None = None, roles: Roles | None = None):
        """Begin with ``deps``, which are those of a run that chooses nothing.

        Args:
            deps: of the graph.
            settings: with the lists; without them nothing may be chosen.
            roles: what was given beside the settings.
        """
        self.deps, self._settings, self._roles = deps, settings, roles or Roles()
        self._lock = RLock()
        self._made: dict[tuple[tuple[str, str], ...], Deps] = {(): deps}
        self._models: dict[str, BaseChatModel] = {}
        self._memories: dict[str, ReasoningMemory | None] = {}

    def made(self, chosen: Any) -> Deps | None:
        """The deps for what was chosen, where they are made already."""
        return self.deps if not chosen else self._made.get(_key(chosen))

    def of(self, chosen: Any) -> Deps:
        """The deps for what was chosen; may load a model.

        Args:
            chosen: by name, as :class:`~vitarmm_agent.state.RunContext` names it. Whoever begins a
                run, or writes its state, may have written it.

        Raises:
            InputError: it is not on the operator's list.
            UserError: what is on the list cannot be loaded.
        """
        with self._lock:
            key = _key(chosen)
            if key not in self._made:
                self._made[key] = self._make(dict(key))
            return self._made[key]

    def _make(self, chosen: dict[str, str]) -> Deps:
        settings = self._settings
        if settings is None:
            raise InputError(f"this graph lets a run choose nothing, got {chosen!r:.200}")
        for role, value in chosen.items():
            _check(role, value, settings)
        settings = settings.model_copy(update={k: v for k, v in chosen.items() if k != "memory"})
        models = {
            role: self._model(spec)
            for role, spec in chosen.items()
            if role not in LISTS and (role, spec) != ("rmm", RULE)
        }
        deps, roles = self.deps, self._roles
        solver = models.get("reasoner", deps.reasoner)
        verifiers = chosen.get("feedback", roles.verifiers)
        update: dict[str, Any] = {
            "reasoner": solver,
            "policy": policy_of(
                verifiers, models.get("judge", roles.judge), solver, deps.media, settings
            ),
        }
        if "memory" in chosen:
            update |= {"memory": self._memory(chosen["memory"]), "default_memory": None}
        if chosen.get("memory") == "off":
            update |= {"writer": None, "teacher": None}
        elif deps.memory or deps.default_memory or "memory" in chosen:
            rmm = RULE if chosen.get("rmm") == RULE else models.get("rmm", roles.rmm)
            named = chosen.get("reasoner", roles.reasoner)
            update["writer"] = writer_of(rmm, solver, settings, named)
            if "teacher" in chosen:
                update["teacher"] = teacher_of(models["teacher"], settings)
        return replace(deps, **update)

    def _model(self, spec: str) -> BaseChatModel:
        if spec not in self._models:
            self._models[spec] = load_chat_model(spec, settings=self._settings)
        return self._models[spec]

    def _memory(self, location: str) -> ReasoningMemory | None:
        if location not in self._memories and self._settings is not None:
            self._memories[location] = named_memory(location, self._settings)
        return self._memories[location]


def _key(chosen: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(chosen, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in chosen.items()
    ):
        raise InputError(f"what a run chooses must be texts by name, got {chosen!r:.200}")
    for name in chosen:
        if name not in CHOICES:
            raise InputError(
                f"a run cannot choose {name!r}{did_you_mean(name, CHOICES)}; it may choose "
                f"{', '.join(CHOICES)}"
            )
    given = dict(chosen)
    if "feedback" in given:
        given["feedback"] = ",".join(_names(given["feedback"]))
    return tuple(sorted(given.items()))


def _names(value: str) -> list[str]:
    return [name.strip() for name in value.split(",")]


def _check(role: str, value: str, settings: Settings) -> None:
    """Whether the operator's settings name it for this role, or list it."""
    listed = LISTS.get(role, "run_models")
    allowed: tuple[str, ...] = getattr(settings, listed)
    wanted = _names(value) if role == "feedback" else [value]
    if value == getattr(settings, role) or all(name in allowed for name in wanted):
        return
    raise InputError(
        f"{role} {value!r:.200} is not what a run may choose here; the operator's setting {listed} "
        f"lists {', '.join(allowed) or 'nothing'}"
    )

"""Counterfactual replay: what one memory entry does to a problem, all else equal.

The problem is attempted with nothing in memory, and with that entry alone, shown as it is when it is
recalled: by its worked example, as an earlier turn, or as text. The gold answer grades both attempts
afterwards; it reaches no prompt.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from vitarmm_agent.answers.grading import grade_attempt
from vitarmm_agent.effects import arun
from vitarmm_agent.evals.datasets.records import policy_of
from vitarmm_agent.evals.writers.trials import Probe, Trial
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.models.calls import ask, unwrapped
from vitarmm_agent.models.recorded import prompt_messages
from vitarmm_agent.nodes.intake import store_images
from vitarmm_agent.nodes.reason import prompt_shown, read_attempt
from vitarmm_agent.problem import Problem, Usage

if TYPE_CHECKING:
    import numpy as np
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel

Spent = Callable[[Usage], None]
"""Is told what each attempt cost."""


class Attempting(Protocol):
    """What is configured of attempts: see :class:`Replayer`, where ``attempts`` are samples."""

    @property
    def attempts(self) -> int: ...  # noqa: D102
    @property
    def temperature(self) -> float: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


class Replayer:
    """Tries entries on problems. Attempts with an empty memory are made once per problem."""

    def __init__(
        self,
        reasoner: BaseChatModel,
        media: MediaStore,
        *,
        samples: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> None:
        """Attempt with ``reasoner``: once, as it is set (greedy by default), or ``samples`` times.

        Args:
            reasoner: the model that solves.
            media: where images lie.
            samples: attempts per problem and memory; more than one are sampled.
            temperature: of sampled attempts.
            seed: of the first sample; the others count on. A model that knows no seed gets none.
        """
        self.media = media
        self._models = [reasoner]
        if samples > 1:
            self._models = [sampled(reasoner, temperature, seed + i) for i in range(samples)]
        self._known: dict[str, tuple[bool, ...]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @classmethod
    def of(cls, config: Attempting, reasoner: BaseChatModel, media: MediaStore) -> Replayer:
        """Attempt with ``reasoner`` as a measurement or a simulation is configured to."""
        return cls(
            reasoner,
            media,
            samples=config.attempts,
            temperature=config.temperature,
            seed=config.seed,
        )

    @property
    def baselines(self) -> dict[str, tuple[bool, ...]]:
        """Attempts with an empty memory or a placebo so far, by the problem's fingerprint and the placebo."""
        return dict(self._known)

    def remember(self, baselines: Mapping[str, Sequence[bool]]) -> None:
        """Take over attempts with an empty memory that were made before."""
        self._known.update((key, tuple(right)) for key, right in baselines.items())

    async def trial(
        self,
        problem: Problem,
        entry: MemoryEntry,
        placebo: MemoryEntry | None = None,
        spent: Spent | None = None,
    ) -> Trial:
        """Try an entry on a problem.

        A placebo is shown as the entry is: by its worked example if the entry has one, else as text.
        It is tried once per problem and form.

        Raises:
            InputError: the problem has no reference to grade against.
            ModelError: the model declined, or gave nothing.
            ModelServerError: the model server failed.
        """
        without = await self.baseline(problem, spent=spent)
        control = placebo and (placebo if entry.example else in_text(placebo))
        controlled = await self.baseline(problem, control, spent) if control else ()
        shown = await self.attempts(problem, [entry], spent)
        return Trial(problem_id=problem.id, without=without, shown=shown, placebo=controlled)

    async def baseline(
        self, problem: Problem, placebo: MemoryEntry | None = None, spent: Spent | None = None
    ) -> tuple[bool, ...]:
        """Whether each attempt with an empty memory is right, or with the placebo in it.

        Raises as :meth:`trial` does.
        """
        key = _key(problem, placebo)
        async with self._locks[key]:
            if key not in self._known:
                shown = [placebo] if placebo else []
                self._known[key] = await self.attempts(problem, shown, spent)
        return self._known[key]

    def known(self, probes: Sequence[Probe]) -> dict[str, tuple[bool, ...]]:
        """Of :attr:`baselines`, those of these problems."""
        keys = {
            _key(probe.problem, placebo)
            for probe in probes
            for placebo in (None, probe.placebo, probe.placebo and in_text(probe.placebo))
        }
        return {key: right for key, right in self._known.items() if key in keys}

    async def attempts(
        self, problem: Problem, entries: list[MemoryEntry], spent: Spent | None = None
    ) -> tuple[bool, ...]:
        """Whether each attempt with these entries in memory is right; raises as :meth:`trial`."""
        if problem.images:
            problem = await asyncio.to_thread(store_images, problem, self.media)
        bare, media = problem.without_reference(), self.media
        data = await asyncio.to_thread(prompt_shown, bare, entries, media)
        messages = await asyncio.to_thread(prompt_messages, data, media)
        policy, right = policy_of(problem), []
        for model in self._models:
            reply = await arun(ask(model, messages))
            if spent:
                spent(reply.usage)
            attempt = read_attempt(problem, 1, reply)
            right.append(grade_attempt(problem, attempt, policy=policy).correct)
        return tuple(right)


class Neighbours:
    """Finds the problems that are most like a problem, by the embedder."""

    def __init__(self, problems: Sequence[Problem], embeddings: Embeddings) -> None:
        """Search ``problems``; each is embedded here, once."""
        import numpy as np

        self._problems = list(problems)
        self._embeddings = embeddings
        texts = [problem.text for problem in self._problems]
        self._vectors = _unit(np.asarray(embeddings.embed_documents(texts) or [[0.0]]))

    def nearest(
        self, problem: Problem, k: int = 1, *, but: Collection[str] = frozenset()
    ) -> list[Problem]:
        """The ``k`` nearest other problems, best first; those with an id in ``but`` are left out.

        A problem with the same text is the same problem, whatever its id.
        """
        import numpy as np

        if not self._problems or not k:
            return []
        query = _unit(np.asarray([self._embeddings.embed_query(problem.text)]))[0]
        order = np.argsort(-(self._vectors @ query), kind="stable")
        same, found = _words(problem), list[Problem]()
        for index in order:
            other = self._problems[int(index)]
            if other.id != problem.id and other.id not in but and _words(other) != same:
                found.append(other)
            if len(found) == k:
                break
        return found


def _key(problem: Problem, placebo: MemoryEntry | None) -> str:
    if placebo is None:
        return problem.fingerprint
    return f"{problem.fingerprint}/{placebo.id}" + ("" if placebo.example else "/text")


def in_text(entry: MemoryEntry) -> MemoryEntry:
    """The entry without its worked example, so that it is shown as text."""
    return entry.model_copy(update={"example": None})


def sampled(model: BaseChatModel, temperature: float, seed: int) -> Any:
    """``model`` set to sample; a seed is given to models that know one."""
    options: dict[str, Any] = {"temperature": temperature}
    if hasattr(unwrapped(model), "seed"):
        options["seed"] = seed
    return model.bind(**options)


def _words(problem: Problem) -> str:
    return " ".join(problem.text.lower().split()) + "|".join(i.source for i in problem.images)


def _unit(vectors: np.ndarray) -> np.ndarray:
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.where(norms == 0, 1, norms)
    return unit

"""The agents of an evaluation: models are loaded once, and each arm and order has a graph of its own.

A run that is done becomes a sample here, graded with the gold answer that no run has seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.run.arm_memory import Rule, open_arm_memory
from vitarmm_agent.evals.run.arms import LEARNING, TEACHING, Arm
from vitarmm_agent.evals.run.folder import EvaluationFolder, Prices
from vitarmm_agent.evals.run.recording import Task, sample_of_run, sample_of_votes
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.run.teaching import read_shown
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.graphs.make_deps import writer_of
from vitarmm_agent.media import MediaStore
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.problem import Problem
from vitarmm_agent.result import Result
from vitarmm_agent.rmm.writer import MemoryWriter
from vitarmm_agent.verifiers.policy import FeedbackPolicy, build_policy

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from vitarmm_agent.evals.run.arm_memory import ArmMemory
    from vitarmm_agent.settings import Settings

VOTE_TEMPERATURE = 0.7
"""Of the votes of self-consistency when the settings say greedy: greedy votes would be one vote.
The value of Wang et al., Self-Consistency Improves Chain of Thought Reasoning (2023)."""


@dataclass(frozen=True)
class Models:
    """Chat models that all arms share.

    Attributes:
        vote: the reasoner that gives the n-th vote, from 1: sampling, with a seed of its own.
        teacher: asked for right solutions, or None.
    """

    reasoner: BaseChatModel
    judge: BaseChatModel
    writer: MemoryWriter
    vote: Callable[[int], BaseChatModel]
    teacher: BaseChatModel | None = None

    @classmethod
    def load(cls, settings: Settings) -> Models:
        """Load what the settings name.

        Raises:
            UserError: a model cannot be loaded.
        """
        reasoner = load_chat_model(settings.reasoner, settings=settings)
        judge = load_chat_model(settings.judge, settings=settings) if settings.judge else reasoner
        writer = writer_of(None, reasoner, settings)
        temperature = vote_temperature(settings)

        def vote(number: int) -> BaseChatModel:
            seed = (settings.seed or 0) + number
            return load_chat_model(
                settings.reasoner, settings=settings, temperature=temperature, seed=seed
            )

        name = settings.teacher
        teacher = load_chat_model(name, settings=settings) if name else None
        return cls(reasoner, judge, writer, vote, teacher)


def vote_temperature(settings: Settings) -> float:
    """At which temperature the votes of self-consistency are drawn."""
    return settings.temperature or VOTE_TEMPERATURE


class Agents:
    """One agent for each arm and order, made when first asked for, on one file of checkpoints."""

    def __init__(
        self,
        folder: EvaluationFolder,
        settings: Settings,
        models: Models | None = None,
        *,
        prices: Prices | None = None,
        withhold: float = 0.0,
        seed: int = 0,
        alike: Mapping[str, frozenset[str]] | None = None,
        one_pass: bool = False,
    ) -> None:
        """Keep traces and memories under ``folder.data_dir``; the rest is as in :class:`Rule`.

        Args:
            folder: of the evaluation.
            settings: of every run.
            models: loaded already; default: those of ``settings``.
            prices: from which costs are told.
            withhold: as in :class:`Rule`.
            seed: as in :class:`Rule`.
            alike: as in :class:`Rule`.
            one_pass: every run makes one attempt that nothing judges, so that no memory writer is
                asked.

        Raises:
            UserError: a model cannot be loaded, or a file cannot be opened.
        """
        self.models = models or Models.load(settings)
        self._folder = folder
        self._prices = prices
        update = {"data_dir": folder.data_dir, "memory": None, "database": "off", "teacher": None}
        self._settings = settings.model_copy(update=update)
        self._one_pass = one_pass
        self._withhold, self._seed, self._alike = withhold, seed, alike or {}
        self._checkpoints = open_checkpoints(self._settings.checkpoints_path)
        self._agents: dict[tuple[str, int], ReasoningAgent] = {}
        self._memories: dict[str, ArmMemory] = {}

    def broken(self) -> None:
        """Nothing can befall it that ends the evaluation; see :meth:`AgentCluster.broken`."""

    def close(self) -> None:
        """Release the files."""
        for memory in self._memories.values():
            memory.close()
        self._checkpoints.close()

    async def release(self, arm: Arm) -> None:
        """Let go of an arm whose samples are all done, and of its memory's files."""
        for name, order in [key for key in self._agents if key[0] == arm.name]:
            del self._agents[name, order]
            self._memories.pop(f"{name}-{order}").close()

    async def solve(self, task: Task) -> Sample:
        """The sample of a task's run, which is begun, gone on with, or read, whichever it needs."""
        result = await self._finish(self._agent(task.arm, task.order), task, task.thread_id)
        sample = sample_of_run(task, result, self._prices)
        if task.arm == TEACHING:
            text = result.attempts[0].text if result.attempts else ""
            return sample.model_copy(update={"metadata": {"solution": text}})
        return sample

    async def vote(self, task: Task, votes: int, cost_of: str) -> Sample:
        """The sample of ``votes`` independent passes of a task.

        Args:
            task: of an arm that votes.
            votes: how many.
            cost_of: what they cost as much as; it is noted in the sample.
        """
        results = [await self._pass_of(task, number) for number in range(1, votes + 1)]
        return sample_of_votes(task, results, self._prices, votes=votes, cost_of=cost_of)

    async def _pass_of(self, task: Task, number: int) -> Result:
        key = ("vote", number)
        if key not in self._agents:
            self._agents[key] = self._pass(self.models.vote(number))
        return await self._finish(self._agents[key], task, vote_thread(task, number))

    async def _finish(self, agent: ReasoningAgent, task: Task, thread_id: str) -> Result:
        problem = as_shown(task.problem, oracle=task.arm.oracle)
        return await finished(agent, problem, thread_id, {"stream": stream_of(task)})

    def _agent(self, arm: Arm, order: int) -> ReasoningAgent:
        key = (arm.name, order)
        if key not in self._agents and arm == TEACHING:
            self._agents[key] = self._pass(self.models.teacher or self.models.reasoner)
        elif key not in self._agents:
            self._agents[key] = (
                self._loop(arm, order) if arm.loop else self._pass(self.models.reasoner)
            )
        return self._agents[key]

    def _loop(self, arm: Arm, order: int) -> ReasoningAgent:
        rule = Rule(arm.keeps, self._withhold, self._seed, self._alike)
        if arm == LEARNING:
            rule = Rule(arm.keeps)
        if arm.keeps == "shown":
            rule = replace(rule, shown=read_shown(self._folder.memories, arm))
        memory = open_arm_memory(
            self._folder.memories / arm_folder(arm, order), rule, self._settings
        )
        self._memories[f"{arm.name}-{order}"] = memory
        update: dict[str, Any] = {"oracle": arm.oracle}
        policy = self._policy(arm)
        if self._one_pass:
            update["max_iterations"], policy = 1, FeedbackPolicy(())
        settings = self._settings.model_copy(update=update)
        teacher = self.models.teacher if arm.keeps == "stream" else None
        return self._open(self.models.reasoner, policy, settings, memory=memory, teacher=teacher)

    def _pass(self, reasoner: BaseChatModel) -> ReasoningAgent:
        settings = self._settings.model_copy(update={"max_iterations": 1})
        return self._open(reasoner, FeedbackPolicy(()), settings, memory="off")

    def _open(
        self, reasoner: BaseChatModel, policy: FeedbackPolicy, settings: Settings, **memory: Any
    ) -> ReasoningAgent:
        return ReasoningAgent.open(
            reasoner=reasoner,
            feedback=policy,
            rmm=self.models.writer,
            checkpointer=self._checkpoints,
            settings=settings,
            **memory,
        )

    def _policy(self, arm: Arm) -> FeedbackPolicy:
        judge = self.models.judge
        sees = getattr(judge, "sees_images", True)
        return build_policy(
            self._settings.feedback,
            judge=judge,
            oracle=arm.oracle,
            reasoner=self.models.reasoner,
            media=MediaStore(self._settings.media_dir) if sees else None,
            precision=self._settings.judge_precision,
        )


async def finished(
    agent: ReasoningAgent, problem: Problem, thread_id: str, configurable: dict[str, Any]
) -> Result:
    """The result of a run, which is begun, gone on with, or read, whichever it needs."""
    try:
        await agent.aresult(thread_id)
    except InputError:  # it was not begun
        return await agent.asolve(problem, thread_id=thread_id, configurable=configurable)
    return await agent.aresume(thread_id, configurable=configurable)


def as_shown(problem: Problem, *, oracle: bool) -> Problem:
    """The problem as it enters a run: its gold answer stays outside, but for an oracle run."""
    bare = problem.without_reference()
    return bare.model_copy(update={"reference": problem.reference}) if oracle else bare


def arm_folder(arm: Arm, order: int) -> str:
    """The folder of an arm's memory; what is learned for the frozen arm is what that arm recalls."""
    return "frozen" if arm == LEARNING else f"{arm.name}-{order}" if arm.ordered else arm.name


def vote_thread(task: Task, number: int) -> str:
    """The run that gives a task's n-th vote, from 1."""
    return f"{task.thread_id}-vote{number}"


def stream_of(task: Task) -> str:
    """Whose memory a task works with, within its arm and order."""
    if task.arm.keeps == "own":
        return f"problem-{hashlib.sha256(task.problem.id.encode()).hexdigest()[:16]}"
    return "learned" if task.arm == LEARNING or task.arm.keeps == "learned" else task.benchmark

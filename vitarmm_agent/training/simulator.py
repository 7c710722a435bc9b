"""One problem of a simulation: its run, its memory writer's decisions, and what they are worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vitarmm_agent.answers.grading import grade_attempt
from vitarmm_agent.effects import arun
from vitarmm_agent.errors import ModelError
from vitarmm_agent.evals.datasets.groups import own_solution
from vitarmm_agent.evals.datasets.records import policy_of
from vitarmm_agent.evals.run.agents import finished
from vitarmm_agent.evals.writers.cases import Case, cases_of
from vitarmm_agent.evals.writers.replay import Replayer, sampled
from vitarmm_agent.evals.writers.trials import Probe, Trial
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.nodes.teach import solution_by
from vitarmm_agent.problem import Attempt, Problem, Usage
from vitarmm_agent.result import Result
from vitarmm_agent.rmm.audit import leak_of
from vitarmm_agent.rmm.load import load_writer
from vitarmm_agent.rmm.rule import RULE
from vitarmm_agent.rmm.schema import written_json
from vitarmm_agent.rmm.writer import MemoryWriter
from vitarmm_agent.settings import Settings
from vitarmm_agent.training.labels import combined, label_of
from vitarmm_agent.training.rows import Candidate, ChatMessage, DecisionRow, Effect
from vitarmm_agent.training.sampling import ProblemDrawn
from vitarmm_agent.training.simulated import SimulatedRow, SimulationConfig
from vitarmm_agent.verifiers.policy import exact_checks
from vitarmm_agent.verifiers.solution import solution_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from vitarmm_agent.agent import ReasoningAgent

ROLES = {"system": "system", "human": "user", "ai": "assistant"}
NAMESPACE = ("simulation",)
LANES = ("simulation", "{lane}")
"""The memories where problems are spread over several; each run fills in its own."""
Baselines = Mapping[str, Sequence[bool]]


def memory_folder(held_out: bool) -> str:
    """The folder of a memory, below the data folder."""
    return "memory-heldout" if held_out else "memory"


def thread_of(task: ProblemDrawn) -> str:
    """The run of a problem."""
    return f"simulate-{task.key}"


class Simulator:
    """Runs one problem after another; any number at a time on one event loop."""

    def __init__(
        self,
        config: SimulationConfig,
        agents: dict[bool, ReasoningAgent],
        writers: Sequence[tuple[Candidate, MemoryWriter]],
        replayer: Replayer,
        teacher: BaseChatModel | None = None,
    ) -> None:
        """Run with ``agents``, by whether a problem is held out.

        ``writers`` decide; the first is the agents' own. ``teacher`` solves what they do not.
        """
        self.config = config
        self.agents = agents
        self.writers = writers
        self.replayer = replayer
        self.teacher = teacher

    @classmethod
    def open(cls, config: SimulationConfig, baselines: Baselines, settings: Settings) -> Simulator:
        """Load the models, and open memories that only this simulation uses.

        Held-out problems have one of their own, so that nothing learned on them is in training rows.

        Args:
            config: what is run.
            baselines: attempts with an empty memory that were made before.
            settings: its own; see :func:`own_settings`.

        Raises:
            UserError: a model or the embedder cannot be had.
        """
        from vitarmm_agent.agent import ReasoningAgent
        from vitarmm_agent.graphs.checkpoints import open_checkpoints
        from vitarmm_agent.media import MediaStore
        from vitarmm_agent.models import load_chat_model

        reasoner = load_chat_model(config.vita_model, settings=settings)
        writers = _writers(config, settings)
        teacher = config.teacher and load_chat_model(config.teacher, settings=settings)
        kept = open_checkpoints(settings.checkpoints_path)
        agents = {
            held_out: ReasoningAgent.open(
                reasoner=reasoner,
                rmm=writers[0][1],
                memory=settings.data_dir / memory_folder(held_out),
                checkpointer=kept,
                settings=settings,
            )
            for held_out in (False, True)
        }
        replayer = Replayer.of(config, reasoner, MediaStore(settings.media_dir, local_files=True))
        replayer.remember(baselines)
        return cls(config, agents, writers, replayer, teacher or None)

    def broken(self) -> None:
        """Nothing can befall it that ends the simulation."""

    def close(self) -> None:
        """Release the memories' files."""
        for agent in self.agents.values():
            if agent.memory is not None:
                agent.memory.close()

    async def row(
        self, task: ProblemDrawn, similar: Sequence[Probe], lane: int = 0
    ) -> SimulatedRow:
        """Run a problem, take its decisions, and try them.

        Args:
            task: the problem.
            similar: other problems on which its entries are tried.
            lane: whose memory it works with, where there are several.

        Raises:
            VitaRMMError: as the models raise.
        """
        result = await self._run(task, lane)
        tally = _Tally(result.usage)
        cases = await self._cases(result, task, tally)
        shared: dict[str, Any] = {
            "key": task.key,
            "held_out": task.held_out,
            "thread_id": result.thread_id,
            "passed": result.passed,
            "situations": tuple(case.situation for case in cases),
            "feedback_failures": sum(feedback.failure is not None for feedback in result.feedback),
            "writer_failures": sum(case.decided is None for case in cases),
            "solutions": dict(tally.solutions),
        }
        if task.held_out:
            return SimulatedRow(**shared, cases=tuple(cases), usage=tally.usage)
        decisions = [row for case in cases for row in await self._decisions(case, similar, tally)]
        return SimulatedRow(
            **shared,
            decisions=tuple(decisions),
            leaks=dict(tally.leaks),
            dropped=dict(tally.dropped),
            baselines=self.replayer.known([Probe(problem=task.problem), *similar]),
            usage=tally.usage,
        )

    async def _cases(self, result: Result, task: ProblemDrawn, tally: _Tally) -> list[Case]:
        """What the run's writer decided on; where it ends unsolved, a right solution comes with it."""
        cases = cases_of(result, task.problem)
        if task.held_out:
            unseen = tuple(Probe(problem=sibling.problem) for sibling in task.siblings)
            cases = [case.model_copy(update={"siblings": unseen}) for case in cases]
        if cases and cases[-1].situation == "failure" and (self.teacher or task.siblings):
            solution = await self._solution(task.problem, tally)
            cases[-1] = cases[-1].model_copy(update={"solution": solution})
        return cases

    async def _solution(self, problem: Problem, tally: _Tally) -> Attempt | None:
        """The teacher's solution, or the row's own; one that is wrong is dropped and counted."""
        shown = problem.without_reference()
        if self.teacher is not None:
            try:
                found = await arun(solution_by(self.teacher, shown, self.replayer.media))
            except ModelError:  # it declined
                tally.solutions["none"] += 1
                return None
            tally.usage += found.usage
        elif text := own_solution(problem):
            found = solution_of(shown, text)
        else:
            tally.solutions["none"] += 1
            return None
        right = grade_attempt(problem, found, policy=policy_of(problem)).correct
        objection = await arun(exact_checks(None).check(shown, [found]))
        kept = right and objection.verdict != "fail"
        tally.solutions["right" if kept else "wrong"] += 1
        return found if kept else None

    async def _run(self, task: ProblemDrawn, lane: int) -> Result:
        """The problem's run; one that an interrupted simulation began is gone on with."""
        agent, thread = self.agents[task.held_out], thread_of(task)
        return await finished(agent, task.problem, thread, {"lane": str(lane)})

    async def _decisions(
        self, case: Case, similar: Sequence[Probe], tally: _Tally
    ) -> list[DecisionRow]:
        rows, seen = list[DecisionRow](), set[str]()
        for number, (candidate, writer) in enumerate(self.writers):
            operations, thought = await self._decided(case, number, writer, tally)
            kept = None if operations is None else audited(operations, case.problem, tally.leaks)
            if kept is None:
                tally.dropped["unusable" if operations is None else "leak"] += 1
                continue
            text = written_json(kept, case.related, thought)
            if text in seen:
                tally.dropped["said before"] += 1
                continue
            seen.add(text)
            row = await self._decision(case, number, kept, text, similar, tally)
            rows.append(row.model_copy(update={"candidate": candidate}))
        return rows

    async def _decided(
        self, case: Case, number: int, writer: MemoryWriter, tally: _Tally
    ) -> tuple[tuple[Operation, ...] | None, str]:
        """What a writer asks for; the first writer decided in the run, if no solution came after it."""
        if number == 0 and case.solution is None:
            return case.decided, case.thought
        try:
            decision = await arun(case.decision_of(writer, "simulation"))
        except ModelError:
            return None, ""
        tally.usage += decision.usage
        return (None if decision.failure else decision.operations), decision.thought

    async def _decision(
        self,
        case: Case,
        number: int,
        operations: Sequence[Operation],
        text: str,
        similar: Sequence[Probe],
        tally: _Tally,
    ) -> DecisionRow:
        entries = [operation.entry for operation in operations if operation.entry is not None]
        solved = any(entry.example for entry in entries)  # the very problem it comes from
        own: Effect = "untried"
        if not self.config.siblings and not solved:
            own, _ = await self._effect(entries, [Probe(problem=case.problem)], tally)
        other, trials = await self._effect(entries, similar, tally)
        return DecisionRow(
            prompt=as_chat(case.messages(think=self.config.think)),
            completion=(ChatMessage(role="assistant", content=text),),
            benchmark=case.benchmark,
            problem_id=case.problem.id,
            attempt=case.attempts[-1].number,
            situation=case.situation,
            verdict_before=case.feedback[-1].verdict,
            verdict_after=case.verdict_after if number == 0 else None,
            label=label_of(own, other),
            effect_own=own,
            effect_similar=other,
            tried=trials if self.config.siblings else (),
            oracle=case.oracle,
            thread_id=case.thread_id,
            key=f"{case.key}/{number}",
        )

    async def _effect(
        self, entries: Sequence[MemoryEntry], probes: Sequence[Probe], tally: _Tally
    ) -> tuple[Effect, tuple[Trial, ...]]:
        """What entries did to problems, and the trials."""
        trials = list[Trial]()
        for probe in probes if self.config.replay else ():
            for entry in entries:
                try:
                    trial = await self.replayer.trial(
                        probe.problem, entry, probe.placebo, tally.spent
                    )
                except ModelError:  # the model declined: nothing is known of this entry
                    return "untried", ()
                trials.append(trial)
        return combined(trial.effect for trial in trials), tuple(trials)


class _Tally:
    """What is counted while one problem's decisions are made."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self.leaks: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.solutions: Counter[str] = Counter()

    def spent(self, usage: Usage) -> None:
        """Add what a trial cost."""
        self.usage += usage


def _writers(config: SimulationConfig, settings: Settings) -> list[tuple[Candidate, MemoryWriter]]:
    """The run's own, the same sampled, and the rule where entries are tried on siblings."""
    rule: tuple[Candidate, MemoryWriter] = ("rule", load_writer(RULE, settings))
    spec = config.rmm or config.feedback_model
    if spec == RULE:
        return [rule]
    own = load_writer(spec, settings)
    writers: list[tuple[Candidate, MemoryWriter]] = [("model", own)]
    for number in range(1, config.candidates):
        varied = sampled(own.model, config.temperature, config.seed + number)
        writers.append(("sampled", MemoryWriter(varied, think=config.think)))
    return [*writers, rule] if config.siblings else writers


def audited(
    operations: Sequence[Operation], problem: Problem, leaks: Counter[str]
) -> tuple[Operation, ...] | None:
    """The operations whose entries give nothing of the problem away; None when none is left.

    ``leaks`` counts the others by reason. A decision to keep nothing is left as it is.
    """
    kept = list[Operation]()
    for operation in operations:
        entry = operation.entry
        leak = entry and leak_of(f"{entry.title}\n{entry.applies_when}\n{entry.content}", problem)
        if leak:
            leaks[leak] += 1
        else:
            kept.append(operation)
    return tuple(kept) if kept or not operations else None


def as_chat(messages: Sequence[BaseMessage]) -> tuple[ChatMessage, ...]:
    """LangChain messages in the form that chat templates take."""
    return tuple(
        ChatMessage(role=cast("Any", ROLES[message.type]), content=message.text)
        for message in messages
    )


def own_settings(
    config: SimulationConfig, folder: Path, settings: Settings | None = None
) -> Settings:
    """Settings of a simulation: its models, and a memory and traces of its own in ``folder``."""
    given = (settings or Settings.load()).model_dump(exclude_unset=True)
    return Settings.load(
        **given
        | {
            "reasoner": config.vita_model,
            "judge": config.feedback_model,
            "rmm": config.rmm or config.feedback_model,
            "feedback": config.feedback,
            "max_iterations": config.max_iterations,
            "oracle": config.oracle,
            "rmm_think": config.think,
            "data_dir": folder / "data",
            "database": "off",
            "namespace": NAMESPACE if config.lanes == 1 else LANES,
        }
    )

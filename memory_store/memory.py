"""What an agent has learned: recall, write, credit, and looking after it.

A memory is composed: ``Recalling`` recalls,
``Writing`` writes and credits,
``Curation`` looks after what is there, each on the
``EntryStore`` that holds the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from copy import copy
from datetime import UTC, datetime
from typing import Any, Literal, Self

from langgraph.store.base import BaseStore
from pydantic import ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.effects import Flow, of_part, twins
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.consolidating import Consolidating
from vitarmm_agent.memory_store.curation import Curation, Objection, person_run
from vitarmm_agent.memory_store.entry_store import EntryStore, sizes
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.namespaces import check_text
from vitarmm_agent.memory_store.operations import Operation, Recall, Written
from vitarmm_agent.memory_store.past import Past, Refilled
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.recalling import Recalling, Refused
from vitarmm_agent.memory_store.schema import EntryType, Example, MemoryEntry, Provenance
from vitarmm_agent.memory_store.skill_folders import SkillFolders
from vitarmm_agent.memory_store.write_group import WriteGroup
from vitarmm_agent.memory_store.writing import Writing
from vitarmm_agent.options import one_of


class ReasoningMemory:
    """One memory: the entries of one namespace in any LangGraph store.

    ``recall`` finds entries for a problem, ``write`` adds what was learned, ``credit`` counts a verdict.
    Every method ``x`` has an async form ``ax``. To change both, override the flow ``_x`` in a subclass.
    Threads and processes may share a memory: writes to it follow one another.
    """

    def __init__(
        self,
        store: BaseStore,
        namespace: tuple[str, ...] = ("default", "agent"),
        *,
        journal: Journal | None = None,
        config: RecallConfig | None = None,
        objection: Objection | None = None,
    ) -> None:
        """Use ``namespace`` of ``store``; without a journal there is no history and no undo.

        What ``objection`` finds wrong with an example keeps it from being shown, or added. Without one,
        as here, examples that are imported wait for review; an agent and the command line have one.

        Raises:
            InputError: the namespace is empty or has a label that cannot be stored.
        """
        self.store = store
        self.journal = journal
        self.config = config or RecallConfig()
        self.objection = objection
        self.entry_store = EntryStore(store, namespace)
        self._group = WriteGroup(store, journal)

    @property
    def namespace(self) -> tuple[str, ...]:
        """Whose memory it is."""
        return self.entry_store.namespace

    @property
    def floor(self) -> float:
        """Similarity below which nothing is recalled."""
        return self.config.similarity_floor

    def with_namespace(self, namespace: Sequence[str]) -> Self:
        """Another memory of the same store, journal and configuration: another tenant's.

        Raises:
            InputError: see ``__init__``.
        """
        view = copy(self)
        view.entry_store = EntryStore(self.store, namespace)
        return view

    def namespaces(self) -> dict[tuple[str, ...], int]:
        """The namespaces of all memories in the store, and how many entries each has, in any state."""
        return sizes(self.store)

    def worker(self, lane: str) -> Executor | None:
        """The thread for all calls of one kind; None where the store is best awaited natively."""
        return self._group.worker(lane)

    def close(self) -> None:
        """Release the store's and the journal's files."""
        close = getattr(self.store, "close", None)
        if close is not None:
            close()
        if self.journal is not None:
            self.journal.close()

    def refill(self) -> Flow[Refilled]:
        """``rebuild`` for a caller that holds the journal's lock."""
        return self._past().refill()

    def _recall(
        self,
        problem_text: str,
        *,
        k: int = 3,
        exclude: Iterable[str] = frozenset(),
        exclude_problems: Iterable[str] = frozenset(),
        as_of: datetime | None = None,
        reader: Provenance | None = None,
    ) -> Flow[Recall]:
        """Find the few entries that fit a problem; the result says why each was chosen, or none.

        Args:
            problem_text: the problem, as text.
            k: main entries at most; linked ones come after them.
            exclude: ids that must not be recalled.
            exclude_problems: entries learned on these problems must not be recalled.
            as_of: recall from the memory as it was at this time; needs a journal.
            reader: the attempt that asks, as it would sign an entry (``writer`` is empty if it is not
                the memory writer that asks). What this attempt or a later one of its run wrote is left
                out, so that an attempt that is repeated after a kill sees what it saw before.

        Raises:
            InputError: ``as_of`` without a journal, or a ``k`` below 0.
            MemoryStoreError: the store cannot be used.
        """
        if k < 0:
            raise InputError(f"k must be 0 or more, got {k}")
        moment = as_of or datetime.now(UTC)
        refused = Refused(frozenset(exclude), frozenset(exclude_problems), reader, moment)
        recalling = Recalling(self.entry_store, self.journal, self.config)
        return recalling.recall(problem_text, k, refused, as_of)

    def _search(self, text: str, *, k: int = 3) -> Flow[list[MemoryEntry]]:
        """The entries that ``recall`` gives for ``text``, without scores and reasons.

        Raises:
            InputError: a ``k`` below 0.
            MemoryStoreError: the store cannot be used.
        """
        found = yield from self._recall(text, k=k)
        return [recalled.entry for recalled in found.entries]

    def _add(
        self,
        content: str,
        *,
        title: str = "",
        applies_when: str = "",
        entry_type: EntryType = "insight",
        confidence: float = 0.5,
        writer: str = "person",
        related_to: Sequence[str] = (),
        expires_at: datetime | None = None,
        example: Example | Mapping[str, Any] | None = None,
        run: str = "",
    ) -> Flow[Written]:
        """Write one entry by hand. If an entry says the same already, it is merged into that one.

        Args:
            content: what to do or know, in one to three sentences.
            title: a few words.
            applies_when: the condition under which it helps.
            entry_type: ``correction``, ``insight`` or ``fact``.
            confidence: how sure it is, 0 to 1.
            writer: who says so; the model sees it.
            related_to: ids of linked entries.
            expires_at: from when it is no longer recalled; None: never.
            example: a worked problem, shown to problems of its kind.
            run: the name that ``undo`` takes; default: a new one.

        Raises:
            InputError: a value cannot be used.
            MemoryStoreError: the store or the journal cannot be used.
        """
        fields = {
            "entry_type": entry_type,
            "title": title,
            "applies_when": applies_when,
            "content": content,
            "confidence": confidence,
            "related_to": tuple(related_to),
            "expires_at": expires_at,
            "example": example,
            "provenance": Provenance(writer=writer),
        }
        try:
            entry = MemoryEntry.model_validate(fields)
        except ValidationError as error:
            raise InputError(f"the entry cannot be used: {error_lines(error)}") from None
        if why := self._curation().objection_to(entry):
            raise InputError(f"the entry cannot be used: {why}")
        operation = Operation(kind="add", entry=entry)
        return (yield from self._write([operation], run=run or person_run("add"), attempt=0))[0]

    def _write(
        self,
        operations: Sequence[Operation],
        *,
        run: str,
        attempt: int,
        problem_id: str = "",
        begun: float = 0.0,
    ) -> Flow[list[Written]]:
        """Carry out a writer's operations as one batch, each compared with the entries that are near.

        Called again for the same attempt of the same run, it changes nothing and returns the same. Runs
        of one name that began at different times are different runs.

        Raises:
            InputError: ``run`` is no usable name.
            MemoryStoreError: the store or the journal cannot be used; what is half written, a
                later call completes.
        """
        check_text(run, "run", 500)
        origin = Provenance(run=run, problem_id=problem_id, attempt=attempt, begun=begun)
        return Writing(self.entry_store, self._group).write(operations, origin)

    def _write_once(
        self, operations: Sequence[Operation], *, key: str, run: str, problem_id: str = ""
    ) -> Flow[list[Written]]:
        """Like ``write``, for what is not an attempt of a run: once for each ``key``.

        Args:
            operations: their entries say where they are from.
            key: names what is written; ``written`` tells whether it was.
            run: what ``undo`` takes back; several keys may share one.
            problem_id: what was learned on.

        Raises:
            InputError: ``key`` or ``run`` is no usable name.
            MemoryStoreError: as for ``write``.
        """
        check_text(run, "run", 500)
        check_text(key, "key", 500)
        origin = Provenance(run=run, problem_id=problem_id)
        return Writing(self.entry_store, self._group).write(operations, origin, f"once:{key}")

    def _written(self, key: str) -> Flow[list[Written] | None]:
        """What ``write_once`` returned for this key; None if it was not called."""
        return Writing(self.entry_store, self._group).written(f"once:{key}")

    def _credit(
        self,
        entry_ids: Sequence[str],
        verdict: Literal["pass", "fail"],
        *,
        run: str,
        attempt: int,
        previous: Literal["pass", "fail", "abstain"] | None = None,
        begun: float = 0.0,
    ) -> Flow[None]:
        """Count a verdict for the entries that an attempt was shown.

        If ``previous`` was a pass and this verdict is a fail, the entries are quarantined until a person
        reviews them. Called again for the same attempt of the same run, it changes nothing.
        """
        check_text(run, "run", 500)
        one_of("verdict", verdict, ("pass", "fail"))
        origin = Provenance(run=run, attempt=attempt, begun=begun)
        return Writing(self.entry_store, self._group).credit(entry_ids, verdict, previous, origin)

    def _curation(self) -> Curation:
        return Curation(self.entry_store, self._group, self.journal, self.objection)

    def _past(self) -> Past:
        return Past(self.entry_store, self._group, self.journal, self._curation())

    def _skills(self) -> SkillFolders:
        return SkillFolders(self._curation())

    def _consolidating(self) -> Consolidating:
        return Consolidating(self.entry_store, self._group, self.journal)

    _get = of_part(_curation, Curation.get)
    _list = of_part(_curation, Curation.list)
    _change = of_part(_curation, Curation.change)
    _forget = of_part(_curation, Curation.forget)
    _edit = of_part(_curation, Curation.edit)
    _review = of_part(_curation, Curation.review)
    _merge = of_part(_curation, Curation.merge)
    _export = of_part(_curation, Curation.export)
    _import_ = of_part(_curation, Curation.import_)
    _export_skills = of_part(_skills, SkillFolders.export_skills)
    _import_skills = of_part(_skills, SkillFolders.import_skills)
    _consolidate = of_part(_consolidating, Consolidating.consolidate)
    _undo = of_part(_past, Past.undo)
    _retract = of_part(_past, Past.retract)
    _repeat = of_part(_past, Past.repeat)
    _rebuild = of_part(_past, Past.rebuild)
    _compact = of_part(_past, Past.compact)

    recall, arecall = twins(_recall, "read")
    search, asearch = twins(_search, "read")
    add, aadd = twins(_add)
    write, awrite = twins(_write)
    write_once, awrite_once = twins(_write_once)
    written, awritten = twins(_written, "read")
    credit, acredit = twins(_credit)
    get, aget = twins(_get)
    list, alist = twins(_list)
    change, achange = twins(_change)
    forget, aforget = twins(_forget)
    edit, aedit = twins(_edit)
    review, areview = twins(_review)
    merge, amerge = twins(_merge)
    export, aexport = twins(_export)
    import_, aimport_ = twins(_import_)
    export_skills, aexport_skills = twins(_export_skills)
    import_skills, aimport_skills = twins(_import_skills)
    consolidate, aconsolidate = twins(_consolidate)
    undo, aundo = twins(_undo)
    retract, aretract = twins(_retract)
    repeat, arepeat = twins(_repeat)
    rebuild, arebuild = twins(_rebuild)
    compact, acompact = twins(_compact)

"""What can be read of a run's records, and a note on each thing that cannot.

A trace may come from another version of this package, or be damaged: then the fields that are
understood are shown, and the rest is named rather than guessed.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from vitarmm_agent.data import listed, whole
from vitarmm_agent.memory_store.operations import Recall, Recalled, Written
from vitarmm_agent.memory_store.schema import SCHEMA_VERSION, MemoryEntry
from vitarmm_agent.problem import Attempt, Feedback, ModelCall, Problem, Status, Taught, Usage
from vitarmm_agent.state import ReasoningState, Record

Model = TypeVar("Model", bound=BaseModel)
MAX_NUMBER = 10_000
"""Of an iteration."""
STATUSES = get_args(Status)
PLAIN = {"answer": str, "stopped_because": str, "limits": dict, "decision": dict}


def clean_state(values: Any) -> tuple[ReasoningState, list[str]]:
    """The state with only what this version can read, and what it cannot, in words."""
    problems: list[str] = []
    if not isinstance(values, dict):
        return {}, ["the state is no mapping"]
    try:
        values = whole(values)
    except RecursionError:
        return {}, ["the state is nested too deeply"]
    state = {k: v for k, v in values.items() if isinstance(k, str) and k[:10] != "branch:to:"}
    if state.get("problem"):
        state["problem"] = _problem(state["problem"], problems)
    state["attempts"] = _records(Attempt, state, "attempts", "attempt", problems)
    state["feedback"] = _records(Feedback, state, "feedback", "feedback", problems)
    state["recalls"] = [_recall(r, problems) for r in _numbered(state, "recalls", problems)]
    state["written"] = [_written(r, problems) for r in _numbered(state, "written", problems)]
    state["judged"] = [_judged(r, problems) for r in _numbered(state, "judged", problems)]
    if state.get("taught"):
        taught = clean(Taught, state["taught"], "what was taught", problems)
        state["taught"] = taught.model_dump(mode="json") if taught else {}
    _align(state)
    if state.get("status", "running") not in STATUSES:
        problems.append(f"status {str(state.pop('status'))[:100]!r} is unknown to this version")
    for key, kind in PLAIN.items():
        if not isinstance(state.get(key), kind | None):
            problems.append(f"{key} cannot be read: it is {type(state.pop(key)).__name__}")
    return cast(ReasoningState, state), problems


def _align(state: Record) -> None:
    """Give each attempt the records that go with it: those who read them count by position."""
    numbers = [record["number"] for record in state["attempts"]]
    for key, kept in (("recalls", len(numbers)), ("feedback", 0), ("written", 0)):
        found = {record["number"]: record for record in state[key]}
        known = [place for place, number in enumerate(numbers, 1) if number in found]
        wanted = numbers[: max(kept, *known, 0)]
        extra = [n for n in found if key == "recalls" and n > max(numbers, default=0)]
        state[key] = [found.get(n) or _missing(key, n) for n in [*wanted, *extra]]


def _missing(key: str, number: int) -> Record:
    if key == "recalls":
        return _recall({"number": number, "query": "", "note": "this record is missing"}, [])
    if key == "written":
        return _written({"number": number, "note": "this record is missing"}, [])
    feedback = Feedback.model_validate(_least(Feedback, {"number": number}))
    return {**feedback.model_dump(mode="json"), "number": number}


def clean(model: type[Model], record: Any, where: str, problems: list[str]) -> Model | None:
    """``record`` as ``model``, without the fields it cannot hold; None when nothing is left."""
    try:
        return model.model_validate(record)
    except ValidationError as error:
        wrong = {str(found["loc"][0]) for found in error.errors() if found["loc"]}
    if not isinstance(record, dict):
        problems.append(f"{where} cannot be read")
        return None
    try:
        kept = model.model_validate({k: v for k, v in record.items() if k not in wrong})
    except ValidationError:
        problems.append(f"{where} cannot be read: {', '.join(sorted(wrong))}")
        return None
    problems.append(f"{where} has fields this version cannot read: {', '.join(sorted(wrong))}")
    return kept


def _problem(record: Any, problems: list[str]) -> Record:
    found = clean(Problem, record, "the problem", problems)
    text = record.get("text") if isinstance(record, dict) else None
    return (found or Problem(text=str(text or "(cannot be read)"))).model_dump(mode="json")


def _numbered(state: Record, key: str, problems: list[str]) -> list[Record]:
    records = state.get(key) or []
    if not isinstance(records, list):
        problems.append(f"{key} cannot be read: it is {type(records).__name__}")
        return []
    good = {r["number"]: r for r in records if isinstance(r, dict) and _is_number(r.get("number"))}
    if len(good) != len(records):
        problems.append(f"{len(records) - len(good)} records of {key} cannot be read")
    return [good[number] for number in sorted(good)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_NUMBER


def _records(
    model: type[BaseModel], state: Record, key: str, word: str, problems: list[str]
) -> list[Record]:
    found = []
    for record in _numbered(state, key, problems):
        number = record["number"]
        fields = record if "number" in model.model_fields else _without_number(record)
        read = clean(model, fields, f"{word} {number}", problems)
        if read is None:
            read = clean(model, _least(model, record), f"{word} {number}", [])
        if read is not None:
            found.append({**read.model_dump(mode="json"), "number": number})
    return found


def _least(model: type[BaseModel], record: Record) -> Record:
    """The least that keeps attempts and feedback in step."""
    if model is Attempt:
        return {"number": record["number"], "text": str(record.get("text", ""))}
    return {"verdict": "abstain", "source": "unknown", "failure": "this record cannot be read"}


def _without_number(record: Record) -> Record:
    return {key: value for key, value in record.items() if key != "number"}


def _recall(record: Record, problems: list[str]) -> Record:
    number = record["number"]
    entries = [
        found.model_dump(mode="json")
        for item in listed(record.get("entries"))
        if (found := _recalled(item, f"an entry recalled for attempt {number}", problems))
    ]
    rejected = record.get("best_rejected")
    best = rejected and _recalled(rejected, "the best rejected entry", problems)
    recall = clean(
        Recall,
        {**_without_number(record), "entries": [], "best_rejected": None},
        f"recall {number}",
        problems,
    ) or Recall(query="")
    return {
        **recall.model_dump(mode="json"),
        "number": number,
        "entries": entries,
        "best_rejected": best.model_dump(mode="json") if best else None,
    }


def _recalled(item: Any, where: str, problems: list[str]) -> Recalled | None:
    entry = _entry(item.get("entry") if isinstance(item, dict) else None, where, problems)
    if entry is None:
        return None
    return clean(
        Recalled, {"score": 0.0, "similarity": 0.0} | item | {"entry": entry}, where, problems
    )


def _entry(value: Any, where: str, problems: list[str]) -> Record | None:
    version = value.get("schema_version", SCHEMA_VERSION) if isinstance(value, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        problems.append(
            f"{where} has schema version {version}; this version knows {SCHEMA_VERSION}"
        )
    found = clean(MemoryEntry, value, where, problems)
    return found.model_dump(mode="json") if found else None


def _judged(record: Record, problems: list[str]) -> Record:
    """A verdict that was given when the run was over, and what came of it."""
    words = ("verdict", "message", "solution", "kind", "by", "at", "run", "before")
    step, attempt = record.get("step"), record.get("attempt")
    return {
        **_written(record, problems, f"verdict {record['number']}"),
        **{name: str(record.get(name) or "") for name in words},
        "attempt": attempt if _is_number(attempt) else 0,
        "step": step if _is_number(step) else None,
        **{name: [*map(str, listed(record.get(name)))] for name in ("credited", "taken_back")},
    }


def _written(record: Record, problems: list[str], after: str = "") -> Record:
    number = record["number"]
    operations = []
    for item in listed(record.get("operations")):
        where = f"an entry written after {after or f'attempt {number}'}"
        shown = dict(item) if isinstance(item, dict) else {}
        if shown.get("entry") is not None:
            shown["entry"] = _entry(shown["entry"], where, problems)
        if (done := clean(Written, shown, where, problems)) is not None:
            operations.append(done.model_dump(mode="json"))
    usage = clean(Usage, record.get("usage") or {}, f"usage of memory writing {number}", problems)
    asked = [clean(ModelCall, one, "a call", problems) for one in listed(record.get("calls"))]
    seconds, failure = record.get("seconds"), record.get("failure")
    return {
        **record,
        "note": str(record.get("note") or ""),
        "failure": None if failure is None else str(failure),
        "operations": operations,
        "calls": [call.model_dump(mode="json") for call in asked if call],
        "usage": (usage or Usage()).model_dump(),
        "seconds": float(seconds) if isinstance(seconds, (int, float)) else 0.0,
    }

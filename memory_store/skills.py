"""An entry as an Agent Skill, and a skill as an entry: pure.

A skill is a folder with a ``SKILL.md``: YAML between two lines ``---``, with a ``name`` and a
``description``, then Markdown (https://agentskills.io/specification). What a skill has no field for
stands in its ``metadata``, under names of ours; a worked example is the last part of the body.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.memory_store.schema import MAX_CONTENT, MAX_TITLE, Example, MemoryEntry
from vitarmm_agent.memory_store.untrusted import neutralise
from vitarmm_agent.memory_store.write_plan import has_proved_itself

Proof = Literal["helpful", "surely", "all"]
"""Which live entries become skills: those that helped more often than they harmed, those that surely
helped in half of their uses, or all."""
MAX_NAME = 64
MAX_DESCRIPTION = 1_024
MAX_FRONT = 32 * 1_024
"""Characters of a front matter."""
MAX_DEPTH = 8
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
HEADING = "## Worked example"

_FRONT = re.compile(r"---[ \t]*\r?\n(.*?\n)---[ \t]*(?:\r?\n|$)", re.DOTALL)
_RESERVED = frozenset({"anthropic", "claude"})
"""Words that Anthropic's loaders refuse in a name."""
_STEP = re.compile(r"\d{1,4}\.(?: (.*))?", re.DOTALL)
_OWN = "vitarmm-"
_INDENT = "   "


def proven(entry: MemoryEntry, proof: Proof) -> bool:
    """Whether an entry becomes a skill; one that waits for review or was superseded never does."""
    if not entry.live or proof == "all":
        return entry.live
    return has_proved_itself(entry) if proof == "surely" else entry.helpful > entry.harmful


def skill_names(entries: Sequence[MemoryEntry]) -> list[str]:
    """A name for each entry, of its title; one that is taken gets the mark of its entry's id."""
    names: list[str] = []
    for entry in entries:
        name = _slug(entry.title or entry.applies_when or entry.content)
        if name in names:
            mark = hashlib.sha256(entry.id.encode()).hexdigest()[:8]
            name = f"{name[: MAX_NAME - 9].rstrip('-')}-{mark}"
        names.append(name)
    return names


def skill_text(entry: MemoryEntry, name: str) -> str:
    """The ``SKILL.md`` of an entry."""
    own = {
        "id": entry.id,
        "type": entry.entry_type,
        "title": entry.title,
        "applies-when": entry.applies_when,
        "confidence": repr(entry.confidence),
        "related": json.dumps(entry.related_to) if entry.related_to else "",
        "helpful": f"{entry.helpful} of {entry.used}" if entry.used else "",
        "example": "last part of the body" if entry.example else "",
        "verified-by": entry.example.verified_by if entry.example else "",
    }
    front = {
        "name": name,
        "description": _description(entry) or name,
        "metadata": {f"{_OWN}{key}": value for key, value in own.items() if value},
    }
    dumped = yaml.dump(front, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10**9)
    parts = [entry.content, *([_example_text(entry.example)] if entry.example else [])]
    return f"---\n{dumped}---\n\n" + "\n\n".join(parts) + "\n"


def skill_entry(text: str, folder: str) -> MemoryEntry:
    """The entry of the ``SKILL.md`` in a folder of this name.

    Of someone else's skill the description is the condition, the first heading the title, and the body
    the content. The same skill has the same id.

    Raises:
        InputError: it does not keep to the format, or is too long for an entry.
    """
    front, body = _parted(text)
    name, description = _named(front, folder), front["description"]
    told = front.get("metadata")
    own = {
        key.removeprefix(_OWN): value
        for key, value in (told.items() if isinstance(told, dict) else ())
        if isinstance(key, str) and key.startswith(_OWN) and isinstance(value, str)
    }
    fields = _own_fields(own, body) if own.get("type") else _their_fields(name, description, body)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    source = {"source": {"kind": "skill", "name": name, "sha256": digest}}
    default = f"skill-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    try:
        return MemoryEntry.model_validate(
            fields | {"id": own.get("id") or default, "metadata": source}
        )
    except ValidationError as error:
        raise InputError(f"cannot be an entry: {error_lines(error)}") from None


def says_the_same(one: MemoryEntry, other: MemoryEntry) -> bool:
    """Whether two entries have the same words, whatever came of them and wherever they are from."""

    def words(entry: MemoryEntry) -> tuple[object, ...]:
        example = entry.example and entry.example.model_copy(update={"verified_by": ""})
        return entry.entry_type, entry.title, entry.applies_when, entry.content, example

    return words(one) == words(other)


# an entry's own fields, as text


class _Dumper(yaml.SafeDumper):
    """Escapes what YAML would take for the end of a line."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text[:400]).encode("ascii", "ignore").decode().lower()
    kept = ""
    for word in re.findall(r"[a-z0-9]+", plain):
        if word in _RESERVED:
            continue
        longer = f"{kept}-{word}" if kept else word[:MAX_NAME]
        if len(longer) > MAX_NAME:
            break
        kept = longer
    return kept or f"lesson-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _description(entry: MemoryEntry) -> str:
    """What it is and when to use it, on one line, without anything that looks like a tag."""
    what = neutralise(entry.title or entry.content, MAX_TITLE).rstrip(". ")
    when = neutralise(entry.applies_when, MAX_DESCRIPTION)
    if entry.example:
        when = f"the problem is of this kind: {when or neutralise(entry.example.problem)}"
    words = f"{what}. Use when {when.rstrip('. ')}." if when else what
    return words if len(words) <= MAX_DESCRIPTION else f"{words[: MAX_DESCRIPTION - 1].rstrip()}…"


def _example_text(example: Example) -> str:
    problem = "\n".join(f"> {line}" for line in example.problem.split("\n"))
    steps = "\n".join(f"{n}. {_indented(step)}" for n, step in enumerate(example.steps, start=1))
    return f"{HEADING}\n\n{problem}\n\n{steps}\n\nAnswer: {_indented(example.answer)}"


def _indented(text: str) -> str:
    return text.replace("\n", f"\n{_INDENT}")


# a SKILL.md, read


def _parted(text: str) -> tuple[dict[Any, Any], str]:
    """Front matter and body. All scalars are text: no tags, no numbers, no dates, no merging."""
    match = _FRONT.match(text.removeprefix("\ufeff"))
    if match is None:
        raise InputError(
            f"has no front matter: it must begin with YAML between two lines ---, got {text[:40]!r}"
        )
    if len(match[1]) > MAX_FRONT:
        raise InputError(
            f"has a front matter of {len(match[1]):,} characters; the limit is {MAX_FRONT:,}"
        )
    try:
        _refuse_nested(match[1])
        front = yaml.load(match[1], Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"has a front matter that is no YAML: {said}") from None
    if not isinstance(front, dict):
        raise InputError(f"has a front matter that is no mapping, got {match[1][:40]!r}")
    return front, text.removeprefix("\ufeff")[match.end() :]


def _refuse_nested(text: str) -> None:
    """Reading brackets within brackets takes the square of their number, so it ends early."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            raise InputError("has a front matter with aliases, or nested too deeply")


def _named(front: dict[Any, Any], folder: str) -> str:
    """The name, when it and the description keep to the format."""
    name, description = front.get("name"), front.get("description")
    if not isinstance(name, str) or len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise InputError(
            f"has the name {name!r:.100}; a skill's has lower-case letters, digits and single hyphens, "
            f"{MAX_NAME} at most"
        )
    if name != folder:
        raise InputError(f"has the name {name!r}, which must be its folder's")
    if not isinstance(description, str) or not description.strip():
        raise InputError(
            f"has no description, got {description!r:.100}; say what it is for and when"
        )
    if len(description) > MAX_DESCRIPTION:
        raise InputError(
            f"has a description of {len(description):,} characters; the limit is {MAX_DESCRIPTION:,}"
        )
    return name


def _own_fields(own: dict[str, str], body: str) -> dict[str, Any]:
    body = re.sub(r"\A\r?\n", "", body).removesuffix("\n")
    fields: dict[str, Any] = {
        "entry_type": own["type"],
        "title": own.get("title", ""),
        "applies_when": own.get("applies-when", ""),
        "confidence": own.get("confidence", "0.5"),
        "related_to": _ids(own.get("related", "[]")),
        "content": body,
    }
    if "example" in own:
        content, heading, example = body.rpartition(f"{HEADING}\n")
        if not heading:
            raise InputError(f"has lost its part {HEADING!r}; write it again, or take out the "
                             f"metadata {_OWN}example")  # fmt: skip
        shown = _example_fields(example.split("\n")) | {"verified_by": own.get("verified-by", "")}
        fields |= {"content": content.removesuffix("\n\n"), "example": shown}
    return fields


def _their_fields(name: str, description: str, body: str) -> dict[str, Any]:
    heading, _, rest = body.strip().partition("\n")
    titled = heading.startswith("# ") and bool(rest.strip())
    content = (rest if titled else body).strip() or description.strip()
    if len(content) > MAX_CONTENT:
        raise InputError(
            f"has a body of {len(content):,} characters; an entry holds {MAX_CONTENT:,}: it is for a "
            "lesson, not for a manual"
        )
    return {
        "entry_type": "insight",
        "title": (heading[2:].strip() if titled else name.replace("-", " "))[:MAX_TITLE],
        "applies_when": description.strip(),
        "content": content,
    }


def _ids(text: str) -> list[str]:
    try:
        ids = parse_json(text)
    except ValueError:
        ids = None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise InputError(f"has {_OWN}related {text!r:.100}; it must be a JSON list of ids")
    return ids


def _example_fields(lines: Iterable[str]) -> dict[str, Any]:
    problem = list[str]()
    steps, answer = list[str](), list[str]()
    for line, part in _labelled(lines):
        if part == "problem":
            problem.append(line)
        elif part in ("step", "answer"):
            (steps if part == "step" else answer).append(line)
        elif answer or steps:
            (answer or steps)[-1] += f"\n{line}"
        else:
            raise InputError(f"has an example with {line!r:.100} before its first step")
    return {"problem": "\n".join(problem), "steps": steps, "answer": "\n".join(answer)}


def _labelled(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The lines of an example without their marks, each with what it is part of."""
    for line in lines:
        if line.startswith(">"):
            yield line[1:].removeprefix(" "), "problem"
        elif step := _STEP.fullmatch(line):
            yield step[1] or "", "step"
        elif line.startswith("Answer:"):
            yield line.removeprefix("Answer:").removeprefix(" "), "answer"
        elif line.startswith(_INDENT):
            yield line.removeprefix(_INDENT), "more"
        elif line.strip():
            raise InputError(f"has an example with a line that is no part of it: {line!r:.100}")

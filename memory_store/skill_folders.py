"""Proven entries as folders of Agent Skills, and skills of anyone as entries."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.curation import Curation
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.skills import (
    Proof,
    proven,
    says_the_same,
    skill_entry,
    skill_names,
    skill_text,
)
from vitarmm_agent.memory_store.transfer import BadLine, Conflict, Imported, writing
from vitarmm_agent.options import one_of

FILE = "SKILL.md"
MAX_SKILLS = 10_000
"""Folders of one import."""
MAX_BYTES = 256 * 1_024
"""Of one ``SKILL.md``; other files of a skill are not read."""
Read = tuple[list[MemoryEntry], list[BadLine]]


@dataclass(frozen=True)
class SkillFolders:
    """What a memory gives to agents that load skills, and takes from them."""

    curation: Curation

    def export_skills(
        self, folder: Path | str, *, proof: Proof = "helpful", replace: bool = False
    ) -> Flow[list[str]]:
        """Write each proven entry as a skill, a folder of ``folder``; returns their names.

        Args:
            folder: made when it is not there; other folders in it stay as they are.
            proof: which entries: see :data:`~vitarmm_agent.memory_store.skills.Proof`.
            replace: write over skills of the same names.

        Raises:
            InputError: a skill is there already, or the folder cannot be written.
        """
        one_of("proof", proof, get_args(Proof))
        live = yield from self.curation.list(state="live")
        chosen = sorted((e for e in live if proven(e, proof)), key=lambda e: (e.created_at, e.id))
        names = skill_names(chosen)
        texts = {name: skill_text(e, name) for e, name in zip(chosen, names, strict=True)}
        yield from in_thread(write_skills, Path(folder), texts, replace=replace)
        return names

    def import_skills(
        self,
        folder: Path | str,
        *,
        keep_good: bool = False,
        on_conflict: Conflict = "fail",
        trust: bool = False,
    ) -> Flow[Imported]:
        """Take in skills: the folders of ``folder`` with a ``SKILL.md``, or the one that it is itself.

        Anyone may have written them: what seems to instruct the model waits for review. Scripts and
        other files are not read. A skill that says what its entry says already changes nothing.

        Args:
            folder: its links are not followed.
            keep_good: take the good skills of a folder that has bad ones; otherwise take none.
            on_conflict: what to do with an entry that is here already, with other words.
            trust: do not look for what seems to instruct the model.

        Raises:
            InputError: the folder cannot be read, or has bad skills or conflicts that were not allowed;
                nothing was written.
        """
        entries, bad = yield from in_thread(read_skills, Path(folder))
        known = yield from self.curation.entry_store.get([entry.id for entry in entries])
        here = {entry.id for entry in entries if _is_known(entry, known)}
        entries = [known[entry.id] if entry.id in here else entry for entry in entries]
        return (
            yield from self.curation.take_in(
                entries, bad, keep_good=keep_good, on_conflict=on_conflict, trust=trust
            )
        )


def write_skills(folder: Path, texts: Mapping[str, str], *, replace: bool) -> None:
    """Write the ``SKILL.md`` of each name; none when one is there that may not be replaced.

    Raises:
        InputError: one is there, or is a link, or the folder cannot be written.
    """
    there = [name for name in texts if os.path.lexists(folder / name)]
    if links := [name for name in there if (folder / name).is_symlink()]:
        raise InputError(f"{str(folder / links[0])!r} is a symbolic link; take it away")
    if there and not replace:
        raise InputError(
            f"{len(there)} skills are in {str(folder)!r} already ({', '.join(there[:5])}), so none was "
            "written; replace them by --force"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be written: {error.strerror}") from None
    for name, text in texts.items():
        with writing(folder / name / FILE) as file:
            file.write(text)


def read_skills(folder: Path) -> Read:
    """The skills of a folder as entries, and what is wrong with the others.

    Raises:
        InputError: it cannot be read, holds no skill, or too many.
    """
    try:
        found = sorted(os.scandir(folder), key=lambda item: item.name)
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be read: {error.strerror}") from None
    if any(item.name == FILE for item in found):
        places = [folder.resolve()]
    else:
        places = [Path(item.path) for item in found if item.is_symlink() or item.is_dir()]
        places = [place for place in places if os.path.lexists(place / FILE)]
    if not places:
        raise InputError(f"{str(folder)!r} holds no folder with a {FILE}")
    if len(places) > MAX_SKILLS:
        raise InputError(f"{str(folder)!r} has {len(places):,} skills; {MAX_SKILLS:,} at most")
    entries: dict[str, MemoryEntry] = {}
    bad: list[BadLine] = []
    for number, place in enumerate(places, start=1):
        try:
            entry = skill_entry(_text(place), place.name)
            if entry.id in entries:
                raise InputError(f"has the id {entry.id!r} of an earlier skill")
            entries[entry.id] = entry
        except InputError as error:
            bad.append(BadLine(number=number, place=f"skill {place.name!r}", reason=str(error)))
    return list(entries.values()), bad


def _text(place: Path) -> str:
    """The text of a ``SKILL.md`` that is a file of this folder and no link, pipe or device."""
    if place.is_symlink():
        raise InputError("is a symbolic link, which is not followed")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if stat.S_ISLNK(os.lstat(place / FILE).st_mode):
            raise InputError(f"has a {FILE} that is a symbolic link, which is not followed")
        with open(os.open(place / FILE, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"has a {FILE} that is no file")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"has a {FILE} that cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"has a {FILE} of more than {MAX_BYTES:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"has a {FILE} that is not UTF-8, from byte {error.start} on") from None


def _is_known(entry: MemoryEntry, known: Mapping[str, MemoryEntry]) -> bool:
    return entry.id in known and says_the_same(known[entry.id], entry)

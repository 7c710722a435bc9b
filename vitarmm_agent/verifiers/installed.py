"""Verifiers of other packages, found by Python's entry points.

A package names its own in its ``pyproject.toml``, and they can be used by that name wherever
verifiers are named::

    [project.entry-points."vitarmm_agent.verifiers"]
    unit_tests = "my_package.checks:UnitTests"
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from vitarmm_agent.errors import InputError
from vitarmm_agent.verifiers.base import Verifier
from vitarmm_agent.verifiers.function import Function, own_verifier

GROUP = "vitarmm_agent.verifiers"


def installed() -> dict[str, EntryPoint]:
    """What installed packages offer, by name; nothing of it is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_installed(name: str) -> Verifier | None:
    """The verifier of that name, which is then its name in verdicts too; None: there is none.

    A class is called without arguments; a function is the check itself.

    Raises:
        InputError: it cannot be imported, or is no verifier.
    """
    point = installed().get(name)
    if point is None:
        return None
    of = f"{point.value!r}" + (f" of {point.dist.name}" if point.dist else "")
    try:
        found = point.load()
        verifier = own_verifier(found() if isinstance(found, type) else found)
    except Exception as error:  # of the other package, whatever it is
        raise InputError(f"verifier {name!r}, {of}, cannot be used: {error!r:.300}") from error
    if verifier.name == name:
        return verifier
    sees = bool(getattr(verifier, "sees_reference", False))
    return Function(verifier.check, name=name, sees_reference=sees)

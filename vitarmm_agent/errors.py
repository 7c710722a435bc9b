"""Every error this package raises on purpose, by who must act.

    VitaRMMError
    ├── UserError                 the user acts; the CLI prints it without a traceback
    │   ├── InputError            a problem, option, image or file that cannot be used as given
    │   ├── MissingExtraError     an optional dependency is not installed
    │   ├── WeightsError          weights unknown, absent, damaged, or not to be had offline
    │   ├── MemoryStoreError      a memory folder or server that cannot be used as it is
    │   ├── DatabaseError         a database cannot be used as it is, or does not answer
    │   └── ModelServerError      a model server refused or died; the run can be resumed
    ├── ModelError                the model's output is at fault
    │   ├── OutputError           it could not be parsed into what was asked for
    │   └── RefusalError          it declined to answer
    └── InternalError             our bug

A message says what was wrong, what was got, and what to do. It holds no secret: what is known as one,
or looks like one, is left out when the error is made.
"""

from __future__ import annotations

from vitarmm_agent.redaction import redact


class VitaRMMError(Exception):
    """Base of every error this package raises on purpose."""

    def __init__(self, *parts: object) -> None:
        """Keep the message, without secrets."""
        super().__init__(*(redact(part) if isinstance(part, str) else part for part in parts))


class UserError(VitaRMMError):
    """The user must act: input, configuration or environment."""


class InputError(UserError, ValueError):
    """A problem, option, image or file cannot be used as given."""


class MissingExtraError(UserError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        """Name the feature that was asked for and the extra that brings it."""
        super().__init__(
            f"{feature} needs packages that are not installed. "
            f'Install them with: pip install "vitarmm-agent[{extra}]"'
        )
        self.extra = extra


class WeightsError(UserError):
    """Model weights are unknown, absent, damaged, or cannot be fetched."""


class MemoryStoreError(UserError):
    """A memory folder or server cannot be used as it is."""


class DatabaseError(UserError):
    """A database cannot be used as it is, or went away; a run can be resumed when it is back."""


class ModelServerError(UserError):
    """A model server refused, timed out or died; the run can be resumed.

    Attributes:
        status_code: what it answered, if it did.
    """

    status_code: int | None = None


class ModelError(VitaRMMError):
    """The model's output is at fault, not the user."""


class OutputError(ModelError):
    """Model output could not be parsed into what was asked for."""


class RefusalError(ModelError):
    """The model declined to answer."""


class InternalError(VitaRMMError):
    """A bug in this package."""


SHOWN_NAME = 80


def no_run(thread_id: str) -> InputError:
    """What is said where there is no run of this name."""
    shown = thread_id if len(thread_id) <= SHOWN_NAME else f"{thread_id[:SHOWN_NAME]}…"
    hint = (
        "; a problem is given as Problem(text=…), or as --problem TEXT" if " " in thread_id else ""
    )
    return InputError(f"no run {shown!r}; `vitarmm trace list` shows the runs there are{hint}")

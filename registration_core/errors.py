"""Every refusal this program can utter, rooted in `DealregError`.

    DealregError
    ├─ DomainRefusal         a rule said no; told to the user, never retried
    ├─ ConfigurationError    the files or the environment are wrong; lists every problem
    ├─ ConnectorError        one CRM call went wrong (`connectors/errors.py`)
    └─ SyncError             a run or a drain stopped; nothing was written

Each class has a stable `code`; each instance says what happened, to which record, and in
`hint` what to type next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DealregError(Exception):
    """Root of all errors that are told to a person without a traceback."""

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip() if self.hint else self.message


class DomainRefusal(DealregError):
    """A rule of the deal said no."""

    code = "refused"


class NotFound(DomainRefusal):
    """No such record in the store."""

    code = "not_found"


class InvalidTransition(DomainRefusal):
    """The lifecycle table has no such move from the record's present state."""

    code = "invalid_transition"


class StaleVersion(DomainRefusal):
    """Somebody changed the record since it was read; nothing was written."""

    code = "stale_version"


class InvalidInput(DomainRefusal):
    """A value that a person or a file gave cannot be accepted."""

    code = "invalid_input"

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


class NeedsAnother(DomainRefusal):
    """One person has agreed, and it takes two."""

    code = "needs_another"


class NotAllowed(DomainRefusal):
    """This actor may not do this to this record."""

    code = "not_allowed"


class CheckNotUsable(DomainRefusal):
    """The conflict check is incomplete, stale, or older than the last change of the match keys."""

    code = "check_not_usable"


class AlreadyProtected(DomainRefusal):
    """Another registration holds the protection that this one would need."""

    code = "already_protected"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a configuration file: where, what, and what to do about it."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class ConfigurationError(DealregError):
    """The configuration cannot be used; `problems` lists everything that is wrong with it."""

    code = "configuration"

    def __init__(self, message: str, problems: Sequence[Problem] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {problem}" for problem in self.problems)])


class SyncError(DealregError):
    """A run or a drain stopped before it wrote anything."""

    code = "sync"

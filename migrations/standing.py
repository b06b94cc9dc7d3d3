"""Which version a store's tables are of, held against the versions that this program knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from registration_core.errors import DealregError


class Tables(StrEnum):
    """How the tables of a store stand to this program."""

    CURRENT = "current"
    #: There are none, or an upgrade is due.
    OUTDATED = "outdated"
    #: A later version of the program has upgraded them.
    NEWER = "newer"


@dataclass(frozen=True)
class Standing:
    """The version of a store's tables, None where there are none, and the one wanted."""

    version: str | None
    wanted: str
    tables: Tables

    @property
    def what_to_type(self) -> str:
        """Say what brings the two together; empty where they are."""
        if self.tables is Tables.NEWER:
            return (
                "A later version of dealreg has upgraded it: start that one. Back to this one leads "
                "only the backup from before."
            )
        return "" if self.tables is Tables.CURRENT else "Type: dealreg db upgrade"

    def __str__(self) -> str:
        return f"The store is at {self.version or 'nothing'}, this program wants {self.wanted}."

    def require_current(self) -> None:
        """Refuse to work on tables of another version."""
        if self.tables is not Tables.CURRENT:
            raise DealregError(str(self), hint=self.what_to_type)


def of(version: str | None) -> Standing:
    """Hold the version of a store against what this program wants."""
    wanted, known = _known()
    if version == wanted:
        return Standing(version, wanted, Tables.CURRENT)
    outdated = version is None or version in known
    return Standing(version, wanted, Tables.OUTDATED if outdated else Tables.NEWER)


def version_in(connection: Connection) -> str | None:
    """Read the version of the tables; Alembic's own way would log two lines each time."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


@cache
def _known() -> tuple[str, frozenset[str]]:
    """Return the newest version and all of them."""
    scripts = ScriptDirectory(str(Path(__file__).parent))
    head = scripts.get_current_head()
    assert head is not None  # there is one line of versions
    return head, frozenset(script.revision for script in scripts.walk_revisions())

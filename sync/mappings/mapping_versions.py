"""Versions of a connection's mapping: what is in force, what was, and what a change makes anew.

A version is the text of a file, byte for byte, with a number and a digest. The store's newest one
is in force for every worker; a file that was edited since is a draft until it is applied. Links
carry the digest that their base was last agreed under. A field whose row means something else
by now is agreed no more: at its next plan equal values are agreed on anew, and for different ones
the program's authority decides, with the loser kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mapping.schema import ConnectionMapping, ObjectMapping
from registration_core.contracts import ConnectionName
from registration_core.errors import DomainRefusal, NotFound
from registration_core.store import audit, repository, work
from registration_core.store.database import UnitOfWork
from sync.ledger.mappings import MappingVersionRow
from sync.ledger.tables import LinkRow


@dataclass(frozen=True)
class MappingVersion:
    """One version."""

    connection: ConnectionName
    number: int
    digest: str
    text: str
    applied_at: datetime
    applied_by: str


def versions(session: Session, connection: ConnectionName) -> list[MappingVersion]:
    """Return the versions of a connection, the one in force first."""
    rows = session.scalars(
        select(MappingVersionRow)
        .where(MappingVersionRow.connection == connection)
        .order_by(MappingVersionRow.number.desc())
    )
    return [_version(row) for row in rows]


def digests(session: Session) -> dict[ConnectionName, str]:
    """Return the digest in force of every connection that has a version; for use at every drain."""
    rows = session.execute(
        select(MappingVersionRow.connection, MappingVersionRow.digest).order_by(
            MappingVersionRow.number
        )
    )
    return {ConnectionName(name): digest for name, digest in rows}


def before(session: Session, connection: ConnectionName) -> tuple[MappingVersion, MappingVersion]:
    """Return the version in force, and the newest other one to go back to.

    Going back twice in a row goes forth again.

    Raises:
        NotFound: There is no earlier version.
    """
    known = versions(session, connection)
    other = next((each for each in known[1:] if each.digest != known[0].digest), None)
    if other is None:
        raise NotFound(
            f"There is no earlier version of the mapping of {connection}.",
            hint=f"Change the file, then type: dealreg mapping apply {connection}",
        )
    return known[0], other


def put_in_force(
    unit: UnitOfWork,
    mapping: ConnectionMapping,
    *,
    seen: int,
    touched: Iterable[str] = (),
) -> MappingVersion:
    """Put a mapping in force and make the registrations that it touches due.

    Args:
        unit: The transaction.
        mapping: What was read from the file.
        seen: Number of the version that was in force when somebody decided this; 0 for none.
        touched: Ids of registrations to look at again.

    Raises:
        DomainRefusal: Somebody else was faster.
    """
    name = mapping.connection
    unit.hold(f"mapping:{name}")
    now = unit.session.scalar(
        select(func.max(MappingVersionRow.number)).where(MappingVersionRow.connection == name)
    )
    if (now or 0) != seen:
        raise DomainRefusal(
            f"Version {now} of the mapping of {name} was applied meanwhile.",
            hint=f"Look at what it would do now: dealreg mapping preview {name}",
        )
    row = MappingVersionRow(
        connection=name,
        number=seen + 1,
        digest=mapping.version,
        text=mapping.source.text,
        fingerprints={each.name: each.fingerprints() for each in mapping.objects.values()},
        applied_at=unit.now,
        applied_by=str(unit.actor),
    )
    unit.session.add(row)
    audit.record(
        unit, f"connection:{name}", "apply mapping",
        {"version": row.number, "digest": row.digest, "file": mapping.source.name},
    )  # fmt: skip
    for key in sorted(touched):
        registration = repository.registration(unit.session, key, lock=True)
        work.request_push(unit, registration, only=name)
    return _version(row)


def changed_fields(
    session: Session, links: Sequence[tuple[LinkRow, ObjectMapping]]
) -> dict[str, frozenset[str]]:
    """Return, by link, the fields whose row means something else than when they were agreed on.

    A link that was never looked at under a version that is known has none.
    """
    stale = [(link, item) for link, item in links if link.mapping_version not in ("", item.version)]
    if not stale:
        return {}
    rows = session.scalars(
        select(MappingVersionRow).where(
            MappingVersionRow.connection.in_({link.connection for link, _ in stale}),
            MappingVersionRow.digest.in_({link.mapping_version for link, _ in stale}),
        )
    )
    known: dict[tuple[str, str], Mapping[str, Mapping[str, str]]] = {
        (row.connection, row.digest): row.fingerprints for row in rows
    }
    changed: dict[str, frozenset[str]] = {}
    for link, item in stale:
        then = known.get((link.connection, link.mapping_version))
        if then is not None:
            old, new = then.get(item.name, {}), item.fingerprints()
            changed[link.id] = frozenset(n for n, print_ in new.items() if old.get(n) != print_)
    return changed


def _version(row: MappingVersionRow) -> MappingVersion:
    return MappingVersion(
        ConnectionName(row.connection), row.number, row.digest, row.text, row.applied_at,
        row.applied_by,
    )  # fmt: skip

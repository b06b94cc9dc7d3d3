"""What a CRM's record held when it was last seen, so that a write can do without a read.

Only for CRMs that take a precondition: they refuse a write that was planned on an older record,
so nothing is replaced that was not seen. Our own write forgets what was seen, because the CRM may
have changed other fields in answer to it; the next poll or webhook brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import update

from connectors.port import CrmConnector, RemoteRecord
from registration_core.store.database import UnitOfWork
from sync.ledger.tables import LinkRow
from sync.plans.jobs import Job


def remember(link: LinkRow, record: RemoteRecord | None, crm: CrmConnector) -> None:
    """Keep what a record that was read holds, in the caller's transaction; None forgets."""
    known = record is not None and crm.capabilities.precondition and record.version is not None
    link.remote = record.fields if record is not None and known else None
    link.remote_version = record.version if record is not None and known else None


def remember_all(unit: UnitOfWork, seen: Iterable[tuple[LinkRow, RemoteRecord]]) -> None:
    """Keep what records of a CRM with preconditions hold, whose links need no other change.

    A link may have moved since; what is older than the record is found out by the next write.
    """
    rows = [
        {"id": link.id, "remote": record.fields, "remote_version": record.version}
        for link, record in seen
        if record.version not in (None, link.remote_version)
    ]
    if rows:
        unit.session.execute(update(LinkRow), sorted(rows, key=lambda row: str(row["id"])))


def recall(job: Job) -> RemoteRecord | None:
    """Return the record of a job as it was last seen; None if it has to be read.

    That is so after our own write, while a write that did not take effect may do so yet, and
    when the mapping asks for a field that was not read.
    """
    link = job.link
    if link is None or link.remote is None or link.remote_version is None or job.delayed:
        return None
    if not link.remote.keys() >= set(job.mapping.reads()):
        return None
    return RemoteRecord(
        object=link.object,
        record_id=link.record_id,
        fields=link.remote,
        version=link.remote_version,
        created_at=None,
        modified_at=link.changed_at,  # the CRM's stamp is not kept; no plan looks at it
    )

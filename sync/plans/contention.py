"""Which updates go on the condition that nobody has changed the record since it was read.

For CRMs whose precondition costs calls (Salesforce: 25 records in one and not 200), so that it is
worth it only where somebody is at the record: who has changed it within the last quarter of an hour
may be changing it still. Our own writes in between do not end that. Other CRMs have a version of
each record, or no condition at all.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.port import RemoteRecord, UpdateItem
from registration_core.contracts import Fields
from sync.ledger.tables import LinkRow

#: How long somebody who has changed a record is taken to be at it.
CONTENDED_FOR = timedelta(minutes=15)


def note(link: LinkRow, record: RemoteRecord | None) -> None:
    """Keep in the caller's transaction that somebody else changed a record that was read."""
    if record is None or record.modified_by_us is not False:
        return
    if link.contended_at is None or link.contended_at < record.modified_at:
        link.contended_at = record.modified_at


def patch(record: RemoteRecord, fields: Fields, link: LinkRow | None, now: datetime) -> UpdateItem:
    """Word the update of a record that was read, with the conditions it is to go on."""
    seen = record.modified_at if record.modified_by_us is False else None
    known = link.contended_at if link is not None else None
    newest = max((moment for moment in (seen, known) if moment is not None), default=None)
    contended = newest is not None and now - newest <= CONTENDED_FOR
    since = record.modified_at if contended else None
    return UpdateItem(record.record_id, fields, record.version, since)

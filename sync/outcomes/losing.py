"""A linked record that is gone: followed where the CRM says into what, else the link is orphaned.

Absent is not empty: nothing is cleared here, and the record is never made again. Calls no CRM.
"""

from __future__ import annotations

from sqlalchemy import select

from connectors.port import Gone
from registration_core import crm_changes
from registration_core.contracts import ConnectionName
from registration_core.program import Role
from registration_core.store import audit, repository, work
from registration_core.store.database import UnitOfWork
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import LinkRow
from sync.process.runtime import Runtime


def lose(unit: UnitOfWork, link: LinkRow, gone: Gone) -> None:
    """Follow a merge or conversion, or mark the link orphaned; never make the record again.

    What a converted record became has been read by nobody: its link starts with no base.
    """
    subject = f"registration:{link.registration_id}"
    survivor, object_name = gone.merged_into, gone.object or link.object
    taken = (
        survivor
        and unit.session.scalars(
            select(LinkRow.id).where(
                LinkRow.connection == link.connection,
                LinkRow.object == object_name,
                LinkRow.record_id == survivor,
            )
        ).first()
    )
    link.version, link.changed_at = link.version + 1, unit.now
    if survivor and not taken:
        followed = "follow conversion" if gone.object else "follow merge"
        audit.record(unit, subject, followed, {"from": link.record_id, "to": survivor})
        link.record_id = survivor
        if gone.object:
            link.object, link.converted_at = object_name, unit.now
            link.base, link.mapping_version = {}, ""
            link.remote, link.remote_version = None, None
            link.restore, link.undone, link.repeats = None, None, {}
        # The feed told of the survivor when nobody here knew it yet.
        take_note(unit, ConnectionName(link.connection), [Notice(link.object, survivor)], "poll")
        return
    link.state, link.reason = "orphaned", f"the record is {gone.absence.value} in {link.connection}"
    audit.record(
        unit, subject, "orphaned", {"connection": link.connection, "record": link.record_id,
                                    "because": gone.absence.value},
    )  # fmt: skip


def orphan(runtime: Runtime, link_id: str, gone: Gone) -> None:
    """Handle a linked record that is gone, in a transaction of its own; idempotent.

    A conversion in the home CRM takes the deal over, as moving its stage on would.
    """
    with runtime.database.begin() as unit:
        registration_id = unit.session.get_one(LinkRow, link_id).registration_id
        registration = repository.registration(unit.session, registration_id, lock=True)
        link = unit.lock(LinkRow, link_id)
        if link is None or link.state != "active" or link.record_id != gone.record_id:
            return
        lose(unit, link, gone)
        connection = ConnectionName(link.connection)
        if gone.object and link.state == "active":
            if registration.roles.get(connection) is Role.HOME:
                crm_changes.convert(unit, registration, f"converted in {connection}")
            work.request_push(unit, registration, only=connection)

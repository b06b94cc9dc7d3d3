"""CRM webhooks: verify, commit to the inbox, and only then acknowledge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from connectors.deliveries import WebhookDelivery, WebhookRequest
from connectors.errors import WebhookRejected
from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import ConfigurationError, NotFound
from registration_core.store.database import UnitOfWork
from sync.gates import ladder
from sync.ledger.inbox import Notice, take_note
from sync.ledger.tables import ConnectionStateRow, QuarantineRow
from sync.process.runtime import Runtime
from sync.traffic import connection_state

log = structlog.get_logger()

#: Largest body that is read, in bytes; Dataverse sends at most 256 KB, Salesforce 100 notices.
BODY_BYTES_MAX = 1_000_000
#: How often it is noted that deliveries come: not every one waits for the row that all share.
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Reply:
    """What to answer to the sender."""

    status: int
    body: bytes = b""
    media_type: str = "text/plain"


def receive(runtime: Runtime, connection: str, request: WebhookRequest) -> Reply:
    """Take one delivery in: 2xx only once its notices are committed; repeats are harmless.

    Not authentic or expired → 4xx. Authentic but from an org the connection is not pinned to →
    acknowledged and quarantined. The store away → the exception goes up and the door says 503,
    so that the CRM sends again.
    """
    name = ConnectionName(connection)
    try:
        crm = runtime.connector(connection)
    except (NotFound, ConfigurationError):
        return Reply(404, b"unknown connection")
    try:
        delivery = crm.webhook(request)
    except WebhookRejected as rejection:
        log.warning("webhook rejected", connection=name, reason=rejection.message)
        return Reply(rejection.status, b"rejected")
    if ladder.rung(runtime, name).mode is Mode.OFF:
        return _reply(delivery)
    with runtime.database.begin() as unit:
        state = unit.session.get(ConnectionStateRow, name)
        pinned = (state.org_id if state else None) or runtime.pins.get(name)
        if pinned and delivery.org_id and delivery.org_id != pinned:
            log.warning("webhook of an unknown org", connection=name, org=delivery.org_id)
            unit.session.add(
                QuarantineRow(
                    id=unit.ids.new(), connection=name, org_id=delivery.org_id[:64],
                    body=request.body.decode("utf-8", "replace"), received_at=unit.now,
                )
            )  # fmt: skip
        else:
            _note_taken(unit, name, state)
            notices = [Notice(n.object, n.record_id) for n in delivery.notices]
            take_note(unit, name, notices, "webhook")
    return _reply(delivery)


def _note_taken(
    unit: UnitOfWork, connection: ConnectionName, state: ConnectionStateRow | None
) -> None:
    last = state.webhook_at if state else None
    if last is None or unit.now - last >= NOTED_EVERY:
        connection_state.held(unit, connection).webhook_at = unit.now


def _reply(delivery: WebhookDelivery) -> Reply:
    return Reply(delivery.reply_status, delivery.reply_body, delivery.reply_type)

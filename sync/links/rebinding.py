"""Bind a sandbox connection to the org that answers now, because it was refreshed on purpose.

A refreshed org has other records. What is remembered of the old ones, and could be taken for the
new ones by their ids, goes; what people decided about deals stays. The audit trail keeps which
registration had which record. Nothing is written to the new org before a person promotes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import delete, func, select, update

from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import DomainRefusal
from registration_core.model import Actor
from registration_core.recording import saved
from registration_core.store import account_lists, audit, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.merges import AccountMergeRow
from registration_core.store.tables import (
    AccountRow,
    ListCountRow,
    MatchDecisionRow,
    OutboxRow,
    RegistrationRow,
)
from sync.gates import ladder
from sync.ledger.drift import DriftFindingRow, DriftPageRow, DriftRunRow
from sync.ledger.gates import HeldChangeRow, HeldRow, TallyRow
from sync.ledger.mappings import SchemaWatchRow
from sync.ledger.stamps import StampRow
from sync.ledger.tables import (
    CompanionRow,
    ConnectionTokenRow,
    CursorRow,
    DeadLetterRow,
    InboxRow,
    IntentRow,
    LinkProposalRow,
    LinkRow,
    LinkSearchRow,
    QuarantineRow,
)
from sync.links import unlinking
from sync.process import leases
from sync.process.runtime import Runtime
from sync.traffic import connection_state
from sync.traffic.guard import OrgMismatch

#: What each drain of a connection holds while it works.
_LANES = ("poll", "pull", "push", "link")
#: What is remembered of an org's records and of nothing else.
_OF_THE_ORG = (
    AccountMergeRow, CompanionRow, ConnectionTokenRow, CursorRow, DriftPageRow, HeldChangeRow,
    InboxRow, LinkProposalRow, LinkSearchRow, ListCountRow, SchemaWatchRow, StampRow, TallyRow,
)  # fmt: skip


@dataclass(frozen=True)
class Rebinding:
    """From which org to which a connection is bound, and what is forgotten for it."""

    connection: ConnectionName
    pinned: str
    answered: str
    #: Registrations whose link ends, and accounts of the directory.
    links: int
    accounts: int


def look(runtime: Runtime, connection: str) -> Rebinding:
    """Ask the CRM which org it is; `DomainRefusal` where there is nothing to rebind, or no way.

    Only a sandbox is rebound: a production org that is another one is another connection.
    """
    name = runtime.connector(connection).name
    if name in runtime.start_modes:
        raise DomainRefusal(
            f"{connection} is a production org, which is never rebound.",
            hint="Describe the other org as a connection of its own in connections.yaml.",
        )
    try:
        identity = runtime.connector(connection).identity()
    except OrgMismatch as found:
        if found.configured:
            raise DomainRefusal(
                f"connections.yaml pins {connection} to {found.pinned}, and {found.answered} answers.",
                hint=f"Write org_id: {found.answered} there, then type this again.",
            ) from found
        with runtime.database.read() as session:
            here = LinkRow.connection == name
            links = session.scalar(select(func.count()).select_from(LinkRow).where(here)) or 0
            kept = AccountRow.connection == name
            accounts = session.scalar(select(func.count()).select_from(AccountRow).where(kept)) or 0
        return Rebinding(name, found.pinned, found.answered, links, accounts)
    raise DomainRefusal(f"{connection} is bound to {identity.org_id}, and that is what answers.")


def rebind(runtime: Runtime, wanted: Rebinding, actor: Actor) -> Rebinding:
    """Bind a connection to the org that was looked at; one commit, audited with both ids.

    It goes back to mode `observe`. Other processes refuse the connection until they are restarted.
    """
    name = wanted.connection
    held = [leases.held(runtime.database, f"{lane}:{name}") for lane in _LANES]
    with held[0] as a, held[1] as b, held[2] as c, held[3] as d:
        if None in (a, b, c, d):
            raise DomainRefusal(
                f"{name} is being read or written right now.",
                hint=f"Type: dealreg stop --connection {name}, and then this again.",
            )
        with runtime.database.begin(actor) as unit:
            state = connection_state.held(unit, name)
            if state.org_id != wanted.pinned:
                raise DomainRefusal(f"{name} was bound to {state.org_id} meanwhile.")
            state.org_id, state.failures, state.reason = wanted.answered, 0, ""
            state.paused_until = state.deletes_accepted_until = state.calls_told_at = None
            state.calls_used = state.calls_allowed = state.accounts_gone_since = (
                state.links_gone_at
            ) = None
            links = _forget(unit, name)
            # What the new org sent before is no stranger's any more; its feed tells all of it.
            here, known = QuarantineRow.connection == name, QuarantineRow.org_id == wanted.answered
            unit.session.execute(delete(QuarantineRow).where(here, known))
            stands = ladder.rungs(runtime, unit.session, [name])[name]
            if stands.mode not in (Mode.OFF, Mode.OBSERVE):
                ladder.move(unit, stands, Mode.OBSERVE, (), 0, {})
            audit.record(
                unit, f"connection:{name}", "rebind",
                {"from": wanted.pinned, "to": wanted.answered, "links": links},
            )  # fmt: skip
    return replace(wanted, links=links)


def _forget(unit: UnitOfWork, name: ConnectionName) -> int:
    """Forget the old org's records; returns how many registrations had one."""
    session = unit.session
    links = session.scalars(
        select(LinkRow).where(LinkRow.connection == name).order_by(LinkRow.registration_id)
    ).all()
    unit.lock_all(RegistrationRow, [link.registration_id for link in links])
    for link in links:
        unlinking.drop(unit, link, {"because": "the org was replaced"})
    _forget_accounts(unit, name)
    for table in _OF_THE_ORG:
        session.execute(delete(table).where(table.connection == name))
    runs = select(DriftRunRow.id).where(DriftRunRow.connection == name)
    session.execute(delete(DriftFindingRow).where(DriftFindingRow.run_id.in_(runs)))
    session.execute(
        update(DriftRunRow)
        .where(DriftRunRow.connection == name, DriftRunRow.state == "running")
        .values(state="done", finished_at=unit.now)
    )
    settled = {"settled_at": unit.now}
    session.execute(
        update(IntentRow)
        .where(IntentRow.connection == name, IntentRow.state.in_(("pending", "observed")))
        .values(state="not_done", outcome="the org was replaced", audit_since=None, **settled)
    )
    session.execute(
        update(DeadLetterRow)
        .where(DeadLetterRow.connection == name, DeadLetterRow.state == "open")
        .values(state="discarded", **settled)
    )
    session.execute(
        update(HeldRow)
        .where(HeldRow.connection == name, HeldRow.state == "held")
        .values(state="discarded", decided_at=unit.now, decided_by=str(unit.actor))
    )
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.connection == name)
        .values(wanted=OutboxRow.wanted + 1, state="open", attempts=0, reason="", due_at=unit.now)
    )
    unit.nudges |= {f"push:{name}", "check"}
    return len(links)


def _forget_accounts(unit: UnitOfWork, name: ConnectionName) -> None:
    """Forget the directory of the old org, and which of its accounts and users are whose."""
    session = unit.session
    for record_id in session.scalars(
        select(AccountRow.record_id).where(AccountRow.connection == name)
    ).all():
        repository.drop_account(session, name, record_id)
    account_lists.end_all(unit, name)
    said = MatchDecisionRow.other.startswith(f"account:{name}:", autoescape=True)
    session.execute(delete(MatchDecisionRow).where(said))
    told = session.execute(
        select(RegistrationRow.id, RegistrationRow.accounts, RegistrationRow.owners)
    )
    concerned = sorted(each.id for each in told if name in {**each.accounts, **each.owners})
    for registration_id in concerned:  # as others lock them: no circle of waiting
        before = repository.locked(unit, registration_id)
        accounts, owners = dict(before.accounts), dict(before.owners)
        account = accounts.pop(name, "")
        owners.pop(name, "")
        after = replace(before, accounts=accounts, owners=owners, match_keys_changed_at=unit.now)
        saved(unit, after, "forget account", {"connection": name, "account": account})
        if before.state.live:
            work.request_check(unit, before.id, f"{name} is another org now")

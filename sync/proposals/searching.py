"""Search a whole connection for the records that registrations have there already.

Streams through accounts and then through every object that a registration may stand on where the
connection is its home. Each page's proposals and how far the search has come are one commit, so
that an interrupted search goes on where it stopped; whom the earlier pages were not searched for,
because they came later, they are searched for afterwards. Nothing is written to the CRM.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from connectors.errors import FeedExpired
from connectors.port import ChangePage, CrmConnector, RemoteRecord
from mapping.schema import ObjectMapping, OpportunityMapping
from mapping.translate import to_store
from registration_core.contracts import ConnectionName
from registration_core.customer_fields import customer_of
from registration_core.errors import DomainRefusal
from registration_core.matching import Relation, account_of_customer, of_account
from registration_core.model import (
    Account,
    Actor,
    Band,
    ProtectionState,
    Registration,
    RegistrationState,
)
from registration_core.program import Role
from registration_core.store import match_index, repository
from registration_core.store.database import UnitOfWork
from registration_core.store.rivals import rivals_of
from registration_core.store.tables import RegistrationRow
from sync.accounts import directory
from sync.gates import ladder
from sync.ledger.tables import LinkProposalRow, LinkRow, LinkSearchRow
from sync.process import leases
from sync.process.runtime import Runtime
from sync.proposals import proposing
from sync.proposals.fitting import Candidate, compare

#: Most registrations that are read at once.
_PAGE = 500
#: Longest that a commit comes after the time that it carries.
_COMMIT = timedelta(minutes=1)


@dataclass(frozen=True)
class Found:
    """What a search has read, and for how many registrations it has proposed something."""

    read: int = 0
    #: Approved registrations that have no record there yet.
    unlinked: int = 0
    proposed_for: int = 0


@dataclass(frozen=True)
class _Place:
    """One object of one connection, and the registrations that have no record on it."""

    crm: CrmConnector
    mapping: ObjectMapping
    #: Ids of the registrations, by the account that was chosen for them; "" where none was.
    unlinked: dict[str, set[str]]

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset().union(*self.unlinked.values())


@dataclass(frozen=True)
class _Leg:
    """One way through the records of an object."""

    #: Where it was interrupted, None at the beginning, and how many records had been read there.
    cursor: str | None
    read: int
    begun_at: datetime
    #: For whom: see `LinkSearchRow`.
    since: datetime | None


def search(
    runtime: Runtime, connection: str, actor: Actor, told: Callable[[int, int], None]
) -> Found:
    """Propose every existing record that may be an approved registration's without one.

    `told` hears how many records were read and how many there are. What was proposed before is
    not proposed again, whatever was said of it.

    Raises:
        DomainRefusal: The connection links nothing yet, or somebody else searches it right now.
    """
    crm = runtime.connector(connection)
    stands = ladder.rung(runtime, crm.name)
    if not stands.links:
        raise DomainRefusal(
            f"{connection} is at {stands.mode}, where nothing is linked.",
            hint=f"Type: dealreg connection promote {connection} --to link",
        )
    with leases.held(runtime.database, f"link:{connection}") as lease:
        if lease is None:
            raise DomainRefusal(f"Somebody else searches {connection} right now.")
        directory.refresh(runtime, crm.name)
        mappings = {m.object: m for m in reversed(runtime.mappings[crm.name].of_role(Role.HOME))}
        found = Found()
        for mapping in mappings.values():
            if not stands.links_on(mapping.object):
                continue
            one = _search(runtime, crm, mapping, actor, told)
            found = Found(
                found.read + one.read,
                found.unlinked + one.unlinked,
                found.proposed_for + one.proposed_for,
            )
        return found


def _unlinked(
    runtime: Runtime, connection: ConnectionName, mapping: ObjectMapping, since: datetime | None
) -> dict[str, set[str]]:
    """Return the approved registrations that stand on an object and have no record there.

    Given a time, only those that have moved, or of which a record was decided on, since then.
    """
    found: dict[str, set[str]] = defaultdict(set)
    after = 0
    while True:
        with runtime.database.read() as session:
            query = (
                select(RegistrationRow.receipt_seq)
                .where(
                    RegistrationRow.receipt_seq > after,
                    *_lacks_record(connection),
                    *_moved(connection, since),
                )
                .order_by(RegistrationRow.receipt_seq)
                .limit(_PAGE)
            )
            receipts = session.scalars(query).all()
            if not receipts:
                return found
            for each in repository.registrations(
                session, RegistrationRow.receipt_seq.in_(receipts), limit=_PAGE
            ):
                if _stands_on(runtime, each, connection, mapping):
                    found[each.accounts.get(connection, "")].add(each.id)
        after = receipts[-1]


def _lacks_record(connection: ConnectionName) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a registration is approved and has no record there."""
    linked = select(LinkRow.registration_id).where(
        LinkRow.connection == connection, LinkRow.role == "primary"
    )
    return (
        RegistrationRow.state == RegistrationState.APPROVED.value,
        RegistrationRow.protection_state != ProtectionState.NONE.value,
        RegistrationRow.id.not_in(linked),
    )


def _moved(connection: ConnectionName, since: datetime | None) -> tuple[ColumnElement[bool], ...]:
    if since is None:
        return ()
    decided = select(LinkProposalRow.registration_id).where(
        LinkProposalRow.connection == connection, LinkProposalRow.decided_at >= since - _COMMIT
    )  # a link that was taken back is a proposal that was rejected
    moved = RegistrationRow.updated_at >= since - _COMMIT
    return (or_(moved, RegistrationRow.id.in_(decided)),)


def _stands_on(
    runtime: Runtime, registration: Registration, connection: ConnectionName, mapping: ObjectMapping
) -> bool:
    target = runtime.mapping_of(registration, connection)
    home = registration.roles.get(connection) is Role.HOME
    return home and target is not None and target.object == mapping.object


def _search(
    runtime: Runtime,
    crm: CrmConnector,
    mapping: ObjectMapping,
    actor: Actor,
    told: Callable[[int, int], None],
) -> Found:
    """Search one object: on from where it was interrupted, and then for whom came meanwhile."""
    unlinked, proposed_for, most = set[str](), set[str](), 0
    again = True
    while again:
        leg = _begin(runtime, crm.name, mapping.object)
        place = _Place(crm, mapping, _unlinked(runtime, crm.name, mapping, leg.since))
        total = crm.count(mapping.object, ()) if place.ids else 0
        for page, read in _pages(runtime, place, leg):
            found = _match(runtime, place, page.records)
            with runtime.database.begin(actor) as unit:
                proposed_for |= _propose(unit, crm.name, found)
                row = _row(unit, crm.name, mapping.object)
                row.cursor, row.records = page.cursor, read
            told(min(read, total), total)
            most = max(most, read)
        unlinked |= place.ids
        again = _end(runtime, crm.name, mapping.object, leg)
    return Found(most, len(unlinked), len(proposed_for))


def _pages(runtime: Runtime, place: _Place, leg: _Leg) -> Iterator[tuple[ChangePage, int]]:
    """Yield the pages that are left, with how many records were read; none if nobody is looked for.

    Where the feed has forgotten the cursor, all of them.
    """
    cursor, read, more = leg.cursor, leg.read, bool(place.ids)
    crm, object_name, reads = place.crm, place.mapping.object, _reads(runtime, place)
    while more:
        try:
            page = crm.changes(object_name, reads, cursor)
        except FeedExpired:
            page, read = crm.changes(object_name, reads, None), 0
        cursor, read, more = page.cursor, read + len(page.records), page.more
        yield page, read


def _reads(runtime: Runtime, place: _Place) -> list[str]:
    names, opportunities = (
        {*place.mapping.reads(), place.mapping.key},
        _opportunities(runtime, place),
    )
    if opportunities:
        names |= {*opportunities.reads(), *(each.field for each in opportunities.open)}
    return sorted(names)


def _match(
    runtime: Runtime, place: _Place, records: Sequence[RemoteRecord]
) -> dict[str, list[Candidate]]:
    """Return what a page holds for which registration; it takes seconds, and nobody waits for it."""
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    with runtime.database.read() as session:
        for registration, candidate in _candidates(session, runtime, place, records):
            candidates[registration.id].append(candidate)
    return candidates


def _propose(
    unit: UnitOfWork, connection: ConnectionName, candidates: Mapping[str, Sequence[Candidate]]
) -> set[str]:
    """Propose what was found; returns the registrations about which a person has to decide."""
    waiting = set()
    for registration_id in _held(unit, connection, candidates):
        if proposing.propose(unit, registration_id, connection, candidates[registration_id]):
            proposing.let_wait(unit, registration_id, connection)
            waiting.add(registration_id)
    return waiting


def _held(
    unit: UnitOfWork, connection: ConnectionName, registration_ids: Collection[str]
) -> list[str]:
    """Hold registrations; returns those that still have no record and of which none is being made."""
    unit.lock_all(RegistrationRow, registration_ids)
    left = unit.session.scalars(
        select(RegistrationRow.id).where(
            RegistrationRow.id.in_(registration_ids), *_lacks_record(connection)
        )
    ).all()
    return sorted(set(left) - proposing.being_made(unit.session, connection, left))


def _candidates(
    session: Session, runtime: Runtime, place: _Place, records: Sequence[RemoteRecord]
) -> Iterator[tuple[Registration, Candidate]]:
    """Yield every registration that an open record may be of, with how surely."""
    opportunities = _opportunities(runtime, place)
    wanted = [
        record
        for record in records
        if not record.fields.get(place.mapping.key)
        and (opportunities is None or directory.fits(record.fields, opportunities.open))
    ]
    named = {r.record_id: _account_id(r, place, opportunities) for r in wanted}
    refs = {match_index.ref_of(place.crm.name, each) for each in named.values() if each}
    known = {a.record_id: a for a in match_index.accounts_by_ref(session, list(refs)).values()}
    owners: dict[str, list[tuple[Registration, Band, bool]]] = {}
    for record in wanted:
        account = known.get(named[record.record_id]) or _account_on(record, place)
        if account is None:
            continue
        if account.record_id not in owners:
            owners[account.record_id] = list(_customers(session, place, account))
        for registration, band, same in owners[account.record_id]:
            found = compare(registration, record, place.mapping, account.name, band, same=same)
            if band is Band.STRONG or found.agrees:
                yield registration, found


def _opportunities(runtime: Runtime, place: _Place) -> OpportunityMapping | None:
    """Return how opportunities are told open; None where the object is another."""
    mapping = runtime.mappings[place.crm.name].opportunities
    return mapping if mapping.object == place.mapping.object else None


def _account_id(
    record: RemoteRecord, place: _Place, opportunities: OpportunityMapping | None
) -> str:
    if opportunities is not None:
        return str(record.fields.get(opportunities.account) or "")
    return str(to_store(place.mapping, record.fields).fields.get("account") or "")


def _account_on(record: RemoteRecord, place: _Place) -> Account | None:
    """Return the company that a record names itself, as a lead does; None where it names none."""
    told = customer_of(to_store(place.mapping, record.fields).fields)
    if not told.name:
        return None
    return account_of_customer(
        told,
        connection=place.crm.name,
        object_name=record.object,
        record_id=record.record_id,
        read_at=record.modified_at,
    )


def _customers(
    session: Session, place: _Place, account: Account
) -> Iterator[tuple[Registration, Band, bool]]:
    """Yield the registrations whose customer an account is, or may be, and whether it is the same."""
    chosen = place.unlinked.get(account.record_id, set())
    for registration in repository.registrations_by_id(session, sorted(chosen)).values():
        yield registration, Band.STRONG, True
    for rival in rivals_of(session, of_account(account), without=chosen):
        relation, registration = rival.match.relation, rival.registration
        if relation in (Relation.SAME, Relation.POSSIBLY) and registration.id in place.ids:
            yield registration, rival.match.band, relation is Relation.SAME


def _row(unit: UnitOfWork, connection: ConnectionName, object_name: str) -> LinkSearchRow:
    return unit.session.get_one(LinkSearchRow, (connection, object_name), with_for_update=True)


def _begin(runtime: Runtime, connection: ConnectionName, object_name: str) -> _Leg:
    """Return where an interrupted search goes on; a new one where there is none."""
    with runtime.database.begin() as unit:
        row = unit.session.get(LinkSearchRow, (connection, object_name), with_for_update=True)
        if row is None or row.finished_at is not None:
            row = unit.session.merge(
                LinkSearchRow(
                    connection=connection, object=object_name, cursor="", records=0,
                    begun_at=unit.now, since=None, finished_at=None,
                )
            )  # fmt: skip
        if not row.cursor:
            row.begun_at, row.records = unit.now, 0
        return _Leg(row.cursor or None, row.records, row.begun_at, row.since)


def _end(runtime: Runtime, connection: ConnectionName, object_name: str, leg: _Leg) -> bool:
    """End a leg; True where another one is to follow, for whom came after it had begun."""
    with runtime.database.begin() as unit:
        row = _row(unit, connection, object_name)
        if leg.cursor is None:
            row.finished_at = unit.now
        else:
            row.cursor, row.since = "", leg.begun_at
        return leg.cursor is not None

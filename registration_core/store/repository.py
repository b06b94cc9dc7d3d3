"""Rows to values and back: the core's queries, each with one purpose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    bindparam,
    delete,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from registration_core.claims import Claim, ClaimState
from registration_core.contracts import ConnectionName
from registration_core.errors import NotFound
from registration_core.fields import SalesStage
from registration_core.findings import Decision, FindingKind
from registration_core.matching import MatchKey, of_account
from registration_core.model import (
    Account,
    Band,
    ConflictCheck,
    Customer,
    DisputeState,
    Finding,
    Partner,
    ProtectionState,
    Reading,
    Registration,
    RegistrationState,
)
from registration_core.program import Role
from registration_core.store import match_index, overrides
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import (
    AccountRow,
    Base,
    ClaimRow,
    ConflictCheckRow,
    CustomerKeyRow,
    PartnerRow,
    RegistrationRow,
)

T = TypeVar("T")

#: Most keys put into one `IN`; larger sets are split.
_IN_MAX = 500
_NEWEST_FIRST = (RegistrationRow.receipt_seq.desc(),)


def _value(row: Base, kind: type[T], **convert: Any) -> T:
    """Build a frozen value from the row's columns of the same names."""
    names = (f.name for f in fields(kind))  # type: ignore[arg-type]
    return kind(**{n: convert[n] if n in convert else getattr(row, n) for n in names})


# --- partners ---------------------------------------------------------------------------------


def partner(session: Session, code: str) -> Partner:
    """Return the partner with this code; `NotFound` tells how to add one."""
    row = session.scalars(select(PartnerRow).where(PartnerRow.code == code)).first()
    if row is None:
        raise NotFound(f"There is no partner {code}.", hint="Type: dealreg partner list")
    return _value(row, Partner)


def partner_by_id(session: Session, partner_id: str) -> Partner:
    """Return a partner by its id."""
    row = session.get(PartnerRow, partner_id)
    if row is None:
        raise NotFound(f"There is no partner with the id {partner_id}.")
    return _value(row, Partner)


def partners(session: Session) -> list[Partner]:
    """Return every partner, by code."""
    rows = session.scalars(select(PartnerRow).order_by(PartnerRow.code))
    return [_value(row, Partner) for row in rows]


def add_partner(session: Session, made: Partner) -> None:
    """Insert a new partner."""
    session.add(PartnerRow(**asdict(made)))
    session.flush()


def reach_partner(session: Session, code: str, email: str) -> None:
    """Keep another address of a partner."""
    session.execute(update(PartnerRow).where(PartnerRow.code == code).values(email=email))


# --- registrations ----------------------------------------------------------------------------


def _registration(row: RegistrationRow) -> Registration:
    return _value(
        row,
        Registration,
        state=RegistrationState(row.state),
        sales_stage=SalesStage(row.sales_stage),
        protection_state=ProtectionState(row.protection_state),
        dispute_state=DisputeState(row.dispute_state),
        roles={ConnectionName(n): Role(r) for n, r in row.roles.items()},
    )


def _columns(registration: Registration) -> dict[str, Any]:
    columns = {f.name: getattr(registration, f.name) for f in fields(registration)}
    columns |= {
        n: columns[n].value for n in ("state", "sales_stage", "protection_state", "dispute_state")
    }
    columns["roles"] = {name: role.value for name, role in registration.roles.items()}
    columns["accounts"], columns["owners"] = dict(registration.accounts), dict(registration.owners)
    return columns


def add_registration(session: Session, registration: Registration, token: str) -> None:
    """Insert a new registration."""
    session.add(RegistrationRow(**_columns(registration), token=token))
    session.flush()
    match_index.keep_registration(
        session, registration.receipt_seq, None, _sought(registration.state, registration.customer)
    )


def registration(session: Session, key: str, *, lock: bool = False) -> Registration:
    """Return a registration by id or public number; `lock` holds it until the commit."""
    query = select(RegistrationRow).where(
        or_(RegistrationRow.id == key, RegistrationRow.number == key.upper())
    )
    row = session.scalars(
        query.with_for_update().execution_options(populate_existing=True) if lock else query
    ).first()
    if row is None:
        raise NotFound(f"There is no registration {key}.", hint="Type: dealreg registration list")
    if lock:  # a session forgets rows that nobody refers to, and this one will be saved
        session.info[row.id] = row
    return _registration(row)


def locked(unit: UnitOfWork, registration_id: str) -> Registration:
    """Return a registration by id, held until the commit."""
    row = unit.lock(RegistrationRow, registration_id)
    if row is None:
        raise NotFound(f"There is no registration {registration_id}.")
    return _registration(row)


def number_exists(session: Session, number: str) -> bool:
    """Whether a registration has this public number."""
    query = select(RegistrationRow.id).where(RegistrationRow.number == number)
    return session.scalars(query).first() is not None


def registrations_by_id(session: Session, ids: Sequence[str]) -> dict[str, Registration]:
    """Return registrations by id; at most 500, and all of them exist."""
    rows = session.scalars(select(RegistrationRow).where(RegistrationRow.id.in_(ids)))
    return {row.id: _registration(row) for row in rows}


def registration_by_token(session: Session, partner_id: str, token: str) -> Registration | None:
    """Return what an earlier submit with this token made, if any."""
    row = session.scalars(
        select(RegistrationRow).where(
            RegistrationRow.partner_id == partner_id, RegistrationRow.token == token
        )
    ).first()
    return _registration(row) if row else None


def registrations(
    session: Session,
    *where: ColumnElement[bool],
    order: Sequence[SQLColumnExpression[Any]] = _NEWEST_FIRST,
    limit: int = 500,
) -> list[Registration]:
    """Return registrations, newest receipt first if nothing else is said."""
    query = select(RegistrationRow).where(*where).order_by(*order)
    return [_registration(row) for row in session.scalars(query.limit(limit))]


def save(session: Session, changed: Registration, now: datetime) -> Registration:
    """Write a changed registration that was read with `lock`; returns it with its new version.

    Where the customer changed, a check that began before counts no more.
    """
    saved = replace(changed, version=changed.version + 1, updated_at=now)
    row = session.get_one(RegistrationRow, changed.id)
    if saved.customer != row.customer:
        saved = replace(saved, match_keys_changed_at=now)
    before = _sought(RegistrationState(row.state), row.customer)
    for name, value in _columns(saved).items():
        setattr(row, name, value)
    session.flush()
    match_index.keep_registration(
        session, saved.receipt_seq, before, _sought(saved.state, saved.customer)
    )
    return saved


def _sought(state: RegistrationState, customer: Customer) -> Customer | None:
    """Return the customer by which others find a registration; None once it is closed."""
    return customer if state.live else None


# --- customers, claims ------------------------------------------------------------------------


#: Made once, because making a statement costs more than to run it.
_OWNERS = select(CustomerKeyRow.kind, CustomerKeyRow.value, CustomerKeyRow.customer_id).where(
    tuple_(CustomerKeyRow.kind, CustomerKeyRow.value).in_(bindparam("pairs", expanding=True))
)
_KEYS_OF = select(CustomerKeyRow.kind, CustomerKeyRow.value).where(
    CustomerKeyRow.customer_id == bindparam("customer")
)
_STANDING = select(ClaimRow).where(
    ClaimRow.customer_id == bindparam("customer"),
    ClaimRow.product_line == bindparam("line"),
    ClaimRow.state != ClaimState.RELEASED.value,
)


def customers_with(session: Session, keys: Iterable[MatchKey]) -> dict[str, frozenset[MatchKey]]:
    """Return the customers that have any of these keys, oldest first, and which of them each has."""
    pairs = [(key.kind, key.value) for key in keys]
    owners: dict[str, set[MatchKey]] = defaultdict(set)
    for at in range(0, len(pairs), _IN_MAX):
        rows = session.execute(_OWNERS, {"pairs": pairs[at : at + _IN_MAX]})
        for kind, value, customer_id in rows:
            owners[customer_id].add(MatchKey(kind, value))
    return {owner: frozenset(owners[owner]) for owner in sorted(owners)}


def keys_of_customer(session: Session, customer_id: str) -> frozenset[MatchKey]:
    """Return all keys that are known of a customer."""
    rows = session.execute(_KEYS_OF, {"customer": customer_id})
    return frozenset(MatchKey(kind, value) for kind, value in rows)


def standing_claims(session: Session, customer_id: str, product_line: str) -> list[Claim]:
    """Return the claims that keep others out of this customer and product line."""
    rows = session.scalars(_STANDING, {"customer": customer_id, "line": product_line})
    return [_claim(row) for row in rows]


def claims(session: Session, *where: ColumnElement[bool]) -> list[Claim]:
    """Return claims, earliest end first."""
    rows = session.scalars(select(ClaimRow).where(*where).order_by(ClaimRow.ends_on))
    return [_claim(row) for row in rows]


def _claim(row: ClaimRow) -> Claim:
    return _value(row, Claim, state=ClaimState(row.state))


# --- account directory ------------------------------------------------------------------------


def put_accounts(session: Session, accounts: Sequence[Account]) -> None:
    """Insert or change accounts together with their match keys; the last of a record counts."""
    latest = {match_index.ref_of(a.connection, a.record_id): a for a in accounts}
    known = match_index.accounts_by_ref(session, list(latest))
    added = [_account_columns(ref, a) for ref, a in latest.items() if ref not in known]
    changed = [_account_columns(ref, a) for ref, a in latest.items() if known.get(ref, a) != a]
    if added:
        session.connection().execute(_ADD_ACCOUNT, added)
    if changed:
        session.connection().execute(_CHANGE_ACCOUNT, [{**c, "its_ref": c["ref"]} for c in changed])
    match_index.keep(
        session,
        ((ref, of_account(known[ref]) if ref in known else None, of_account(account))
         for ref, account in latest.items()),
    )  # fmt: skip


_ADD_ACCOUNT = insert(AccountRow)
_CHANGE_ACCOUNT = update(AccountRow).where(AccountRow.ref == bindparam("its_ref"))


def _account_columns(ref: int, account: Account) -> dict[str, Any]:
    columns = {name: getattr(account, name) for name in _ACCOUNT_FIELDS}
    columns["lists"] = sorted(kind.value for kind in account.lists)
    columns["list_words"] = [[w.kind.value, w.owner, w.reason] for w in account.list_words]
    return {**columns, "ref": ref}


_ACCOUNT_FIELDS = tuple(f.name for f in fields(Account))


def drop_account(session: Session, connection: ConnectionName, record_id: str) -> None:
    """Forget an account that the CRM says is gone."""
    ref = match_index.ref_of(connection, record_id)
    known = match_index.accounts_by_ref(session, [ref])
    if known:
        match_index.keep(session, [(ref, of_account(known[ref]), None)])
        session.execute(delete(AccountRow).where(AccountRow.ref == ref))


def account(session: Session, connection: str, record_id: str) -> Account | None:
    """Return one account of the directory."""
    ref = match_index.ref_of(connection, record_id)
    return match_index.accounts_by_ref(session, [ref]).get(ref)


# --- checks -----------------------------------------------------------------------------------

#: Checks that something may rest on.
_COUNTS = ConflictCheckRow.complete | overrides.accepted()


def add_check(session: Session, check: ConflictCheck) -> None:
    """Keep a check with everything that was asked and answered."""
    kept = {f.name: getattr(check, f.name) for f in fields(check)} | {
        "complete": not check.incomplete,
        "readings": [
            asdict(r) | {"as_of": r.as_of.isoformat() if r.as_of else None} for r in check.readings
        ],
        "findings": [asdict(f) for f in check.findings],
        "accounts": dict(check.accounts),
        "keys": [[key.kind, key.value] for key in check.keys],
    }
    session.add(ConflictCheckRow(**kept))
    session.flush()


def last_check(session: Session, registration_id: str) -> ConflictCheck | None:
    """Return the newest check of a registration."""
    row = session.scalars(_checks(registration_id).limit(1)).first()
    return _check(row) if row else None


def last_counting_check(session: Session, registration_id: str) -> ConflictCheck | None:
    """Return the newest check of a registration that was complete, or accepted as it was."""
    row = session.scalars(_checks(registration_id).where(_COUNTS).limit(1)).first()
    return _check(row) if row else None


def deciding_check(session: Session, registration: Registration) -> ConflictCheck | None:
    """Return the check that a decision rests on, or the newest complete where none was made."""
    query = _checks(registration.id).where(_COUNTS)
    if registration.decided_at is not None:
        query = query.where(ConflictCheckRow.finished_at <= registration.decided_at)
    row = session.scalars(query.limit(1)).first()
    return _check(row) if row else None


def drop_check(session: Session, check_id: str) -> None:
    """Forget a check that a later one repeats word for word."""
    session.execute(delete(ConflictCheckRow).where(ConflictCheckRow.id == check_id))


def _checks(registration_id: str) -> Select[ConflictCheckRow]:
    return (
        select(ConflictCheckRow)
        .where(ConflictCheckRow.registration_id == registration_id)
        .order_by(ConflictCheckRow.began_at.desc(), ConflictCheckRow.id.desc())
    )


def _check(row: ConflictCheckRow) -> ConflictCheck:
    return _value(
        row,
        ConflictCheck,
        readings=tuple(
            Reading(**(r | {"as_of": datetime.fromisoformat(r["as_of"]) if r["as_of"] else None}))
            for r in row.readings
        ),
        findings=tuple(_finding(f) for f in row.findings),
        keys=tuple(MatchKey(*pair) for pair in row.keys),
    )


def _finding(kept: dict[str, Any]) -> Finding:
    return Finding(
        **kept | {
            "kind": FindingKind(kept["kind"]), "band": Band(kept["band"]),
            "matched_on": tuple(kept["matched_on"]),
            "decision": Decision(kept.get("decision", Decision.REVIEW)),
        }
    )  # fmt: skip

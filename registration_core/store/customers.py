"""Resolved customers: which registrations are about the same organisation.

Every function joins the caller's transaction and expects the store lock (`protection.hold_lock`)
to be held, because claims hang on customers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import delete, select, text, tuple_, update
from sqlalchemy.orm import Session

from registration_core.claims import ClaimState
from registration_core.matching import MatchKey, blocking, customer_keys, domain_of, fold_name
from registration_core.matching.domains import owned_domain
from registration_core.model import Customer, DisputeState, Partner, ProtectionState, Registration
from registration_core.store import audit, disputes, match_decisions, repository, work
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import (
    ClaimRow,
    CustomerKeyRow,
    CustomerRow,
    RegistrationKeyRow,
    RegistrationRow,
)

#: Keys that identify by themselves, strongest first. Domain or name alone never joins customers.
_IDENTIFYING = ("tax_id", "duns")
#: Accounts of a registration are one text; any number of them is looked up in one statement.
_STANDING_ON = {
    "sqlite": """SELECT id FROM registration
        WHERE json_extract(accounts, :connection) IN (SELECT value FROM json_each(:ids))""",
    "postgresql": """SELECT id FROM registration
        WHERE CAST(accounts AS json) ->> :connection = ANY(CAST(:ids AS text[]))""",
}


def resolve(unit: UnitOfWork, name: str, keys: Iterable[MatchKey], known: str | None = None) -> str:
    """Return the id of the customer that these keys identify, else `known`, else a new one's.

    Tax id and DUNS identify; domain and name together do. Whatever else is known is added.
    """
    keys = frozenset(keys)
    owners = repository.customers_with(unit.session, keys)
    found = _identified(_not_denied(unit, owners, known)) or known
    if found is None:
        found = unit.ids.new()
        unit.session.add(CustomerRow(id=found, name=name, created_at=unit.now))
        unit.session.flush()
    _add_keys(unit, found, keys, owners)
    return found


def learn(unit: UnitOfWork, customer_id: str, keys: Iterable[MatchKey]) -> str:
    """Add what a strongly matched account knows of a customer; returns the customer's id.

    Where the account's identifiers belong to another customer, the two are one: they are
    joined, and claims that now overlap are marked contested with a dispute, no loser chosen.
    """
    keys = frozenset(k for k in keys if k.kind in _IDENTIFYING)
    owners = repository.customers_with(unit.session, keys)
    for other in _not_denied(unit, owners, customer_id):
        if other != customer_id:
            join(unit, loser=other, winner=customer_id)
    _add_keys(unit, customer_id, keys, repository.customers_with(unit.session, keys))
    return customer_id


def standing_on(session: Session, connection: str, record_ids: Iterable[str]) -> list[str]:
    """Return the ids of the registrations that stand on any of these accounts, in order.

    Reads every registration once: for what happens seldom, as a merge of accounts does.
    """
    wanted, dialect = list(record_ids), session.get_bind().dialect.name
    if not wanted:
        return []
    sqlite = {"connection": f'$."{connection}"', "ids": json.dumps(wanted)}
    asked = sqlite if dialect == "sqlite" else {"connection": connection, "ids": wanted}
    return sorted(session.scalars(text(_STANDING_ON[dialect]), asked))


def split(unit: UnitOfWork, registration: Registration) -> str:
    """Give a registration a customer of its own, with the keys it was typed with.

    Its claims go with it. Identifiers stay with the customer that has them. Returns the new
    customer's id; the caller saves the registration.
    """
    session = unit.session
    alone = unit.ids.new()
    session.add(CustomerRow(id=alone, name=registration.customer.name, created_at=unit.now))
    session.flush()
    keys = customer_keys(registration.customer)
    _add_keys(unit, alone, keys, repository.customers_with(session, keys))
    session.execute(
        update(ClaimRow)
        .where(ClaimRow.registration_id == registration.id)
        .values(customer_id=alone)
    )
    audit.record(
        unit, f"customer:{registration.customer_id}", "split customer",
        {"registration": registration.number, "to": alone},
    )  # fmt: skip
    return alone


def with_contacts_domain(
    session: Session, customer: Customer, partner: Partner, contact_email: str
) -> Customer:
    """Return a customer with the domain of its contact's address among its own.

    Left out is a domain that many share, as of free mail, and one that is the partner's own, as a
    rule: where the partner is reached, or what another customer of theirs is known by.
    """
    domain = domain_of(contact_email)
    own = map(domain_of, (customer.website, *customer.email_domains, partner.email))
    if not domain or domain in own or _knows_another_by(session, domain, customer, partner):
        return customer
    return replace(customer, email_domains=(*customer.email_domains, domain))


def _knows_another_by(session: Session, domain: str, customer: Customer, partner: Partner) -> bool:
    """Whether a partner has registered a customer of another name that has a domain."""
    key = blocking.digest(f"domain:{owned_domain(domain)}")
    known = session.scalars(
        select(RegistrationRow.customer)
        .join(RegistrationKeyRow, RegistrationKeyRow.receipt_seq == RegistrationRow.receipt_seq)
        .where(RegistrationKeyRow.key == key, RegistrationRow.partner_id == partner.id)
        .limit(blocking.CANDIDATES_MAX)
    )
    return any(fold_name(other.name) != fold_name(customer.name) for other in known)


def leave(unit: UnitOfWork, registration: Registration) -> None:
    """Take back from a customer the keys that only this registration had typed for it.

    The caller resolves the registration anew; whoever stays is found by the keys of their own.
    """
    others = unit.session.scalars(
        select(RegistrationRow.customer).where(
            RegistrationRow.customer_id == registration.customer_id,
            RegistrationRow.id != registration.id,
        )
    )
    stay = frozenset[MatchKey]().union(*map(customer_keys, others))
    gone = [(key.kind, key.value) for key in customer_keys(registration.customer) - stay]
    unit.session.execute(
        delete(CustomerKeyRow).where(
            CustomerKeyRow.customer_id == registration.customer_id,
            tuple_(CustomerKeyRow.kind, CustomerKeyRow.value).in_(gone),
        )
    )


def _not_denied(
    unit: UnitOfWork, owners: Mapping[str, frozenset[MatchKey]], known: str | None
) -> dict[str, frozenset[MatchKey]]:
    """Leave out customers that a person said are others than the known one."""
    said = match_decisions.of_customer(unit.session, known) if known and owners else {}
    return {
        owner: keys
        for owner, keys in owners.items()
        if said.get(match_decisions.customer_key(owner), True)
    }


def _identified(owners: Mapping[str, frozenset[MatchKey]]) -> str | None:
    """Return the customer of the strongest evidence, the oldest where several have it."""
    for wanted in (*({kind} for kind in _IDENTIFYING), {"domain", "name_country"}):
        for owner, shared in owners.items():
            if wanted <= {key.kind for key in shared}:
                return owner
    return None


def _add_keys(
    unit: UnitOfWork,
    customer_id: str,
    keys: frozenset[MatchKey],
    owners: Mapping[str, frozenset[MatchKey]],
) -> None:
    """Give a customer the keys it lacks; an identifier that is another's stays theirs."""
    taken = frozenset[MatchKey]().union(*owners.values())
    new = {k for k in keys if k.kind not in _IDENTIFYING or k not in taken}
    unit.session.add_all(
        CustomerKeyRow(kind=k.kind, value=k.value, customer_id=customer_id)
        for k in new - owners.get(customer_id, frozenset())
    )
    unit.session.flush()


def join(unit: UnitOfWork, *, loser: str, winner: str) -> None:
    """Make two customers one; claims that now overlap are contested, with no automatic loser."""
    session = unit.session
    kept = ClaimRow.state != ClaimState.RELEASED.value
    mine = session.scalars(select(ClaimRow).where(ClaimRow.customer_id == winner, kept)).all()
    contested: dict[str, ClaimRow] = {}
    for claim in session.scalars(select(ClaimRow).where(ClaimRow.customer_id == loser, kept)):
        rivals = [c for c in mine if (c.product_line, c.slot) == (claim.product_line, claim.slot)]
        contested |= {c.id: c for c in (claim, *rivals) if rivals}
    # In the order in which a push locks registrations, so that nobody waits in a circle.
    for claim in sorted(contested.values(), key=lambda c: c.registration_id):
        contest(unit, claim, "two protected customers turned out to be one")
    session.flush()
    both = repository.keys_of_customer(session, winner)
    session.execute(
        delete(CustomerKeyRow).where(
            CustomerKeyRow.customer_id == loser,
            tuple_(CustomerKeyRow.kind, CustomerKeyRow.value).in_(
                [(k.kind, k.value) for k in both]
            ),
        )
    )
    for table in (CustomerKeyRow, RegistrationRow, ClaimRow):
        session.execute(update(table).where(table.customer_id == loser).values(customer_id=winner))
    match_decisions.join(unit, loser=loser, winner=winner)
    audit.record(unit, f"customer:{winner}", "join customers", {"joined": loser})


def contest(unit: UnitOfWork, claim: ClaimRow, because: str) -> None:
    """Take a claim out of its slot and dispute its registration; its protection stays till then."""
    if claim.state == ClaimState.CONTESTED.value:
        return
    claim.state = ClaimState.CONTESTED.value
    before = repository.registration(unit.session, claim.registration_id, lock=True)
    after = replace(
        before, protection_state=ProtectionState.CONTESTED, dispute_state=DisputeState.OPEN
    )
    saved = repository.save(unit.session, after, unit.now)
    disputes.note(unit, saved.id, because)
    audit.record(
        unit,
        f"registration:{saved.id}",
        "open dispute",
        {"because": because, "claim": claim.id},
        partner={"message": "Your protection is being reviewed."},
    )
    work.request_push(unit, saved)

"""Which other registrations are about a customer, or its family, or may be: found by evidence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import Session

from registration_core.finding_claims import Rival
from registration_core.matching import (
    Match,
    MatchKey,
    Organisation,
    Relation,
    blocking,
    match_organisation,
    of_account,
    of_customer,
)
from registration_core.model import Account, Band, ProtectionState, Registration
from registration_core.store import match_decisions, match_index, repository
from registration_core.store.tables import RegistrationRow

_IN_MAX = 500
_PROTECTED = RegistrationRow.protection_state.in_(
    [state.value for state in ProtectionState if state.standing]
)
#: What a limit leaves out last.
_PROTECTED_FIRST = (_PROTECTED.desc(), RegistrationRow.receipt_seq.desc())
#: Most accounts of a customer through which other registrations are looked for.
_ACCOUNTS_MAX = 10
#: Made once, because making a statement costs more than to run it.
_PROTECTED_FOR = select(RegistrationRow.receipt_seq).where(
    RegistrationRow.receipt_seq.in_(bindparam("receipts", expanding=True)),
    RegistrationRow.product_line == bindparam("product_line"),
    _PROTECTED,
)
_CUSTOMERS = select(RegistrationRow.receipt_seq, RegistrationRow.customer).where(
    RegistrationRow.receipt_seq.in_(bindparam("receipts", expanding=True)),
    RegistrationRow.id.not_in(bindparam("without", expanding=True)),
)


def rivals_for(
    session: Session,
    registration: Registration,
    known: frozenset[MatchKey],
    accounts: Iterable[Account],
) -> list[Rival]:
    """Return every other registration that a check of this one has to know of, closed ones included.

    Those of the resolved customer, those that the evidence finds, and those that the customer's
    accounts lead to: who typed only the name and who typed only the website meet in an account
    that has both. What people said about a match counts before any evidence.
    """
    customer = of_customer(registration.customer)
    said = match_decisions.of_customer(session, registration.customer_id)
    confirmed = [
        key.removeprefix("customer:")
        for key, same in said.items()
        if same and key.startswith("customer:")
    ]
    one = {registration.customer_id, *confirmed, *repository.customers_with(session, known)}
    accounts = list(accounts)[:_ACCOUNTS_MAX]
    found_by = [of_account(account) for account in accounts]
    most = blocking.CAP
    receipts = _worth_comparing(
        session,
        registration.product_line,
        [
            match_index.search_registrations(session, customer, known, most),
            *match_index.search_registrations_of_all(session, found_by, most, most),
        ],
    )
    # Most are somebody else's: the customers alone are compared before anything else is read.
    typed = _typed(session, receipts, (registration.id,))
    direct = _matches(customer, known, receipts[0], typed)
    others = {receipt: other for receipt, other in typed.items() if receipt not in direct}
    through = _through(accounts, found_by, receipts[1:], others)
    found: list[Rival] = []
    for other in repository.registrations(
        session,
        RegistrationRow.receipt_seq.in_({*direct, *through}) | RegistrationRow.customer_id.in_(one),
        RegistrationRow.id != registration.id,
        order=_PROTECTED_FIRST,
    ):
        match = direct.get(other.receipt_seq)
        if match is None and other.customer_id in one:
            match = match_organisation(customer, known, of_customer(other.customer))
            if match is None and other.customer_id == registration.customer_id:
                match = Match(Band.STRONG, ("customer",))
        match = match or through.get(other.receipt_seq)
        judged = _judged(Rival(other, match), registration, said) if match else None
        if judged is not None:
            found.append(judged)
    return sorted(found, key=lambda rival: rival.match.band is not Band.STRONG)


def _worth_comparing(
    session: Session, product_line: str, likeliest_first: Sequence[list[int]]
) -> list[list[int]]:
    """Return the likeliest of each search, and with them whoever is protected for the line.

    A customer may be registered more often than is worth comparing; the one registration that
    stands in the way must not be lost among the others.
    """
    few = blocking.CANDIDATES_MAX
    beyond = sorted({receipt for each in likeliest_first for receipt in each[few:]})
    protected: set[int] = set()
    for at in range(0, len(beyond), _IN_MAX):
        asked = {"receipts": beyond[at : at + _IN_MAX], "product_line": product_line}
        protected.update(session.scalars(_PROTECTED_FOR, asked))
    return [
        each[:few] + [receipt for receipt in each[few:] if receipt in protected][:few]
        for each in likeliest_first
    ]


def _typed(
    session: Session, receipts: Iterable[Iterable[int]], without: Collection[str]
) -> dict[int, Organisation]:
    """Return the customers of live registrations as they were typed, by receipt."""
    asked = sorted({receipt for each in receipts for receipt in each})
    found: dict[int, Organisation] = {}
    for at in range(0, len(asked), _IN_MAX):
        few = {"receipts": asked[at : at + _IN_MAX], "without": list(without)}
        rows = session.execute(_CUSTOMERS, few)
        found |= {receipt: of_customer(customer) for receipt, customer in rows}
    return found


def _matches(
    customer: Organisation,
    known: frozenset[MatchKey],
    receipts: Iterable[int],
    typed: Mapping[int, Organisation],
) -> dict[int, Match]:
    return {
        receipt: match
        for receipt in receipts
        if receipt in typed and (match := match_organisation(customer, known, typed[receipt]))
    }


def _through(
    accounts: Sequence[Account],
    found_by: Sequence[Organisation],
    receipts: Sequence[list[int]],
    typed: Mapping[int, Organisation],
) -> dict[int, Match]:
    """Match registrations with the accounts that lead to them; that is worth a look at most."""
    found: dict[int, Match] = {}
    for account, organisation, each in zip(accounts, found_by, receipts, strict=True):
        held_by = f"only through {account.name} in {account.connection}"
        further = [receipt for receipt in each if receipt not in found]
        for receipt, match in _matches(organisation, frozenset(), further, typed).items():
            if match.relation in (Relation.SAME, Relation.POSSIBLY):
                found[receipt] = replace(match, band=Band.REVIEW, held_by=held_by)
    return found


def protected_kin(session: Session, changed: Sequence[Organisation]) -> list[set[str]]:
    """Return for each organisation the protected registrations it concerns: their ids.

    Their customer is this one, its family, or possibly so, by the same evidence that a check goes
    by. Some milliseconds for each that shares a telling key with anybody who is protected.
    """
    if not session.scalar(select(exists().where(_PROTECTED))):
        return [set() for _ in changed]
    found = match_index.search_registrations_of_all(session, changed)
    receipts = sorted({receipt for each in found for receipt in each})
    known: dict[int, tuple[str, Organisation]] = {}
    for at in range(0, len(receipts), _IN_MAX):
        rows = session.execute(
            select(RegistrationRow.receipt_seq, RegistrationRow.id, RegistrationRow.customer).where(
                RegistrationRow.receipt_seq.in_(receipts[at : at + _IN_MAX]), _PROTECTED
            )
        )
        known |= {seq: (key, of_customer(typed)) for seq, key, typed in rows}
    return [
        {
            known[receipt][0]
            for receipt in each
            if receipt in known and match_organisation(organisation, frozenset(), known[receipt][1])
        }
        for organisation, each in zip(changed, found, strict=True)
    ]


def protected_of(session: Session, customer_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return id and customer id of every protected registration of these customers, by id."""
    found: list[tuple[str, str]] = []
    for at in range(0, len(customer_ids), _IN_MAX):
        query = select(RegistrationRow.id, RegistrationRow.customer_id).where(
            RegistrationRow.customer_id.in_(customer_ids[at : at + _IN_MAX]),
            _PROTECTED,
        )
        found += [(row.id, row.customer_id) for row in session.execute(query)]
    return sorted(found)


def _judged(rival: Rival, registration: Registration, said: dict[str, bool]) -> Rival | None:
    """Put what is known of both customers before the evidence."""
    other = rival.registration.customer_id
    same = said.get(match_decisions.customer_key(other))
    if other == registration.customer_id or same:
        match = replace(rival.match, band=Band.STRONG, relation=Relation.SAME, held_by="")
        return Rival(rival.registration, match)
    return None if same is False else rival


def rivals_of(
    session: Session,
    customer: Organisation,
    known: frozenset[MatchKey] = frozenset(),
    without: Collection[str] = (),
) -> list[Rival]:
    """Return the live registrations whose customer is this one, its family, or possibly so.

    Live is pending or approved. Found and judged by the same evidence as accounts (names,
    domains, identifiers, places), whatever customer a registration was resolved to; each comes
    with band, relation and evidence, strong ones first. `known` are exact keys learned from the
    customer's accounts, which count like typed ones; `without` are ids of registrations to leave
    out. At most `blocking.CANDIDATES_MAX`, from a bounded number of rows; writes nothing.
    """
    receipts = match_index.search_registrations(session, customer, known)
    typed = _typed(session, [receipts], without)
    matches = _matches(customer, known, receipts, typed)
    if not matches:
        return []
    live = repository.registrations(session, RegistrationRow.receipt_seq.in_(matches))
    found = [Rival(registration, matches[registration.receipt_seq]) for registration in live]
    return sorted(found, key=lambda rival: rival.match.band is not Band.STRONG)

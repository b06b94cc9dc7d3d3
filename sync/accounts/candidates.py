"""The accounts that may be a check's customer: found in the directory, then read live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from sqlalchemy.orm import Session

from connectors.errors import ConnectorError
from connectors.port import Absence, Gone, RemoteRecord
from mapping.translate import read_fields
from registration_core.contracts import Condition, ConnectionName, Value
from registration_core.errors import ConfigurationError, SyncError
from registration_core.finding_claims import Candidate, OpenOpportunity
from registration_core.matching import (
    Match,
    MatchKey,
    Organisation,
    Relation,
    customer_keys,
    match_account,
    of_customer,
    relation_by_parent,
)
from registration_core.model import LIST_FILE, Account, Band, Registration
from registration_core.store import match_decisions, match_index, repository
from registration_core.store.account_lists import Entries
from sync.accounts import directory
from sync.accounts.completeness import Canary, require_seen
from sync.process.runtime import Runtime

#: Most open opportunities of candidate accounts that are read.
OPPORTUNITIES_MAX = 200


@dataclass(frozen=True)
class Wanted:
    """Whom a check looks for: the customer as typed, and the keys that are known of it."""

    customer: Organisation
    keys: frozenset[MatchKey]
    #: What people said: key of an account → whether it is the customer.
    said: Mapping[str, bool] = field(default_factory=dict)

    def match(self, account: Account) -> Match | None:
        """Compare with one account; None if it is another organisation, or a person said so."""
        same = self.said.get(match_decisions.account_key(account))
        if same is False:
            return None
        judged = match_account(self.customer, self.keys, account)
        if not same:
            return judged
        evidence = judged.evidence if judged else ()
        return Match(Band.STRONG, ("confirmed",), evidence=evidence)


#: How an account is related that is the customer itself, or may be.
MAY_BE = (Relation.SAME, Relation.POSSIBLY)


def wanted_of(session: Session, registration: Registration) -> Wanted:
    """Return whom a check of a registration looks for."""
    keys = customer_keys(registration.customer) | repository.keys_of_customer(
        session, registration.customer_id
    )
    said = match_decisions.of_customer(session, registration.customer_id)
    return Wanted(of_customer(registration.customer), keys, said)


def likely(session: Session, wanted: Wanted) -> list[Account]:
    """Return the accounts that may be the customer, and the family of those that surely are."""
    found = match_index.likely_accounts(session, wanted.customer, wanted.keys)
    for name, same in wanted.said.items():
        if same and name.startswith("account:"):
            _, connection, record_id = name.split(":", 2)
            account = repository.account(session, connection, record_id)
            found += [account] if account else []
    matches = {(a.connection, a.record_id): (a, m) for a in found if (m := wanted.match(a))}
    matched = {key: account for key, (account, _) in matches.items()}
    for account, match in matches.values():
        if match.band is Band.STRONG:
            for relative in match_index.relatives(session, account):
                matched.setdefault((relative.connection, relative.record_id), relative)
    return list(matched.values())


def may_be_customer(found: Iterable[Candidate]) -> list[Account]:
    """Return the accounts that are the customer itself or may be, relatives left out."""
    return [c.account for c in found if c.match.relation in MAY_BE and not c.from_file]


def read(
    runtime: Runtime,
    accounts: Sequence[Account],
    wanted: Wanted,
    entries: Entries,
    canaries: Mapping[ConnectionName, Sequence[Canary]],
) -> tuple[list[Candidate], dict[ConnectionName, str]]:
    """Read the candidates live, with their open opportunities; connections that fail are told.

    `entries` say what is known of them on lists; those from files stand here and are read nowhere.
    `canaries` are read with the candidates, and must be seen.
    """
    by_connection: dict[ConnectionName, list[Account]] = defaultdict(list)
    for account in accounts:
        by_connection[account.connection].append(account)
    candidates: list[Candidate] = []
    failed: dict[ConnectionName, str] = {}
    listed = [a for a in by_connection.pop(LIST_FILE, []) if place(a) in entries]
    candidates += [Candidate(a, m, entries=entries[place(a)]) for a, m in matched(listed, wanted)]
    for name in sorted({*by_connection, *canaries}):
        known = by_connection[name]
        try:
            ids = [a.record_id for a in known]
            live = _live(runtime, name, ids, wanted, canaries.get(name, ()))
        except (ConnectorError, SyncError, ConfigurationError) as error:
            failed[name] = error.message
            live = [Candidate(a, m) for a, m in matched(known, wanted)]
        candidates += [replace(c, entries=entries.get(place(c.account), {})) for c in live]
    return candidates, failed


def _live(
    runtime: Runtime,
    name: ConnectionName,
    ids: Sequence[str],
    wanted: Wanted,
    canaries: Sequence[Canary],
) -> list[Candidate]:
    crm, mapping = runtime.connector(name), runtime.mappings[name]
    asked = sorted({*ids, *(i for canary in canaries for i in canary.record_ids)})
    records = crm.read(mapping.accounts.object, asked, directory.account_reads(runtime, name))
    require_seen(canaries, records)
    found = _seen(name, {key: records[key] for key in ids})
    live = [directory.account_of(runtime, name, record) for record in found.values()]
    pairs = matched(live, wanted)
    opened = _open_opportunities(runtime, name, [account.record_id for account, _ in pairs])
    candidates = []
    for account, match in pairs:
        fields = read_fields(mapping.accounts.fields, found[account.record_id].fields)
        candidates.append(
            Candidate(
                account,
                match,
                tuple(opened.get(account.record_id, ())),
                _moment(fields.get("last_activity")),
                _words(fields.get("products")),
            )
        )
    return candidates


def _seen(
    name: ConnectionName, records: Mapping[str, RemoteRecord | Gone]
) -> dict[str, RemoteRecord]:
    """Return the accounts that are there; one out of our user's sight may have claims on it."""
    for key, record in records.items():
        if isinstance(record, Gone) and record.absence is Absence.NOT_FOUND:
            raise SyncError(
                f"account {key} cannot be seen any more: give our user sight of it, or if it was "
                f"deleted type dealreg connection accept-deletes {name}, then dealreg drift {name} "
                "--accounts"
            )
    return {key: record for key, record in records.items() if isinstance(record, RemoteRecord)}


def matched(accounts: Sequence[Account], wanted: Wanted) -> list[tuple[Account, Match]]:
    """Match accounts; the known family of a strong match in its CRM is brought along."""
    found = {place(a): (a, m) for a in accounts if (m := wanted.match(a))}
    for strong in [a for a, m in found.values() if m.band is Band.STRONG]:
        for other in accounts:
            apart = other.connection != strong.connection or place(other) in found
            relation = None if apart else relation_by_parent(strong, other)
            if relation is not None:
                found[place(other)] = (other, Match(Band.REVIEW, ("family",), relation))
    return list(found.values())


def place(account: Account) -> tuple[str, str]:
    """Return where an account stands in the account directory."""
    return account.connection, account.record_id


def _open_opportunities(
    runtime: Runtime, name: ConnectionName, account_ids: Sequence[str]
) -> dict[str, list[OpenOpportunity]]:
    if not account_ids:
        return {}
    mapping = runtime.mappings[name].opportunities
    found = runtime.connector(name).select(
        mapping.object,
        (Condition(mapping.account, tuple(account_ids)), *mapping.open),
        mapping.reads(),
        OPPORTUNITIES_MAX,
    )
    if not found.complete:
        raise SyncError(f"the customer has more than {OPPORTUNITIES_MAX} open opportunities")
    opened: dict[str, list[OpenOpportunity]] = defaultdict(list)
    for record in found.records:
        if record.fields.get(mapping.key):
            continue  # one of ours
        fields = read_fields(mapping.fields, record.fields)
        account_id = str(record.fields.get(mapping.account) or "")
        opened[account_id].append(
            OpenOpportunity(
                name, record.object, record.record_id, account_id,
                str(fields.get("name") or ""), str(fields.get("owner") or ""),
                _moment(fields.get("last_activity")) or record.modified_at,
            )
        )  # fmt: skip
    return opened


def _moment(value: Value) -> datetime | None:
    """Read a day or time as a time; what is neither says nothing."""
    if isinstance(value, datetime):
        return value
    return (
        datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, date)
        else None
    )


def _words(value: Value) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "")

"""Whether the account directory may be believed: "complete" is proven, not assumed.

The canaries of every list must be found on it, in the directory and in the CRM itself: no feed tells
of accounts that went out of our user's sight, and the directory keeps them. A list that shrank below
the program's share of its last complete count is not believed until a person accepts the new one, and
an index that lags behind further than evidence may be old is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.port import CrmConnector, Gone, RemoteRecord
from registration_core.contracts import ConnectionName
from registration_core.errors import NotFound, SyncError
from registration_core.model import Actor, Reading
from registration_core.program import AccountList, ListKind, Program
from registration_core.store import audit, match_index
from registration_core.store.tables import ListCountRow
from sync.accounts import directory
from sync.process.runtime import Runtime

_UNRELIABLE = "the match keys are being made anew: type dealreg db reindex unless that runs already"


def reading(
    runtime: Runtime, program: Program, crm: CrmConnector, fresh: directory.Refresh
) -> Reading:
    """Say whether a refreshed connection may be believed: canaries found, lists not shrunken.

    And its index not so far behind that what it answers is too old; that alone may be accepted.
    """
    if not fresh.complete:
        return Reading(crm.name, False, fresh.as_of, "not every change was read yet")
    with runtime.database.read() as session:
        if not match_index.reliable(session):
            return Reading(crm.name, False, fresh.as_of, _UNRELIABLE)
    for rule in program.lists:
        if rule.connection != crm.name:
            continue
        missing = next((c for c in _canaries_of(runtime, rule) if not c.found), None)
        if missing is not None:
            return Reading(crm.name, False, fresh.as_of, missing.missing)
        shrunken = _shrunken(runtime, program, rule, crm)
        if shrunken:
            return Reading(crm.name, False, fresh.as_of, shrunken)
    limit = program.freshness_seconds[crm.name]
    if runtime.database.clock() - fresh.as_of > timedelta(seconds=limit):
        reason = f"its answers lag by more than {limit} seconds"
        return Reading(crm.name, False, fresh.as_of, reason, overridable=True)
    return Reading(crm.name, True, fresh.as_of)


@dataclass(frozen=True)
class Canary:
    """An account that must always be on a list, as the directory knows it."""

    rule: AccountList
    tax_id: str
    record_ids: tuple[str, ...]
    #: The directory has it on the list.
    found: bool

    @property
    def missing(self) -> str:
        """Why a check is incomplete where it is not to be found."""
        return f"the canary of the {self.rule.kind.value} list (tax id {self.tax_id}) is missing"


def canaries(runtime: Runtime, program: Program, connection: ConnectionName) -> list[Canary]:
    """Return the canaries of a connection's lists."""
    rules = [rule for rule in program.lists if rule.connection == connection]
    return [canary for rule in rules for canary in _canaries_of(runtime, rule)]


def require_seen(canaries: Sequence[Canary], records: Mapping[str, RemoteRecord | Gone]) -> None:
    """Raise `SyncError` unless each canary is on its list in what was just read of the CRM."""
    for canary in canaries:
        read = [records[record_id] for record_id in canary.record_ids]
        where = canary.rule.where
        if not any(isinstance(r, RemoteRecord) and directory.fits(r.fields, where) for r in read):
            raise SyncError(canary.missing)


def _canaries_of(runtime: Runtime, rule: AccountList) -> list[Canary]:
    made = []
    with runtime.database.read() as session:
        for tax_id in rule.canary_tax_ids:
            known = match_index.accounts_with_tax_id(session, rule.connection, tax_id)
            on_list = any(rule.kind in account.lists for account in known)
            made.append(Canary(rule, tax_id, tuple(a.record_id for a in known), on_list))
    return made


def _shrunken(runtime: Runtime, program: Program, rule: AccountList, crm: CrmConnector) -> str:
    """Tell how a list shrank, else nothing.

    A list is counted again when an account left it, and when its count is older than evidence may
    be: a predicate that finds nothing any more shows in no change of an account.
    """
    key = (rule.connection, rule.kind.value)
    believed = timedelta(seconds=program.freshness_seconds[rule.connection])
    with runtime.database.read() as session:
        row = session.get(ListCountRow, key)
        if row is not None and runtime.database.clock() - row.counted_at < believed:
            return ""
    accounts = crm.count(runtime.mappings[rule.connection].accounts.object, rule.where)
    with runtime.database.begin() as unit:
        row = unit.session.get(ListCountRow, key, with_for_update=True)
        if row is not None and accounts < row.accounts * program.list_shrink_limit:
            return (
                f"the {rule.kind.value} list has {accounts} accounts, it had {row.accounts}: "
                f"type dealreg account-list accept-count {rule.connection} {rule.kind.value} if that is right"
            )
        if row is None:
            row = ListCountRow(
                connection=rule.connection, kind=rule.kind.value, accounts=accounts
            )  # fmt: skip
            unit.session.add(row)
        _keep(row, accounts, unit.now)
    return ""


def _keep(row: ListCountRow, accounts: int, now: datetime) -> None:
    """Keep a count; the last one of an earlier day stays beside it."""
    if row.counted_on is not None and row.counted_on < now.date():
        row.before, row.before_on = row.accounts, row.counted_on
    row.accounts, row.counted_at, row.counted_on = accounts, now, now.date()


def accept_list(runtime: Runtime, connection: ConnectionName, kind: ListKind, actor: Actor) -> int:
    """Accept a list's present length as its new measure, as a person; returns it."""
    crm = runtime.connector(connection)
    rules = [rule for rule in directory.lists_of(runtime, connection) if rule.kind is kind]
    if not rules:
        raise NotFound(f"No program reads a {kind.value} list in {connection}.")
    accounts = crm.count(runtime.mappings[connection].accounts.object, rules[0].where)
    with runtime.database.begin(actor) as unit:
        row = unit.session.get(ListCountRow, (connection, kind.value), with_for_update=True)
        if row is not None:
            audit.record(
                unit, f"connection:{connection}", "accept list length",
                {"list": kind.value, "from": row.accounts, "to": accounts},
            )  # fmt: skip
            _keep(row, accounts, unit.now)
        unit.nudges.add("check")
    return accounts

"""Whether the account directory may be believed: "complete" is proven, not assumed.

A canary of every list must be found on it, a list that shrank below the program's share of its last
complete count is not believed until a person accepts the new one, and an index that lags behind
further than evidence may be old is waited for.
"""

from __future__ import annotations

from datetime import timedelta

from connectors.port import CrmConnector
from registration_core.contracts import ConnectionName
from registration_core.errors import NotFound
from registration_core.model import Actor, Reading
from registration_core.program import AccountList, ListKind, Program
from registration_core.store import audit, match_index
from registration_core.store.tables import ListCountRow
from sync import directory
from sync.runtime import Runtime

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
        if not _canary_found(runtime, rule):
            reason = (
                f"the canary of the {rule.kind.value} list (tax id {rule.canary_tax_id}) is missing"
            )
            return Reading(crm.name, False, fresh.as_of, reason)
        shrunken = _shrunken(runtime, program, rule, crm)
        if shrunken:
            return Reading(crm.name, False, fresh.as_of, shrunken)
    limit = program.freshness_seconds[crm.name]
    if runtime.database.clock() - fresh.as_of > timedelta(seconds=limit):
        reason = f"its answers lag by more than {limit} seconds"
        return Reading(crm.name, False, fresh.as_of, reason, overridable=True)
    return Reading(crm.name, True, fresh.as_of)


def _canary_found(runtime: Runtime, rule: AccountList) -> bool:
    with runtime.database.read() as session:
        found = match_index.accounts_with_tax_id(session, rule.connection, rule.canary_tax_id)
    return any(rule.kind in account.lists for account in found)


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
                connection=rule.connection, kind=rule.kind.value, accounts=accounts,
                counted_at=unit.now,
            )  # fmt: skip
            unit.session.add(row)
        row.accounts, row.counted_at = accounts, unit.now
    return ""


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
            row.accounts, row.counted_at = accounts, unit.now
        unit.nudges.add("check")
    return accounts

"""`connection check` for Dynamics 365: every step proven by asking, with the remedy when it fails.

Privileges are read, not tried: the role of our user (`RetrieveUserPrivileges`) against the
privileges of each table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from connectors.dynamics365.registration import registration
from connectors.dynamics365.tables import CURRENCY, OPPORTUNITY, USER, Table, Tables
from connectors.dynamics365.transport import Transport
from connectors.errors import ConnectorError
from connectors.port import ApiBudget, CheckItem, ObjectNeed, OrgIdentity

_ORGANISATION = "Global"


class Checker:
    """Runs the steps; each answers for itself, and only signing in stops the rest."""

    def __init__(
        self,
        transport: Transport,
        tables: Tables,
        identity: Callable[[], OrgIdentity],
        budget: Callable[[], ApiBudget | None],
        webhook_of: str,
    ) -> None:
        """Check as `identity`; `webhook_of` is the connection whose webhook is awaited, or empty."""
        self._transport = transport
        self._tables = tables
        self._identity = identity
        self._budget = budget
        self._connection = webhook_of

    def run(self, needs: Sequence[ObjectNeed]) -> tuple[CheckItem, ...]:
        """Run every step."""
        try:
            identity = self._identity()
        except ConnectorError as error:
            return (CheckItem("sign in", ok=False, detail=error.message, remedy=_remedy(error)),)
        items = [
            CheckItem("sign in", ok=True, detail=f"org {identity.org_id}, user {identity.user_id}")
        ]
        try:
            held = self._privileges(identity.user_id)
        except ConnectorError as error:
            detail = error.message
            remedy = "Let the security role read users, roles and privileges."
            return (*items, CheckItem("security role", ok=False, detail=detail, remedy=remedy))
        for need in needs:
            try:
                items += self._object(need, held)
            except ConnectorError as error:
                items.append(
                    CheckItem(need.object, ok=False, detail=error.message, remedy=_remedy(error))
                )
        if self._connection:
            items += self._webhook(needs)
        budget = self._budget()
        if budget is not None:
            detail = f"{budget.used} of {budget.allowed} requests used ({budget.window})"
            items.append(CheckItem("API budget", ok=budget.used < budget.allowed, detail=detail))
        return tuple(dict.fromkeys(items))  # tables share what they point at

    def _privileges(self, user_id: str) -> Mapping[str, str]:
        address = f"systemusers({user_id})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
        rows = self._transport.get_json(address, "read privileges")["RolePrivileges"]
        return {row["PrivilegeId"].lower(): row["Depth"] for row in rows}

    def _object(self, need: ObjectNeed, held: Mapping[str, str]) -> Iterator[CheckItem]:
        table = self._tables.table(need.object, (*need.reads, *need.writes))
        yield self._readable(table, held)
        if CURRENCY in (*need.reads, *need.writes):
            yield _privilege(self._tables.table("transactioncurrency"), "Read", held)
        if need.names_users:
            yield self._readable(self._tables.table(USER), held)
        if need.reads:
            yield _tracked(table, held)
        if need.writes or need.key_field:
            yield from (_privilege(table, access, held) for access in ("Create", "Write"))
            yield from self._appending(table, need, held)
            yield from self._closing(table, need, held)
            yield _writable(table, need)
            yield _precondition(table)
        if need.key_field:
            yield _key(table, need.key_field)

    def _appending(
        self, table: Table, need: ObjectNeed, held: Mapping[str, str]
    ) -> Iterator[CheckItem]:
        """A row that points at others takes a privilege on its own table and one on each of theirs."""
        targets = {
            target
            for name in need.writes
            if name != CURRENCY and table.columns[name].kind in ("Lookup", "Customer")
            for target in table.columns[name].navigation
        }
        if targets:
            yield _privilege(table, "Append", held)
        for target in sorted(targets):
            yield _privilege(self._tables.table(target), "AppendTo", held)

    def _closing(
        self, table: Table, need: ObjectNeed, held: Mapping[str, str]
    ) -> Iterator[CheckItem]:
        """Closing an opportunity makes an activity that points at it."""
        if need.object != OPPORTUNITY or "statecode" not in need.writes:
            return
        activity = self._tables.table("opportunityclose")
        yield from (_privilege(activity, access, held) for access in ("Create", "Read", "Append"))
        yield _privilege(table, "AppendTo", held)

    def _webhook(self, needs: Sequence[ObjectNeed]) -> Iterator[CheckItem]:
        """Tables that cannot be read have been told already, and are left out."""
        columns: dict[str, set[str]] = {}
        for need in needs:
            if not need.reads:
                continue
            try:
                table = self._tables.table(need.object, need.reads)
            except ConnectorError:
                continue
            changing = columns.setdefault(need.object, set())
            changing |= {
                table.columns[name].logical_name
                for name in need.reads
                if table.columns[name].changes
            }
        yield from registration(self._transport, self._connection, columns)

    def _readable(self, table: Table, held: Mapping[str, str]) -> CheckItem:
        # A field-level profile may hide a column that the metadata shows; a row would tell.
        self._transport.get(f"{table.set_name}?$select={table.primary_id}&$top=1", "check")
        return _privilege(table, "Read", held)


def _remedy(error: ConnectorError) -> str:
    return error.hint or "See docs/dynamics.md."


def _privilege(table: Table, access: str, held: Mapping[str, str]) -> CheckItem:
    name, privilege_id = table.privileges.get(access, ("", ""))
    words = {"AppendTo": "append to"}.get(access, access.lower())
    step = f"{table.schema.name}: {words} privilege"
    if not name:
        return CheckItem(step, ok=True, detail="the table has no such privilege")
    depth = held.get(privilege_id.lower())
    if depth is None:
        return CheckItem(
            step,
            ok=False,
            detail=f"{name} is missing",
            remedy=f"Add {name} to the security role of the application user.",
        )
    return CheckItem(step, ok=True, detail=f"{name} ({depth})")


def _tracked(table: Table, held: Mapping[str, str]) -> CheckItem:
    step = f"{table.schema.name}: change tracking"
    if not table.change_tracking:
        detail = "is off: changes are found by their time, deletions only once a day"
        remedy = f"Switch on Track changes for the table {table.schema.name}."
        return CheckItem(step, ok=True, detail=detail, remedy=remedy, warning=True)
    name, privilege_id = table.privileges.get("Read", ("", ""))
    if held.get(privilege_id.lower()) != _ORGANISATION:
        remedy = f"Give {name} at organisation level; the change feed asks for it."
        return CheckItem(step, ok=False, detail="our user may not read every row", remedy=remedy)
    return CheckItem(step, ok=True)


def _writable(table: Table, need: ObjectNeed) -> CheckItem:
    step = f"{table.schema.name}: columns to write"
    locked = [
        name
        for name in need.writes
        if not (table.columns[name].schema.createable or table.columns[name].schema.updateable)
    ]
    if locked:
        return CheckItem(
            step,
            ok=False,
            detail=f"read-only: {', '.join(locked)}",
            remedy="Map another column, or make the direction of the mapping pull.",
        )
    return CheckItem(step, ok=True, detail=f"{len(need.writes)} columns")


def _precondition(table: Table) -> CheckItem:
    step = f"{table.schema.name}: optimistic concurrency"
    if table.optimistic_concurrency:
        return CheckItem(step, ok=True)
    return CheckItem(
        step,
        ok=False,
        detail="the table takes no If-Match precondition",
        remedy="Mirror to a table that supports it: custom tables and opportunity do.",
    )


def _key(table: Table, key_field: str) -> CheckItem:
    step = f"{table.schema.name}: alternate key on {key_field}"
    active = table.keys.get((key_field,))
    if active is None:
        remedy = f"Add an alternate key that holds {key_field} alone to {table.schema.name}."
        return CheckItem(step, ok=False, detail="there is none", remedy=remedy)
    if not active:
        remedy = "Wait until its index is Active, or reactivate the key if it failed."
        return CheckItem(step, ok=False, detail="its index is not active", remedy=remedy)
    return CheckItem(step, ok=True)

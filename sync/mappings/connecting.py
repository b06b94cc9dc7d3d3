"""`connection check`: prove credentials, permissions, key fields, mapping and org before use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import structlog

from connectors.errors import CallRejected, ConnectorError
from connectors.port import CheckItem, CrmConnector, ObjectNeed
from mapping.check import SchemaReport, has_type, objects_of
from mapping.check import check as check_mapping
from mapping.schema import ConnectionMapping, GroupMapping, ObjectMapping
from registration_core.contracts import ConnectionName, FieldSchema, ObjectSchema, Value
from registration_core.errors import Problem, SyncError
from registration_core.fields import FieldGroup
from registration_core.model import ProtectionState, RegistrationState
from registration_core.program import AccountList, Program, Role
from sync.accounts import directory
from sync.ledger.tables import ConnectionStateRow
from sync.mappings.users import unknown_users
from sync.process.runtime import Runtime

log = structlog.get_logger()

#: A freshness limit of so many lags leaves people the time to decide on what was answered.
LAGS_TO_DECIDE = 3


def check(runtime: Runtime, name: str) -> tuple[CheckItem, ...]:
    """Return every step with its outcome and, where it fails, the remedy. Writes nothing."""
    crm = runtime.connector(name)
    mapping = runtime.mappings[ConnectionName(name)]
    # Two objects of the mapping may stand on one of the CRM.
    items = list(dict.fromkeys(crm.check(needs_of(runtime, mapping))))
    if any(not item.ok and not item.warning for item in items):
        return tuple(items)
    try:
        identity = crm.identity()
        items.append(CheckItem("pinned org", True, identity.org_id))
        items.append(_deliveries(runtime, crm))
        items += _freshness(runtime, crm)
        report = check_against_all(runtime, name, history=False)  # the CRM's own check told of it
    except (ConnectorError, SyncError) as error:
        items.append(CheckItem("org", False, error.message, error.hint))
        return tuple(items)
    items += [
        CheckItem("mapping", False, f"{p.where}: {p.what}", p.remedy) for p in report.problems
    ]
    items += [
        CheckItem("mapping", True, f"{p.where}: {p.what}", p.remedy, warning=True)
        for p in report.warnings
    ]
    accounts = mapping.accounts.object
    items += lists_against(
        directory.lists_of(runtime, mapping.connection), accounts, crm.describe(accounts)
    )
    if not report.problems:
        items.append(CheckItem("mapping", True, f"{mapping.source.name} fits the live schema"))
    return tuple(items)


def _deliveries(runtime: Runtime, crm: CrmConnector) -> CheckItem:
    """Tell when a webhook was last taken: no CRM says whether it would send one."""
    with runtime.database.read() as session:
        state = session.get(ConnectionStateRow, crm.name)
    step = "last webhook"
    if state is None or state.webhook_at is None:
        return CheckItem(
            step,
            True,
            "none was taken yet: changes are found by the poll alone",
            f"Set up what {crm.name} sends, then change a record there that the mapping reads.",
            warning=True,
        )
    return CheckItem(step, True, f"taken at {state.webhook_at:%Y-%m-%d %H:%M} UTC")


def _freshness(runtime: Runtime, crm: CrmConnector) -> Iterator[CheckItem]:
    """Hold how old the answers about accounts are against what each program takes for fresh."""
    fields = directory.account_reads(runtime, crm.name)
    page = crm.changes(runtime.mappings[crm.name].accounts.object, fields, None)
    lag = max(0, round((runtime.database.clock() - page.as_of).total_seconds()))
    for program in runtime.programs.values():
        if crm.name not in program.required_connections:
            continue
        limit = program.freshness_seconds[crm.name]
        told = f"its answers lag by {lag} seconds, {program.name} takes them for {limit}"
        if 2 * lag <= limit:
            yield CheckItem("freshness", True, told)
            continue
        never = lag >= limit
        yield CheckItem(
            "freshness",
            not never,
            told + (": no check is ever complete" if never else ": hardly time to decide"),
            f"Type in programs/{program.name}.yaml, under checks: "
            f"freshness_seconds: {{{crm.name}: {LAGS_TO_DECIDE * lag}}}, or more.",
            warning=not never,
        )


def needs_of(runtime: Runtime, mapping: ConnectionMapping) -> tuple[ObjectNeed, ...]:
    """Return what the mapping and the programs want of each object of a connection."""
    needs = [
        ObjectNeed(
            mapped.object,
            mapped.key,
            mapped.reads(),
            mapped.writes(),
            _written_elsewhere(runtime, mapping, mapped),
            mapped.two_way(),
            names_users=mapped.user is not None,
        )
        for mapped in mapping.objects.values()
    ]
    for mapped in mapping.objects.values():
        for each in mapped.companions.values():
            made = each.made
            needs.append(ObjectNeed(made.object, made.key, (), made.writes()))
    needs.append(
        ObjectNeed(
            mapping.accounts.object, None, directory.account_reads(runtime, mapping.connection)
        )
    )
    if mapping.opportunities.object not in {need.object for need in needs}:
        needs.append(ObjectNeed(mapping.opportunities.object, None, mapping.opportunities.reads()))
    if (stamp := mapping.opportunities.stamp) is not None:
        needs.append(ObjectNeed(stamp.object, None, stamp.reads(), stamp.writes()))
    return tuple(needs)


def _written_elsewhere(
    runtime: Runtime, mapping: ConnectionMapping, mapped: ObjectMapping
) -> Mapping[str, tuple[str, ...]]:
    """Return what other vendors' CRMs get of us, too, in this object's own field names."""
    found: dict[str, tuple[str, ...]] = {}
    for other in list(runtime.mappings.values()):
        if other.connection == mapping.connection or other.connection not in runtime.connectors:
            continue
        pushed = {r.ours.name for o in other.objects.values() for r in o.rows if r.pushes}
        fields = [f for r in mapped.rows if r.pushes and r.ours.name in pushed for f in r.theirs]
        vendor = runtime.connectors[other.connection].capabilities.vendor
        found[vendor] = tuple(dict.fromkeys([*found.get(vendor, ()), *fields]))
    return found


def lists_against(
    lists: Iterable[AccountList], object_name: str, schema: ObjectSchema
) -> Iterator[CheckItem]:
    """Hold the predicates of account lists against what the CRM says their fields take."""
    for rule in lists:
        for condition in rule.where:
            field = schema.fields.get(condition.field)
            if field is None:
                continue  # the CRM's own check tells of a field that is not there
            never = [v for v in condition.values if v is not None and not _may_be(field, v)]
            if never:
                told = [f"'{v}'" if isinstance(v, str) else str(v) for v in never]
                takes = ", ".join(field.options or ()) or f"a {field.type.value}"
                yield CheckItem(
                    f"list {rule.kind.value}",
                    False,
                    f"{object_name}.{field.name} never is {', '.join(told)}; it takes {takes}",
                    "Correct the list in the program (quote a text; write true, false and numbers "
                    "without quotes), or add the value in the CRM.",
                )


def _may_be(field: FieldSchema, value: Value) -> bool:
    return has_type(field, value) and (field.options is None or value in field.options)


def check_against_all(runtime: Runtime, name: str, *, history: bool = True) -> SchemaReport:
    """Hold a connection's mapping against the CRM's live schema and against the programs.

    Without `history`, two-way fields whose past values the CRM does not keep are not told of.
    """
    mapping = runtime.mappings[ConnectionName(name)]
    crm = runtime.connector(name)
    schemas = describe_all(crm, mapping)
    proven = crm.capabilities.precondition or not history
    known = known_values(runtime.programs)
    found = check_mapping(mapping, schemas, precondition=proven, values=known)
    warnings = (*found.warnings, *check_against_programs(mapping, runtime.programs))
    return SchemaReport((*found.problems, *unknown_users(crm, mapping)), warnings)


def check_against_programs(
    mapping: ConnectionMapping, programs: Mapping[str, Program]
) -> tuple[Problem, ...]:
    """Tell where a row's direction and what a program lets the CRM change do not go together.

    Reads no CRM. Nothing of it keeps a mapping from being used: an edit that may not be made is
    put back, which is what a program may want.
    """
    found: dict[str, Problem] = {}
    for mapped in mapping.objects.values():
        for program in programs.values():
            role = Role(mapped.role)
            if role not in _roles_in(program, mapping.connection):
                continue
            for group in mapped.groups.values():
                told = _direction_against(program, mapping.connection, role, group)
                if told is not None:
                    found.setdefault(f"{told.where} {told.what}", told)
    return (*found.values(), *_never(mapping, programs))


def known_values(programs: Mapping[str, Program]) -> dict[str, Sequence[str]]:
    """Return what fields of ours may have, by name, where it is known: of some text, nobody knows."""
    return {
        "registration_state": [state.value for state in RegistrationState],
        "protection_state": [state.value for state in ProtectionState],
        "product_line": sorted({line for p in programs.values() for line in p.product_lines}),
        "currency": sorted({each for p in programs.values() for each in p.currencies}),
    }


def _never(mapping: ConnectionMapping, programs: Mapping[str, Program]) -> Iterator[Problem]:
    """Tell of values that a `when` waits for and no registration ever has."""
    known = known_values(programs)
    for name, mapped in mapping.objects.items():
        for condition in mapped.when:
            for value in condition.values:
                if condition.field in known and value not in known[condition.field]:
                    path = ("objects", name, "when", condition.field)
                    what = f"{condition.field} is never '{value}', so that this never fits"
                    remedy = f"one of: {', '.join(known[condition.field])}"
                    yield mapping.source.problem(path, what, remedy)


def _roles_in(program: Program, connection: ConnectionName) -> frozenset[Role]:
    home = {Role.HOME} if any(rule.connection == connection for rule in program.homes) else set()
    return frozenset(home | ({Role.MIRROR} if connection in program.mirrors else set()))


def _direction_against(
    program: Program, connection: ConnectionName, role: Role, group: GroupMapping
) -> Problem | None:
    authority = program.authority[FieldGroup(group.name)].values()
    may_write = any(each.may_write(connection, role) for each in authority)
    merged = [row for row in group.rows if row.merges]
    pulling = [row for row in merged if row.pulls]
    writer = "home" if role is Role.HOME else "mirrors"
    rules = f"authority.{group.name} of program {program.name}"
    if pulling and not may_write:
        return Problem(
            pulling[0].where,
            f"{group.name} flows from the CRM, and program {program.name} lets no {writer} change "
            "it: an edit there is put back",
            f"direction: push, or add {writer} to the writers in {rules}",
        )
    if merged and may_write and not pulling:
        return Problem(
            merged[0].where,
            f"program {program.name} lets {writer} change {group.name}, and it only flows to the "
            "CRM: an edit there is put back",
            f"direction: both, or take {writer} off the writers in {rules}",
        )
    return None


def describe_all(crm: CrmConnector, mapping: ConnectionMapping) -> Mapping[str, ObjectSchema]:
    """Describe every object that the mapping names, as it is now; what is not there is left out."""
    schemas: dict[str, ObjectSchema] = {}
    for name in objects_of(mapping):
        try:
            schemas[name] = crm.describe(name, fresh=True)
        except CallRejected as error:  # it does not exist, or our user may not see it
            log.warning("no such object", connection=crm.name, reason=error.message)
    return schemas

"""`connection check`: prove credentials, permissions, key fields, mapping and org before use."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.errors import ConnectorError
from connectors.port import CheckItem, CrmConnector, ObjectNeed
from mapping.check import check as check_mapping
from mapping.check import objects_of
from mapping.schema import ConnectionMapping
from registration_core.contracts import ConnectionName, ObjectSchema
from registration_core.errors import SyncError
from sync import directory
from sync.runtime import Runtime


def check(runtime: Runtime, name: str) -> tuple[CheckItem, ...]:
    """Return every step with its outcome and, where it fails, the remedy. Writes nothing."""
    crm = runtime.connector(name)
    mapping = runtime.mappings[ConnectionName(name)]
    items = list(crm.check(needs_of(runtime, mapping)))
    if any(not item.ok and not item.warning for item in items):
        return tuple(items)
    try:
        identity = crm.identity()
        items.append(CheckItem("pinned org", True, identity.org_id))
        schemas = describe_all(crm, mapping)
    except (ConnectorError, SyncError) as error:
        items.append(CheckItem("org", False, error.message, error.hint))
        return tuple(items)
    report = check_mapping(mapping, schemas)
    items += [
        CheckItem("mapping", False, f"{p.where}: {p.what}", p.remedy) for p in report.problems
    ]
    items += [
        CheckItem("mapping", True, f"{p.where}: {p.what}", p.remedy, warning=True)
        for p in report.warnings
    ]
    if not report.problems:
        items.append(CheckItem("mapping", True, f"{mapping.source.name} fits the live schema"))
    return tuple(items)


def needs_of(runtime: Runtime, mapping: ConnectionMapping) -> tuple[ObjectNeed, ...]:
    """Return what the mapping and the programs want of each object of a connection."""
    needs = [
        ObjectNeed(mapped.object, mapped.key, mapped.reads(), mapped.writes())
        for mapped in mapping.objects.values()
    ]
    needs.append(
        ObjectNeed(
            mapping.accounts.object, None, directory.account_reads(runtime, mapping.connection)
        )
    )
    if mapping.opportunities.object not in {need.object for need in needs}:
        needs.append(ObjectNeed(mapping.opportunities.object, None, mapping.opportunities.reads()))
    return tuple(needs)


def describe_all(crm: CrmConnector, mapping: ConnectionMapping) -> Mapping[str, ObjectSchema]:
    """Describe every object that the mapping names."""
    return {name: crm.describe(name) for name in objects_of(mapping)}

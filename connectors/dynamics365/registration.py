"""Is our webhook registered, with a step for every message of every table we mirror, well filtered?

Nothing is lost without it, for the change feed brings everything, so what is missing is a warning;
only a synchronous step fails the check, because it can abort a user's save. Dataverse developer
guide, "Register a webhook"; developer reference, "SdkMessageProcessingStep".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from connectors.dynamics365 import wire
from connectors.dynamics365.transport import Transport
from connectors.errors import ConnectorError
from connectors.port import CheckItem

_STEP = "webhook"
_UPDATE = "Update"
_MESSAGES = ("Create", _UPDATE, "Delete")
_WEBHOOK, _ASYNCHRONOUS, _POST_OPERATION = 8, 1, 40
_HOW = "See docs/dynamics.md, section Webhook."


def registration(
    transport: Transport, connection: str, tables: Mapping[str, Collection[str]]
) -> Iterator[CheckItem]:
    """Read the registration and tell what it lacks; a role that may not read it is told too.

    `tables` are those that steps are wanted for, with the columns that calls should tell of.
    """
    try:
        endpoints = _rows(
            transport, "serviceendpoints", "serviceendpointid,name,url", f"contract eq {_WEBHOOK}"
        )
        ours = [row for row in endpoints if _leads_to(str(row.get("url") or ""), connection)]
        if not ours:
            yield _warning(f"none is registered to an address that ends in /webhooks/{connection}")
            return
        yield CheckItem(_STEP, ok=True, detail=", ".join(str(row["url"]) for row in ours))
        yield from _steps(transport, [str(row["serviceendpointid"]) for row in ours], tables)
    except ConnectorError as error:
        remedy = (
            "Let the security role read Service Endpoint, SDK Message and its filters and steps."
        )
        yield CheckItem(_STEP, ok=True, detail=error.message, remedy=remedy, warning=True)


def _steps(
    transport: Transport, endpoint_ids: Sequence[str], tables: Mapping[str, Collection[str]]
) -> Iterator[CheckItem]:
    messages = {
        row["sdkmessageid"]: row["name"]
        for row in _rows(transport, "sdkmessages", "sdkmessageid,name", _any("name", _MESSAGES))
    }
    filters = {
        row["sdkmessagefilterid"]: row["primaryobjecttypecode"]
        for row in _rows(
            transport,
            "sdkmessagefilters",
            "sdkmessagefilterid,primaryobjecttypecode",
            _any("primaryobjecttypecode", list(tables)),
        )
    }
    handlers = wire.either(f"_eventhandler_value eq {one}" for one in endpoint_ids)
    columns = "name,mode,stage,filteringattributes,_sdkmessageid_value,_sdkmessagefilterid_value"
    found = _rows(transport, "sdkmessageprocessingsteps", columns, f"{handlers} and statecode eq 0")
    for row in found:
        if row["mode"] != _ASYNCHRONOUS:
            detail = f"the step {row['name']} is synchronous: a failing call aborts the user's save"
            remedy = "Make it asynchronous in the Plug-in Registration Tool."
            yield CheckItem(_STEP, ok=False, detail=detail, remedy=remedy)
    covered: dict[tuple[str, str], list[str]] = {}
    for row in found:
        table = filters.get(row["_sdkmessagefilterid_value"], "")
        message = messages.get(row["_sdkmessageid_value"], "")
        if row["stage"] == _POST_OPERATION:
            covered.setdefault((table, message), []).append(row.get("filteringattributes") or "")
    for table, wanted in tables.items():
        missing = [message for message in _MESSAGES if (table, message) not in covered]
        if missing:
            yield _warning(f"no post-operation step for {', '.join(missing)} of {table}")
        yield from _filtering(table, wanted, covered.get((table, _UPDATE), ()))


def _filtering(table: str, wanted: Collection[str], steps: Sequence[str]) -> Iterator[CheckItem]:
    """Tell of an Update step that calls for every column, or not for one that is mapped."""
    if not steps:
        return
    if not all(steps):
        detail = f"the step for Update of {table} has no filtering attributes: any change calls"
        remedy = f"Set them to the mapped columns: {', '.join(sorted(wanted))}."
        yield CheckItem(_STEP, ok=True, detail=detail, remedy=remedy, warning=True)
        return
    listed = {name.strip() for step in steps for name in step.split(",")}
    silent = sorted(set(wanted) - listed)
    if silent:
        yield _warning(f"the step for Update of {table} is not filtered on {', '.join(silent)}")


def _rows(
    transport: Transport, set_name: str, columns: str, condition: str
) -> list[Mapping[str, Any]]:
    address = wire.address(set_name, select=columns, filter=condition)
    rows: list[Mapping[str, Any]] = transport.get_json(address, "check the webhook")["value"]
    return rows


def _any(column: str, values: Sequence[str]) -> str:
    return wire.either(f"{column} eq {wire.quoted(value)}" for value in values)


def _leads_to(url: str, connection: str) -> bool:
    return urlsplit(url).path.rstrip("/").endswith(f"/webhooks/{connection}")


def _warning(detail: str) -> CheckItem:
    told = f"{detail}: changes are found by the next poll"
    return CheckItem(_STEP, ok=True, detail=told, remedy=_HOW, warning=True)

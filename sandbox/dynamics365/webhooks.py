"""Webhook calls as the platform words them: a serialised `RemoteExecutionContext`.

Dataverse developer guide, "Use webhooks to create external handlers for server events": one call a
record and message, secret in a header or in the query, and above 256 KB the parameters and images are left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID, uuid5

from sandbox.dynamics365.columns import LOOKUPS, Kind
from sandbox.dynamics365.schema import TABLES
from sandbox.org import Delivery
from sandbox.records import Event, Json

SUBSCRIBED = frozenset({"account", "opportunity", "lead", "dr_dealregistration"})
SECRET_HEADER = "x-dealreg-secret"
#: Where the secret is in the query: `authtype` WebhookKey, and HttpQueryString as `docs/dynamics.md`
#: has it registered.
HTTP_HEADER = 5
_QUERY_NAMES = {4: "code", 6: "secret"}
_MESSAGES = {"created": "Create", "restored": "Create", "updated": "Update", "deleted": "Delete"}
_SIZE_MAX = 256 * 1024
_CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"


@dataclass(frozen=True)
class Sender:
    """Where the calls of one environment go, and what it says of itself."""

    base_url: str
    secret: str
    #: `authtype` of the registration: "Register a webhook", "Authentication options".
    auth_type: int
    org_id: str
    business_unit_id: str


def delivery(event: Event, sender: Sender, tag: str) -> Delivery:
    """Word one event; the same event always has the same operation id.

    `tag` is the one its write was sent with: Dataverse developer guide, "Use optional parameters".
    """
    message, org_id = _MESSAGES[event.kind], sender.org_id
    operation_id = str(uuid5(UUID(org_id), f"{event.object}:{event.record_id}:{event.version}"))
    context: dict[str, object] = {
        "BusinessUnitId": sender.business_unit_id,
        "CorrelationId": str(uuid5(UUID(org_id), f"correlation:{event.version}")),
        "Depth": 1,
        "InitiatingUserId": event.by,
        "InputParameters": [{"key": "Target", "value": _target(event)}],
        "IsInTransaction": False,
        "MessageName": message,
        "Mode": 1,
        "OperationCreatedOn": f"/Date({int(event.at.timestamp() * 1000)}+0000)/",
        "OperationId": operation_id,
        "OrganizationId": org_id,
        "OrganizationName": "sandbox",
        "OutputParameters": [],
        "ParentContext": None,
        "PostEntityImages": [],
        "PreEntityImages": [],
        "PrimaryEntityId": event.record_id,
        "PrimaryEntityName": event.object,
        "RequestId": None,
        "SecondaryEntityName": "none",
        "SharedVariables": [{"key": "tag", "value": tag}] if tag else [],
        "Stage": 40,
        "UserId": event.by,
    }
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "x-ms-dynamics-organization": "sandbox",
        "x-ms-dynamics-entity-name": event.object,
        "x-ms-dynamics-request-name": message,
        "x-ms-correlation-request-id": str(context["CorrelationId"]),
    }
    body = _encode(context)
    if len(body) > _SIZE_MAX:
        for name in ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages"):
            del context[name]
        headers["x-ms-dynamics-msg-size-exceeded"] = "true"
        body = _encode(context)
    url = f"{sender.base_url}/webhooks/dynamics"
    if sender.auth_type in _QUERY_NAMES:
        url += "?" + urlencode({_QUERY_NAMES[sender.auth_type]: sender.secret})
    else:
        headers[SECRET_HEADER] = sender.secret
    return Delivery(url, headers, body)


def _encode(context: dict[str, object]) -> bytes:
    # .NET's serialiser escapes slashes.
    return json.dumps(context).replace("/", "\\/").encode()


def _reference(table: str, record_id: Json) -> dict[str, object]:
    return {
        "__type": f"EntityReference:{_CONTRACTS}",
        "Id": record_id,
        "KeyAttributes": [],
        "LogicalName": table,
        "Name": None,
        "RowVersion": None,
    }


def _target(event: Event) -> dict[str, object]:
    if event.kind == "deleted":
        return _reference(event.object, event.record_id)
    return {
        "__type": f"Entity:{_CONTRACTS}",
        "Attributes": [
            {"key": TABLES[event.object].by_stored_name[name].name, "value": _typed(event, name, v)}
            for name, v in event.changed.items()
        ],
        "EntityState": None,
        "FormattedValues": [],
        "Id": event.record_id,
        "KeyAttributes": [],
        "LogicalName": event.object,
        "RelatedEntities": [],
        "RowVersion": None,
    }


def _typed(event: Event, name: str, value: Json) -> object:
    column = TABLES[event.object].by_stored_name[name]
    if value is None:
        return None
    if column.kind in LOOKUPS:
        return _reference(column.targets[0], value)
    if column.kind is Kind.MONEY:
        return {"__type": f"Money:{_CONTRACTS}", "Value": value}
    if column.kind in (Kind.PICKLIST, Kind.STATE, Kind.STATUS):
        return {"__type": f"OptionSetValue:{_CONTRACTS}", "Value": value}
    return value

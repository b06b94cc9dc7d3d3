"""Webhook calls of Dataverse: checked against the shared secret and read as notices.

The platform signs nothing: a secret in the header `x-dealreg-secret` (authentication type
HttpHeader) or in the query as `code` (WebhookKey) is the only proof. Dataverse developer guide,
"Use webhooks to create external handlers for server events".
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from connectors.errors import WebhookRejected
from connectors.port import ChangeNotice, WebhookDelivery, WebhookRequest

SECRET_HEADER = "x-dealreg-secret"  # noqa: S105 -- the name of a header
#: The platform leaves parameters out above 256 KB, so a real call stays well below.
BODY_MAX_BYTES = 1024 * 1024
_DELETE, _MERGE = "Delete", "Merge"


def read(request: WebhookRequest, secret: str) -> WebhookDelivery:
    """Verify a call and read its notices; the secret comes first, before the body is looked at.

    Raises `WebhookRejected` with 401 for a wrong or missing secret, 400 for a body that is too
    large or not a `RemoteExecutionContext`.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    codes = parse_qs(urlsplit(request.url).query).get("code", [])
    given = headers.get(SECRET_HEADER) or (codes[0] if codes else "")
    if not secret or not hmac.compare_digest(given.encode(), secret.encode()):
        raise WebhookRejected("The webhook secret is missing or wrong.", status=401)
    if len(request.body) > BODY_MAX_BYTES:
        raise WebhookRejected("The webhook body is larger than 1 MB.", status=400)
    try:
        context = json.loads(request.body)
        return WebhookDelivery(
            org_id=str(UUID(context["OrganizationId"])), notices=tuple(_notices(context))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WebhookRejected(
            "The webhook body is not an execution context of Dataverse.", status=400
        ) from error


def _notices(context: Mapping[str, Any]) -> Iterator[ChangeNotice]:
    message, table = str(context["MessageName"]), str(context["PrimaryEntityName"])
    operation = str(UUID(context["OperationId"]))
    ids = [str(UUID(context["PrimaryEntityId"]))]
    if message == _MERGE:  # tells of the winner; the loser is a parameter
        ids += [
            str(UUID(parameter["value"]))
            for parameter in context.get("InputParameters", ())
            if parameter["key"] == "SubordinateId"
        ]
    for record_id in ids:
        # The platform has no delivery id; its operation and the record make one.
        yield ChangeNotice(
            object=table,
            record_id=record_id,
            event_id=f"{operation}:{message}:{record_id}",
            deleted=message == _DELETE,
        )

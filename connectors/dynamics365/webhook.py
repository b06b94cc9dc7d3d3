"""Webhook calls of Dataverse: checked against the shared secret and read as notices.

The platform signs nothing: a secret is the only proof. It comes in the header `x-dealreg-secret`
(authentication type HttpHeader), in the query as `code` (WebhookKey), or in the query as `secret`
(HttpQueryString). Dataverse developer guide, "Use webhooks to create external handlers for server
events".
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from connectors.deliveries import ChangeNotice, WebhookDelivery, WebhookRequest
from connectors.errors import WebhookRejected

SECRET_HEADER = "x-dealreg-secret"  # noqa: S105 -- the name of a header
_QUERY_NAMES = ("code", "secret")
#: The platform leaves parameters out above 256 KB, so a real call stays well below.
BODY_MAX_BYTES = 1024 * 1024
_DELETE, _MERGE = "Delete", "Merge"


def read(
    request: WebhookRequest, secrets: Sequence[str], tag: str, user_id: str | None
) -> WebhookDelivery:
    """Verify a call and read its notices; the secret comes first, before the body is looked at.

    Args:
        request: The call.
        secrets: Those that are good now; two while one is being replaced. None believes nothing.
        tag: What our own writes carry.
        user_id: The user we are signed in as, where that is known already.

    Returns:
        No notices for the echo of a write of our own; the secret is believed all the same.

    Raises:
        WebhookRejected: 401 for a wrong or missing secret, 400 for a body that is too large or
            not a `RemoteExecutionContext`.
    """
    if not _authentic(request, secrets):
        raise WebhookRejected("The webhook secret is missing or wrong.", status=401)
    if len(request.body) > BODY_MAX_BYTES:
        raise WebhookRejected("The webhook body is larger than 1 MB.", status=400)
    try:
        context = json.loads(request.body)
        echo = _is_echo(context, tag, user_id)
        return WebhookDelivery(
            org_id=str(UUID(context["OrganizationId"])),
            notices=() if echo else tuple(_notices(context)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WebhookRejected(
            "The webhook body is not an execution context of Dataverse.", status=400
        ) from error


def _authentic(request: WebhookRequest, secrets: Sequence[str]) -> bool:
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = parse_qs(urlsplit(request.url).query)
    given = [headers.get(SECRET_HEADER, ""), *(query.get(name, [""])[0] for name in _QUERY_NAMES)]
    # Every pair is compared, so that the time taken tells nothing.
    matches = [
        hmac.compare_digest(one.encode(), secret.encode())
        for secret in secrets
        if secret
        for one in given
    ]
    return any(matches)


def _is_echo(context: Mapping[str, Any], tag: str, user_id: str | None) -> bool:
    """Tell whether this is a write of ours and nothing else.

    What a plug-in changes because of our write runs deeper, and is news. The tag is what tells our
    writes from those of others who share the user; the user tells them from a tag that was copied.
    """
    if context.get("Depth") != 1:
        return False
    if user_id is not None and str(UUID(context["InitiatingUserId"])) != user_id:
        return False
    return any(
        variable["key"] == "tag" and variable["value"] == tag
        for variable in context.get("SharedVariables") or ()
    )


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

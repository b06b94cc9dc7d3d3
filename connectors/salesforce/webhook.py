"""Reads Outbound Messages: the SOAP notices of a record-triggered flow.

They carry no signature. A delivery is believed for the secret in the last segment of its URL;
the organisation it names is reported back, for the caller to compare with the connection's own.
What it says of fields is not read: records are fetched fresh. One acknowledgement covers all
notifications of a message, so give it only once they are stored (SOAP API Developer Guide,
"Outbound Messaging").
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from connectors.deliveries import ChangeNotice, WebhookDelivery, WebhookRequest
from connectors.errors import WebhookRejected
from connectors.salesforce.wire import is_id, to_18

#: 100 notifications with their fields stay far below.
BODY_MAX = 2 * 1024 * 1024
NOTIFICATIONS_MAX = 100
_OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_SOBJECT = "{urn:sobject.enterprise.soap.sforce.com}"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound">'
    b"<Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


def read_delivery(request: WebhookRequest, webhook: Mapping[str, str]) -> WebhookDelivery:
    """Verify and read one message; `WebhookRejected` with 401 if forged, 400 if unreadable.

    Of the options, `secret` is the one in its URL, and `previous_secret` was until it was replaced.
    """
    secrets = [webhook.get(name, "") for name in ("secret", "previous_secret")]
    shown = request.path_secret.encode()
    fitting = [bool(s) and hmac.compare_digest(shown, s.encode()) for s in secrets]
    if not any(fitting):
        raise WebhookRejected(
            "The secret in the webhook's URL is not this connection's.", status=401
        )
    if request.method != "POST":
        raise WebhookRejected("An Outbound Message is a POST.", status=400)
    if len(request.body) > BODY_MAX:
        raise WebhookRejected(f"The message is larger than {BODY_MAX} bytes.", status=400)
    message = _message(request.body)
    org_id = _id(message.find(f"{_OUTBOUND}OrganizationId"), "OrganizationId")
    found = message.findall(f"{_OUTBOUND}Notification")
    if not 0 < len(found) <= NOTIFICATIONS_MAX:
        raise WebhookRejected(f"The message has {len(found)} notifications.", status=400)
    notices = tuple(_notice(notification) for notification in found)
    return WebhookDelivery(org_id, notices, reply_body=_ACK, reply_type="text/xml; charset=utf-8")


def _message(body: bytes) -> Element:
    try:
        envelope = defusedxml.ElementTree.fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as wrong:
        raise WebhookRejected("The message is not well-formed, safe XML.", status=400) from wrong
    message: Element | None = envelope.find(f"{_SOAP}Body/{_OUTBOUND}notifications")
    if message is None:
        raise WebhookRejected("The message is not an Outbound Message.", status=400)
    return message


def _notice(notification: Element) -> ChangeNotice:
    event_id = _id(notification.find(f"{_OUTBOUND}Id"), "Notification Id")
    record = notification.find(f"{_OUTBOUND}sObject")
    if record is None:
        raise WebhookRejected(f"Notification {event_id} has no sObject.", status=400)
    object_name = record.get(_TYPE, "").rpartition(":")[2]
    if not object_name:
        raise WebhookRejected(f"Notification {event_id} does not name its object.", status=400)
    record_id = _id(record.find(f"{_SOBJECT}Id"), f"record id of notification {event_id}")
    return ChangeNotice(object_name, record_id, event_id)


def _id(element: Element | None, what: str) -> str:
    text = (element.text or "").strip() if element is not None else ""
    if not is_id(text):
        raise WebhookRejected(
            f"The message's {what} is missing or is no Salesforce id.", status=400
        )
    return to_18(text)

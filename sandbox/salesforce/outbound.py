"""Outbound Messages: the SOAP notices that a record-triggered flow sends after a save.

At most 100 notifications of one object in a message, current values, no session id, deletes
never (SOAP API Developer Guide, "Outbound Messaging").
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

from sandbox.org import Delivery
from sandbox.records import Event, RecordStore
from sandbox.salesforce.ids import make_id

#: Objects whose flow sends a message, and the fields it carries beside the id.
SUBSCRIBED = {
    "Account": ("Name",),
    "Opportunity": ("Name", "StageName"),
    "Deal_Registration__c": ("Name", "Stage__c"),
}
NOTIFICATIONS_MAX = 100
_SENT_FOR = frozenset({"created", "updated", "restored"})
_ACK = b"<Ack>true</Ack>"
_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"\
 xmlns:xsd="http://www.w3.org/2001/XMLSchema"\
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{org_id}</OrganizationId>
   <ActionId>{action_id}</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://sandbox.example/services/Soap/c/67.0/{org_id}</EnterpriseUrl>
   <PartnerUrl>https://sandbox.example/services/Soap/u/67.0/{org_id}</PartnerUrl>
{notifications}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"""
_NOTIFICATION = """   <Notification>
    <Id>{notification_id}</Id>
    <sObject xsi:type="sf:{object}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
{fields}
    </sObject>
   </Notification>"""


def outbound_messages(
    store: RecordStore, org_id: str, pod: str, events: list[Event], url: str
) -> list[Delivery]:
    """Word events as messages to `url`; several events of one record become one notification."""
    messages = []
    for number, (object_name, names) in enumerate(SUBSCRIBED.items(), start=1):
        latest = {
            event.record_id: event
            for event in events
            if event.object == object_name and event.kind in _SENT_FOR
        }
        told = [_notification(store, pod, event, names) for event in latest.values()]
        for start in range(0, len(told), NOTIFICATIONS_MAX):
            body = _ENVELOPE.format(
                org_id=org_id,
                action_id=make_id("04k", pod, number),
                notifications="\n".join(told[start : start + NOTIFICATIONS_MAX]),
            )
            headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
            messages.append(Delivery(url, headers, body.encode(), expects=_ACK))
    return messages


def _notification(store: RecordStore, pod: str, event: Event, names: Iterable[str]) -> str:
    row = store.get(event.object, event.record_id, deleted=True)
    values = {"Id": event.record_id, **{n: row.fields.get(n) for n in names if row is not None}}
    fields = "\n".join(
        f"     <sf:{name}>{escape(str(value))}</sf:{name}>"
        for name, value in values.items()
        if value is not None
    )
    return _NOTIFICATION.format(
        notification_id=make_id("04l", pod, event.version), object=event.object, fields=fields
    )

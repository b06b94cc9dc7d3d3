"""Outbound Messages: what is believed and what is turned away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.deliveries import ChangeNotice, WebhookRequest
from connectors.errors import WebhookRejected
from connectors.salesforce.webhook import BODY_MAX, read_delivery

SECRET = "a-secret-of-some-length"
SETTINGS = {"secret": SECRET}
NOTIFICATION = """<Notification><Id>04l000000000001AAA</Id>
  <sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
  <sf:Id>006000000000001</sf:Id><sf:Name>Renewal &amp; more</sf:Name></sObject></Notification>"""
MESSAGE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>
 <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
  <OrganizationId>00D000000000001EAA</OrganizationId><ActionId>04k000000000001AAA</ActionId>
  <SessionId xsi:nil="true"/><EnterpriseUrl>https://x.example/c</EnterpriseUrl>
  <PartnerUrl>https://x.example/u</PartnerUrl>{notifications}
 </notifications></soapenv:Body></soapenv:Envelope>"""


def _request(body: str = MESSAGE.format(notifications=NOTIFICATION)) -> WebhookRequest:
    return WebhookRequest(
        method="POST",
        url=f"https://dealreg.example/webhooks/salesforce/{SECRET}",
        headers={"content-type": "text/xml; charset=utf-8"},
        body=body.encode(),
        received_at=datetime(2026, 11, 24, tzinfo=UTC),
        path_secret=SECRET,
    )


def test_a_message_tells_its_org_its_records_and_how_to_acknowledge_it() -> None:
    delivery = read_delivery(_request(), SETTINGS)

    assert delivery.org_id == "00D000000000001EAA"
    assert delivery.notices == (
        ChangeNotice("Opportunity", "006000000000001AAA", "04l000000000001AAA"),
    )
    assert b"<Ack>true</Ack>" in delivery.reply_body
    assert delivery.reply_status == 200
    assert delivery.reply_type.startswith("text/xml")


@pytest.mark.parametrize("shown", ["", "wrong", SECRET + "x", "ключ"])
def test_a_message_with_another_secret_is_forged(shown: str) -> None:
    with pytest.raises(WebhookRejected) as caught:
        read_delivery(replace(_request(), path_secret=shown), SETTINGS)

    assert caught.value.status == 401
    assert SECRET not in str(caught.value)


def test_a_replaced_secret_is_taken_until_it_is_taken_away() -> None:
    replaced = {"secret": "the new one", "previous_secret": SECRET}
    assert read_delivery(_request(), replaced).notices
    assert read_delivery(replace(_request(), path_secret="the new one"), replaced).notices
    with pytest.raises(WebhookRejected):
        read_delivery(_request(), {"secret": "the new one"})


def test_a_connection_without_a_secret_believes_nobody() -> None:
    with pytest.raises(WebhookRejected) as caught:
        read_delivery(replace(_request(), path_secret=""), {})

    assert caught.value.status == 401


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not xml",
        "<a/>",
        MESSAGE.format(notifications=""),
        MESSAGE.format(notifications=NOTIFICATION * 101),
        MESSAGE.format(notifications=NOTIFICATION.replace("006000000000001", "x")),
        MESSAGE.format(notifications=NOTIFICATION.replace('xsi:type="sf:Opportunity"', "")),
        MESSAGE.format(notifications=NOTIFICATION).replace("00D000000000001EAA", "nobody"),
        MESSAGE.format(notifications=NOTIFICATION).replace(
            "<soapenv:Envelope", '<!DOCTYPE a [<!ENTITY b "c">]><soapenv:Envelope', 1
        ),
        MESSAGE.format(notifications=NOTIFICATION) + " " * BODY_MAX,
    ],
    ids=[
        "empty",
        "not xml",
        "no envelope",
        "no notification",
        "too many notifications",
        "no record id",
        "no object",
        "no org",
        "entities",
        "too large",
    ],
)
def test_a_message_that_cannot_be_read_safely_is_turned_away(body: str) -> None:
    with pytest.raises(WebhookRejected) as caught:
        read_delivery(_request(body), SETTINGS)

    assert caught.value.status == 400


def test_only_a_post_delivers() -> None:
    with pytest.raises(WebhookRejected) as caught:
        read_delivery(replace(_request(), method="GET"), SETTINGS)

    assert caught.value.status == 400

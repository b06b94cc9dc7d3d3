"""HubSpot deliveries: what is genuine, what is not, and what a genuine one says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.deliveries import ChangeNotice, WebhookRequest
from connectors.errors import WebhookRejected
from connectors.hubspot.webhook import BODY_MAX, read_delivery, signature

#: Computed beforehand with two independent programs.
SECRET = "3f1c0a52-9d1e-4b7a-8a64-0d5b6a1c2e77"
OPTIONS = {"secret": SECRET}
SIGNED_AT = datetime(2026, 1, 1, tzinfo=UTC)
TIMESTAMP = "1767225600000"
URL = "https://dealreg.example.com/hooks/hubspot"
BODY = (
    b'[{"eventId":4101286121,"subscriptionId":7562680,"portalId":62515,"appId":1160452,'
    b'"occurredAt":1767225599123,"subscriptionType":"deal.propertyChange","attemptNumber":0,'
    b'"objectId":541935488729,"propertyName":"dealstage","propertyValue":"closedwon",'
    b'"changeSource":"CRM_UI","sourceId":"userId:9586504"}]'
)
GENUINE = WebhookRequest(
    method="POST",
    url=URL,
    headers={
        "X-HubSpot-Signature-v3": "IEevAD8i98NyRii54ApPlrUR1js/aFRrrG1bbjCd9lU=",
        "X-HubSpot-Request-Timestamp": TIMESTAMP,
    },
    body=BODY,
    received_at=SIGNED_AT + timedelta(seconds=2),
)


def signed(events: object) -> WebhookRequest:
    """Sign a body as HubSpot would."""
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    headers = {
        "x-hubspot-signature-v3": signature(SECRET, "POST", URL, body, TIMESTAMP),
        "x-hubspot-request-timestamp": TIMESTAMP,
    }
    return replace(GENUINE, headers=headers, body=body)


def event(**fields: Any) -> dict[str, Any]:
    """Word an event with what every event has."""
    return {
        "eventId": 7,
        "subscriptionId": 26,
        "portalId": 62515,
        "occurredAt": 1767225599124,
        "attemptNumber": 0,
        **fields,
    }


def told(*events: dict[str, Any]) -> set[tuple[str, str, bool]]:
    """Read events and tell object, id and whether it is said to be deleted."""
    notices = read_delivery(signed(list(events)), OPTIONS).notices
    return {(notice.object, notice.record_id, notice.deleted) for notice in notices}


def rejected(request: WebhookRequest, secret: str = SECRET) -> int:
    """Return the status a delivery is refused with."""
    with pytest.raises(WebhookRejected) as caught:
        read_delivery(request, {"secret": secret})
    assert secret == "" or secret not in str(caught.value)
    return caught.value.status


def test_a_genuine_delivery_names_the_account_and_the_record() -> None:
    delivery = read_delivery(GENUINE, OPTIONS)
    assert delivery.org_id == "62515"
    assert delivery.notices == (
        ChangeNotice(
            "deals", "541935488729", "4101286121-7562680-1767225599123-541935488729", deleted=False
        ),
    )


@pytest.mark.parametrize(
    ("url", "body", "expected"),
    [
        (URL, BODY, "IEevAD8i98NyRii54ApPlrUR1js/aFRrrG1bbjCd9lU="),
        (
            f"{URL}?ref=a%2Fb%3Ac%40d&q=x%20y",
            b"[]",
            "1RXdPqDuW4QhGDQMEhyFyYL03TYZGlAWPjAfdG7uyX8=",
        ),
        (f"{URL}#part", BODY, "IEevAD8i98NyRii54ApPlrUR1js/aFRrrG1bbjCd9lU="),
        (
            URL,
            '[{"propertyValue":"Müller & Söhne"}]'.encode(),
            "Xp4BfNTF4I/zZWNt9JYhiH4UR6SnTZb5CbNK/BvpNw8=",
        ),
    ],
)
def test_the_signature_is_the_one_computed_elsewhere(url: str, body: bytes, expected: str) -> None:
    assert signature(SECRET, "POST", url, body, TIMESTAMP) == expected


def test_the_signature_is_that_of_the_vendors_own_fixture() -> None:
    given = signature(
        "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        "POST",
        "https://www.example.com/webhook_uri",
        b"{'example_field':'example_value'}",
        "1693657560000",
    )
    assert given == "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="


def test_a_forged_delivery_is_refused() -> None:
    assert rejected(replace(GENUINE, body=BODY.replace(b"closedwon", b"closedlost"))) == 401
    assert rejected(replace(GENUINE, url=URL + "?more=1")) == 401
    assert rejected(replace(GENUINE, method="PUT")) == 401
    assert rejected(GENUINE, "another secret") == 401


def test_an_empty_secret_verifies_nothing() -> None:
    body = b"[]"
    headers = {
        "X-HubSpot-Signature-v3": signature("", "POST", URL, body, TIMESTAMP),
        "X-HubSpot-Request-Timestamp": TIMESTAMP,
    }
    assert rejected(replace(GENUINE, headers=headers, body=body), "") == 401


@pytest.mark.parametrize("missing", ["X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"])
def test_a_delivery_without_its_headers_is_refused(missing: str) -> None:
    headers = {name: value for name, value in GENUINE.headers.items() if name != missing}
    assert rejected(replace(GENUINE, headers=headers)) == 401


@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "²", "9" * 30])
def test_a_timestamp_that_is_none_is_refused(timestamp: str) -> None:
    body = GENUINE.body
    headers = {
        "X-HubSpot-Signature-v3": signature(SECRET, "POST", URL, body, timestamp),
        "X-HubSpot-Request-Timestamp": timestamp,
    }
    assert rejected(replace(GENUINE, headers=headers)) == 401


def test_a_signature_that_is_not_ascii_is_refused() -> None:
    headers = {**GENUINE.headers, "X-HubSpot-Signature-v3": "ü" * 44}
    assert rejected(replace(GENUINE, headers=headers)) == 401


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_delivery_signed_more_than_five_minutes_away_is_refused(minutes: int) -> None:
    late = replace(GENUINE, received_at=SIGNED_AT + timedelta(minutes=minutes))
    assert rejected(late) == 401


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_delivery_signed_less_than_five_minutes_away_is_taken(minutes: int) -> None:
    late = replace(GENUINE, received_at=SIGNED_AT + timedelta(minutes=minutes))
    assert read_delivery(late, OPTIONS).notices


def test_an_oversized_delivery_is_refused_before_it_is_read() -> None:
    assert rejected(signed(b" " * (BODY_MAX + 1))) == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"7", b"[7]", b'{"portalId":1}', b'[{"portalId":1}]', b"[]", b"\xff"]
)
def test_a_signed_body_that_is_no_list_of_events_is_unreadable(body: bytes) -> None:
    assert rejected(signed(body)) == 400


def test_events_of_two_accounts_in_one_delivery_are_not_believed() -> None:
    here = event(subscriptionType="deal.creation", objectId=1)
    assert rejected(signed([here, {**here, "portalId": 2}])) == 400


def test_a_deletion_is_told_as_one() -> None:
    assert told(event(subscriptionType="deal.deletion", objectId=5)) == {("deals", "5", True)}


def test_a_merge_tells_of_the_old_records_and_the_new_one() -> None:
    merge = event(
        subscriptionType="company.merge",
        primaryObjectId=77,
        mergedObjectIds=[77, 78],
        newObjectId=990,
    )
    assert told(merge) == {
        ("companies", "77", False),
        ("companies", "78", False),
        ("companies", "990", False),
    }


def test_an_association_that_changed_tells_of_the_record_it_starts_from() -> None:
    change = event(subscriptionType="deal.associationChange", fromObjectId=512, toObjectId=77)
    assert told(change) == {("deals", "512", False)}


def test_the_generic_form_of_an_event_names_its_object_by_type_id() -> None:
    change = event(subscriptionType="object.propertyChange", objectTypeId="0-2", objectId=77)
    assert told(change) == {("companies", "77", False)}


def test_an_event_of_something_else_tells_nothing() -> None:
    other = event(subscriptionType="conversation.creation", objectId=1)
    assert told(other, event(subscriptionType="deal.creation", objectId=2)) == {
        ("deals", "2", False)
    }


def test_a_delivery_that_is_sent_again_has_the_same_event_ids() -> None:
    first = event(subscriptionType="deal.creation", objectId=2)
    again = {**first, "attemptNumber": 3}
    one, other = (read_delivery(signed([each]), OPTIONS) for each in (first, again))
    assert one.notices == other.notices
    other_record = {**first, "objectId": 3}
    assert read_delivery(signed([other_record]), OPTIONS).notices != one.notices


OLD = {
    "v1": "9f3a0cbcf4a91d0cfaf4d74fa03f3a26568d7f3dcbb078acf633b059a4edfbcf",
    "v2": "0240c389982bcaba80751b75ce867f914edbee1f7bdbfb393a042fb11b4976fa",
}


def signed_by(version: str, digest: str) -> WebhookRequest:
    """A delivery with an old signature and nothing else."""
    names = {"X-HubSpot-Signature": digest, "X-HubSpot-Signature-Version": version}
    return replace(GENUINE, headers=names)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_old_signature_is_taken_only_where_the_connection_names_its_version(
    version: str,
) -> None:
    request = signed_by(version, OLD[version])
    assert read_delivery(request, {**OPTIONS, "version": version}).org_id == "62515"
    assert rejected(request) == 401
    other = "v2" if version == "v1" else "v1"
    for wrong in (signed_by(version, OLD[other]), signed_by(other, OLD[other])):
        with pytest.raises(WebhookRejected):
            read_delivery(wrong, {**OPTIONS, "version": version})


def test_a_wrong_v3_signature_is_not_saved_by_a_right_old_one() -> None:
    headers = {**signed_by("v1", OLD["v1"]).headers, "X-HubSpot-Signature-v3": "d3Jvbmc="}
    with pytest.raises(WebhookRejected):
        read_delivery(replace(GENUINE, headers=headers), {**OPTIONS, "version": "v1"})
    assert read_delivery(GENUINE, {**OPTIONS, "version": "v1"}).org_id == "62515"


def test_a_replaced_secret_is_taken_until_it_is_removed() -> None:
    replaced = {"secret": "the new one", "previous_secret": SECRET}
    assert read_delivery(GENUINE, replaced).org_id == "62515"
    assert rejected(GENUINE, "the new one") == 401

"""Webhook calls of Dataverse: which are believed, and what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.deliveries import ChangeNotice, WebhookDelivery, WebhookRequest
from connectors.dynamics365 import webhook
from connectors.errors import WebhookRejected

SECRET, TAG = "a shared secret", "dealreg:dynamics"
US, THEM = "75c2dd85-e1a4-4b5c-9b0a-000000000001", "75c2dd85-e1a4-4b5c-9b0a-000000000002"
ORG = "3c656b4f-e4b1-5096-b1f4-e7ffd69fe14c"
RECORD = "0f8fad5b-d9cb-469f-a165-70867728950e"
OPERATION = "4af10637-4ea2-e911-8113-000d3a000001"


def context(**changes: Any) -> dict[str, Any]:
    return {
        "OrganizationId": ORG,
        "MessageName": "Update",
        "PrimaryEntityName": "opportunity",
        "PrimaryEntityId": RECORD.upper(),
        "OperationId": OPERATION,
        "OperationCreatedOn": "/Date(1506409448000-0700)/",
        "InputParameters": [],
        **changes,
    }


def read(request: WebhookRequest, *secrets: str, user_id: str | None = None) -> WebhookDelivery:
    return webhook.read(request, secrets or (SECRET,), TAG, user_id)


def delivered(
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    query: str = "",
) -> WebhookRequest:
    return WebhookRequest(
        method="POST",
        url=f"https://deals.example/webhooks/dynamics{query}",
        headers={"X-Dealreg-Secret": SECRET} if headers is None else headers,
        body=json.dumps(context()).replace("/", "\\/").encode() if body is None else body,
        received_at=datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_a_call_with_the_secret_is_a_notice_of_its_record() -> None:
    delivery = read(delivered())
    assert delivery.org_id == ORG
    assert delivery.notices == (
        ChangeNotice("opportunity", RECORD, f"{OPERATION}:Update:{RECORD}"),
    )


def test_the_secret_may_come_as_the_code_of_a_webhook_key() -> None:
    delivery = read(delivered(headers={}, query="?code=a%20shared%20secret"))
    assert len(delivery.notices) == 1


def test_the_secret_may_come_in_a_query_of_its_own() -> None:
    delivery = read(delivered(headers={}, query="?secret=a%20shared%20secret"))
    assert len(delivery.notices) == 1


@pytest.mark.parametrize("given", ["old", "new"])
def test_two_secrets_are_good_while_one_is_replaced(given: str) -> None:
    request = delivered(headers={"x-dealreg-secret": given})
    assert len(read(request, "new", "old").notices) == 1


def wrote(tag: str | None, by: str = US, depth: int = 1) -> WebhookRequest:
    variables = [] if tag is None else [{"key": "tag", "value": tag}]
    told = context(SharedVariables=variables, InitiatingUserId=by.upper(), Depth=depth)
    return delivered(json.dumps(told).encode())


@pytest.mark.parametrize("user_id", [US, None])
def test_the_echo_of_our_own_write_is_no_news(user_id: str | None) -> None:
    delivery = read(wrote(TAG), user_id=user_id)
    assert (delivery.org_id, delivery.notices) == (ORG, ())


@pytest.mark.parametrize(
    "request_",
    [
        wrote(None),  # somebody else who shares the user
        wrote("dealreg:another"),
        wrote(TAG, by=THEM),  # a tag that was copied
        wrote(TAG, depth=2),  # a plug-in answered our write with one of its own
    ],
)
def test_what_only_looks_like_an_echo_is_news(request_: WebhookRequest) -> None:
    assert len(read(request_, user_id=US).notices) == 1


def test_a_deletion_is_told_as_one() -> None:
    body = json.dumps(context(MessageName="Delete")).encode()
    assert read(delivered(body)).notices[0].deleted


def test_a_merge_is_told_for_winner_and_loser() -> None:
    loser = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    parameters = [{"key": "SubordinateId", "value": loser}]
    body = json.dumps(
        context(MessageName="Merge", PrimaryEntityName="account", InputParameters=parameters)
    ).encode()
    notices = read(delivered(body)).notices
    assert [notice.record_id for notice in notices] == [RECORD, loser]


def test_a_call_without_parameters_is_enough() -> None:
    trimmed = context()
    del trimmed["InputParameters"]
    body = json.dumps(trimmed).encode()
    assert read(delivered(body)).notices[0].record_id == RECORD


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"x-dealreg-secret": "forged"}, ""),
        ({"x-dealreg-secret": "førged"}, ""),
        ({}, "?code=x"),
    ],
)
def test_a_forged_call_is_refused(headers: dict[str, str], query: str) -> None:
    with pytest.raises(WebhookRejected) as caught:
        read(delivered(headers=headers, query=query))
    assert caught.value.status == 401


def test_nothing_is_believed_while_no_secret_is_configured() -> None:
    with pytest.raises(WebhookRejected) as caught:
        read(delivered(headers={"x-dealreg-secret": ""}), "")
    assert caught.value.status == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        json.dumps(context(OrganizationId="the org")).encode(),
        json.dumps(context(PrimaryEntityId=None)).encode(),
        json.dumps({"OrganizationId": ORG}).encode(),
        b"[" * 100_000,
        b"x" * (webhook.BODY_MAX_BYTES + 1),
    ],
)
def test_an_unreadable_or_oversized_call_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRejected) as caught:
        read(delivered(body))
    assert caught.value.status == 400

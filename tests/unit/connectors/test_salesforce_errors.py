"""What Salesforce's codes mean to us."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.errors import CallRejected, CrmUnavailable, NotPermitted, RateLimited
from connectors.port import Absence, AlreadyExists, Deferred, Gone, Outcome, Refused
from connectors.salesforce.errors import Failure, QueryTooLarge, call_error, row_outcome

RECORD = "006000000000001AAA"
KEY = "Dealreg_Id__c"


def _failure(status: int, code: str = "", message: str = "") -> Failure:
    return Failure(status, [{"errorCode": code, "message": message}] if code else "<html>")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (_failure(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), RateLimited),
        (_failure(429), RateLimited),
        (_failure(403, "API_DISABLED_FOR_ORG"), NotPermitted),
        (_failure(400, "INSUFFICIENT_ACCESS_OR_READONLY"), NotPermitted),
        (_failure(400, "MALFORMED_QUERY"), CallRejected),
        (_failure(400, "INVALID_FIELD"), CallRejected),
        (_failure(404, "NOT_FOUND"), CallRejected),
        (_failure(410, "UNSUPPORTED_API_VERSION"), CallRejected),
        (_failure(302), CallRejected),
        (_failure(400, "QUERY_TIMEOUT"), QueryTooLarge),
        (_failure(400, "UNABLE_TO_LOCK_ROW"), CrmUnavailable),
        (_failure(503, "SERVER_UNAVAILABLE"), CrmUnavailable),
        (_failure(502), CrmUnavailable),
        (_failure(420), CrmUnavailable),
    ],
)
def test_a_failed_call_is_named_by_what_the_caller_has_to_do(
    failure: Failure, expected: type[Exception]
) -> None:
    error = call_error(failure, connection="salesforce", operation="update", write=False)

    assert type(error) is expected


@pytest.mark.parametrize(
    ("failure", "may_have_happened"),
    [
        (_failure(502), True),
        (_failure(503, "SERVER_UNAVAILABLE"), True),
        (_failure(400), True),
        (_failure(400, "QUERY_TIMEOUT"), False),
        (_failure(420), False),
    ],
)
def test_a_write_that_may_have_reached_salesforce_says_so(
    failure: Failure, may_have_happened: bool
) -> None:
    error = call_error(failure, connection="salesforce", operation="create", write=True)

    assert isinstance(error, CrmUnavailable)
    assert error.may_have_happened is may_have_happened


def test_the_daily_quota_is_waited_for_longer_than_too_many_calls_at_once() -> None:
    daily = _failure(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    at_once = _failure(
        403,
        "REQUEST_LIMIT_EXCEEDED",
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
    )

    waits = []
    for failure in (daily, at_once):
        error = call_error(failure, connection="salesforce", operation="read", write=False)
        assert isinstance(error, RateLimited)
        waits.append(error.retry_after_seconds)

    daily_wait, short_wait = waits
    assert daily_wait >= 600
    assert 0 < short_wait < 60


def test_the_page_of_a_proxy_is_not_repeated_in_the_error() -> None:
    failure = Failure(502, "<html>intranet gateway, user alice</html>")

    error = call_error(failure, connection="salesforce", operation="read", write=False)

    assert "alice" not in str(error)
    assert "502" in str(error)


def _row(code: str, message: str = "", *fields: str) -> list[dict[str, Any]]:
    return [{"statusCode": code, "message": message, "fields": list(fields)}]


def test_a_create_whose_key_is_taken_names_the_record_that_has_it() -> None:
    message = f"duplicate value found: {KEY} duplicates value on record with id: 006000000000001"

    assert row_outcome(_row("DUPLICATE_VALUE", message), record_id="", key_field=KEY) == (
        AlreadyExists(RECORD)
    )


def test_a_key_taken_by_a_record_that_our_user_may_not_see_is_there_all_the_same() -> None:
    message = "duplicate value found: <unknown> duplicates value on record with id: <unknown>"

    assert row_outcome(_row("DUPLICATE_VALUE", message), record_id="", key_field=KEY) == (
        AlreadyExists(None)
    )


def test_another_unique_field_that_is_taken_is_a_refusal_and_no_record_to_adopt() -> None:
    message = "duplicate value found: Legacy__c duplicates value on record with id: 006000000000001"

    outcome = row_outcome(_row("DUPLICATE_VALUE", message), record_id="", key_field=KEY)

    assert isinstance(outcome, Refused)
    assert outcome.code == "DUPLICATE_VALUE"


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (_row("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access"), Deferred),
        (_row("CANNOT_EXECUTE_FLOW_TRIGGER", "… UNABLE_TO_LOCK_ROW: …"), Deferred),
        (_row("CANNOT_EXECUTE_FLOW_TRIGGER", "the process failed"), Refused),
        (_row("ENTITY_IS_LOCKED", "the record is in an approval"), Deferred),
        (_row("DUPLICATES_DETECTED", "Use one of these records?"), Refused),
        (_row("STRING_TOO_LONG", "too large", "Name"), Refused),
        ([], Refused),
    ],
)
def test_a_failed_row_is_named_by_whether_it_may_be_sent_again(
    errors: list[dict[str, Any]], expected: type[Outcome]
) -> None:
    assert type(row_outcome(errors, record_id=RECORD, key_field="")) is expected


def test_a_refused_row_names_code_words_and_field() -> None:
    outcome = row_outcome(
        _row("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Close date is in a locked quarter", "CloseDate"),
        record_id=RECORD,
        key_field="",
    )

    assert outcome == Refused(
        "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Close date is in a locked quarter", "CloseDate"
    )


def test_an_update_of_a_deleted_record_is_gone_and_a_create_that_points_at_one_is_refused() -> None:
    errors = _row("ENTITY_IS_DELETED", "entity is deleted", "AccountId")

    assert row_outcome(errors, record_id=RECORD, key_field="") == Gone(RECORD, Absence.DELETED)
    assert isinstance(row_outcome(errors, record_id="", key_field=KEY), Refused)

"""HubSpot's refusals: what each means for the caller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    NotPermitted,
    RateLimited,
)
from connectors.hubspot.errors import (
    RecordMissing,
    failure,
    is_missing,
    is_unique_conflict,
    row_outcome,
)
from connectors.port import Deferred, Refused


def fail(
    status: int,
    body: Mapping[str, Any] | bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    write: bool = True,
) -> ConnectorError:
    """Classify an answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure(
        status, headers or {}, raw, write=write, connection="hubspot", operation="create deals"
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, CallRejected),
        (401, AuthenticationFailed),
        (403, NotPermitted),
        (404, RecordMissing),
        (409, CallRejected),
        (414, CallRejected),
        (423, RateLimited),
        (429, RateLimited),
        (477, RateLimited),
        (302, CrmUnavailable),
        (408, CrmUnavailable),
        (500, CrmUnavailable),
        (502, CrmUnavailable),
        (524, CrmUnavailable),
    ],
)
def test_a_status_tells_what_to_do(status: int, expected: type[ConnectorError]) -> None:
    error = fail(status, b"<html>a proxy</html>")
    assert type(error) is expected or isinstance(error, expected)
    assert str(status) in error.message


@pytest.mark.parametrize("write", [True, False])
def test_only_a_write_may_have_happened_when_the_server_failed(write: bool) -> None:
    error = fail(500, write=write)
    assert isinstance(error, CrmUnavailable)
    assert error.may_have_happened is write


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {}, {"policyName": "SECONDLY"}, 1),
        (429, {}, {"policyName": "TEN_SECONDLY_ROLLING"}, 10),
        (429, {}, {"policyName": "DAILY"}, 3600),
        (429, {}, {}, 10),
        (429, {"retry-after": "7"}, {"policyName": "DAILY"}, 7),
        (423, {}, {}, 2),
        (477, {"retry-after": "1800"}, {}, 1800),
    ],
)
def test_a_pause_is_as_long_as_hubspot_says_or_its_policy_asks(
    status: int, headers: Mapping[str, str], body: Mapping[str, Any], seconds: float
) -> None:
    error = fail(status, body, headers)
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == seconds


def test_a_missing_scope_is_named_with_what_to_do() -> None:
    body = {
        "message": "This app hasn't been granted all required scopes.",
        "category": "MISSING_SCOPES",
        "errors": [
            {
                "message": "One or more of the following scopes are required.",
                "context": {"requiredGranularScopes": ["crm.objects.deals.write"]},
            }
        ],
    }
    assert "crm.objects.deals.write" in fail(403, body).hint


def test_the_request_can_be_traced_by_hubspots_own_id() -> None:
    assert fail(400, {"correlationId": "from the body"}).request_id == "from the body"
    headers = {"x-hubspot-correlation-id": "from the header"}
    assert fail(500, b"<html>", headers).request_id == "from the header"


def test_an_error_is_told_by_its_inner_errors_and_kept_short() -> None:
    body = {
        "message": "Property values were not valid: [{...}]",
        "errors": [{"code": "INVALID_DATE", "message": "x" * 5000}],
    }
    message = fail(400, body).message
    assert "INVALID_DATE" in message
    assert len(message) < 400


def test_a_bad_property_refuses_its_row_and_is_named() -> None:
    error = {
        "category": "VALIDATION_ERROR",
        "message": "Property values were not valid: …",
        "errors": [
            {
                "code": "INVALID_OPTION",
                "message": "no such stage",
                "context": {"propertyName": ["dealstage"]},
            }
        ],
    }
    assert row_outcome(error) == Refused(
        "INVALID_OPTION", "INVALID_OPTION no such stage", "dealstage"
    )


@pytest.mark.parametrize("error", [{}, {"errors": None}, {"errors": [7]}, {"context": 3}])
def test_an_error_that_says_nothing_is_still_a_refusal(error: Mapping[str, Any]) -> None:
    outcome = row_outcome(error)
    assert isinstance(outcome, Refused)
    assert outcome.code


@pytest.mark.parametrize("category", ["RATE_LIMITS", "INTERNAL_ERROR"])
def test_a_row_that_met_a_passing_trouble_is_deferred(category: str) -> None:
    outcome = row_outcome({"category": category, "message": "later"})
    assert isinstance(outcome, Deferred)
    assert outcome.retry_after_seconds > 0


def test_a_taken_unique_value_and_a_missing_record_are_told_apart() -> None:
    taken = {"category": "VALIDATION_ERROR", "errors": [{"code": "CONFLICTING_UNIQUE_VALUE"}]}
    missing = {"category": "OBJECT_NOT_FOUND"}
    assert (is_unique_conflict(taken), is_missing(taken)) == (True, False)
    assert (is_unique_conflict(missing), is_missing(missing)) == (False, True)

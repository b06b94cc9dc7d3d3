"""HubSpot's refusals: what each means for the caller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
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
    is_outdated,
    is_unique_conflict,
    row_outcome,
    seconds_to_midnight,
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


WAIT, AWAY = "HubSpot asks to wait", "HubSpot cannot answer right now"
HTML = b"<html>a proxy</html>"


def said(message: str = "no", category: str = "", **more: object) -> dict[str, Any]:
    """Word an error body."""
    body: dict[str, Any] = {"status": "error", "message": message, "correlationId": "c", **more}
    return body | ({"category": category} if category else {})


def limit(policy: str) -> dict[str, Any]:
    """Word the body of a 429."""
    words = f"You have reached your {policy.lower()} limit."
    return said(words, errorType="RATE_LIMIT", policyName=policy)


SCOPES = [{"message": "required", "context": {"requiredGranularScopes": ["crm.lists.read"]}}]
#: Refusals of a whole call ("Error handling"): what it is, and what a person reads.
CALLS: list[tuple[int, Mapping[str, Any] | bytes, type[ConnectorError], str]] = [
    (302, HTML, CrmUnavailable, AWAY),
    (400, said("Bad.", "VALIDATION_ERROR"), CallRejected, "HubSpot refused create deals: Bad."),
    (400, said("Invalid input JSON on line 1"), CallRejected, "Invalid input JSON"),
    (401, said("No credentials.", "INVALID_AUTHENTICATION"), AuthenticationFailed, "access_token"),
    (401, said("It expired.", "EXPIRED_AUTHENTICATION"), AuthenticationFailed, "installed again"),
    (401, HTML, AuthenticationFailed, "status 401"),
    (403, said("No.", "MISSING_SCOPES", errors=SCOPES), NotPermitted, "crm.lists.read"),
    (403, said("Not in your tier."), NotPermitted, "edition"),
    (404, said("resource not found"), RecordMissing, "resource not found"),
    (404, said("Object not found.", "OBJECT_NOT_FOUND"), RecordMissing, "Object not found"),
    (408, HTML, CrmUnavailable, AWAY),
    (409, said("Existing ID: 123", "CONFLICT"), CallRejected, "Existing ID: 123"),
    (409, said("Taken.", "OBJECT_ALREADY_EXISTS"), CallRejected, "Taken."),
    (413, said("Too large"), CallRejected, "Too large"),
    (414, HTML, CallRejected, "status 414"),
    (415, said("Media type"), CallRejected, "Media type"),
    (423, said("locked"), RateLimited, WAIT),
    (429, limit("SECONDLY"), RateLimited, WAIT),
    (429, limit("TEN_SECONDLY_ROLLING"), RateLimited, WAIT),
    (429, limit("DAILY"), RateLimited, "the account's midnight"),
    (429, said("no policy at all"), RateLimited, WAIT),
    (477, HTML, RateLimited, "another data centre"),
    (500, said("oops"), CrmUnavailable, AWAY),
    (502, HTML, CrmUnavailable, AWAY),
    (503, HTML, CrmUnavailable, AWAY),
    (504, HTML, CrmUnavailable, AWAY),
    (521, HTML, CrmUnavailable, AWAY),
    (522, HTML, CrmUnavailable, "status.hubspot.com"),
    (523, HTML, CrmUnavailable, AWAY),
    (524, HTML, CrmUnavailable, AWAY),
    (525, HTML, CrmUnavailable, "TLS handshake"),
    (526, HTML, CrmUnavailable, "certificate"),
    (500, b"\xff\xfe not text", CrmUnavailable, "status 500"),
]


@pytest.mark.parametrize(
    ("status", "body", "expected", "told"),
    [pytest.param(*case, id=f"{number} {case[0]}") for number, case in enumerate(CALLS)],
)
def test_a_refused_call_says_what_it_is_and_what_to_do(
    status: int, body: Mapping[str, Any] | bytes, expected: type[ConnectorError], told: str
) -> None:
    error = fail(status, body)
    assert type(error) is expected or (expected is CallRejected and isinstance(error, expected))
    assert told in f"{error.message} {error.hint}"


def bad(code: str, name: str = "dealstage") -> dict[str, Any]:
    """Word the refusal of a row by one property."""
    inner = {"message": "why", "code": code, "context": {"propertyName": [name]}}
    return said("Property values were not valid: [{…}]", "VALIDATION_ERROR", errors=[inner])


INVALID_IDS = said("Associations.", "VALIDATION_ERROR", subCategory="INVALID_OBJECT_IDS")
NO_CONTACT = said("No.", "VALIDATION_ERROR", subCategory="MISSING_REQUIRED_ASSOCIATION")
#: Refusals of one row: the outcome, its code, what a person reads, and whether our definitions
#: are to be read anew.
ROWS: list[tuple[Mapping[str, Any], type, str, str, bool]] = [
    (bad("PROPERTY_DOESNT_EXIST"), Refused, "PROPERTY_DOESNT_EXIST", "connection provision", True),
    (bad("READ_ONLY_VALUE"), Refused, "READ_ONLY_VALUE", "flow from HubSpot only", True),
    (bad("INVALID_OPTION"), Refused, "INVALID_OPTION", "Add the option", True),
    (bad("INVALID_EMAIL"), Refused, "INVALID_EMAIL", "why", False),
    (bad("INVALID_INTEGER"), Refused, "INVALID_INTEGER", "why", False),
    (bad("INVALID_LONG"), Refused, "INVALID_LONG", "why", False),
    (bad("INVALID_DATE"), Refused, "INVALID_DATE", "why", False),
    (bad("INVALID_OWNER_ID"), Refused, "INVALID_OWNER_ID", "Map the owner", False),
    (
        bad("CONFLICTING_UNIQUE_VALUE"), Refused, "CONFLICTING_UNIQUE_VALUE",
        "Another record has that value", False,
    ),
    (
        bad("MISSING_REQUIRED_PROPERTY"), Refused, "MISSING_REQUIRED_PROPERTY",
        "forms demand it", False,
    ),
    (
        bad("MISSING_CONDITIONAL_REQUIRED_PROPERTY"), Refused,
        "MISSING_CONDITIONAL_REQUIRED_PROPERTY", "for this value", False,
    ),
    (INVALID_IDS, Refused, "INVALID_OBJECT_IDS", "not in HubSpot any more", False),
    (NO_CONTACT, Refused, "MISSING_REQUIRED_ASSOCIATION", "associations.contacts", False),
    (said("later", "RATE_LIMITS"), Deferred, "", "later", False),
    (said("oops", "INTERNAL_ERROR"), Deferred, "", "oops", False),
    (said("busy", "LOCKED"), Deferred, "", "busy", False),
    (said("away", "SERVICE_UNAVAILABLE"), Deferred, "", "away", False),
    (said("who knows", "SOMETHING_NEW"), Refused, "SOMETHING_NEW", "who knows", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "expected", "code", "told", "outdated"),
    [pytest.param(*case, id=f"{number} {case[2]}") for number, case in enumerate(ROWS)],
)
def test_a_refused_row_says_what_it_is_and_what_to_do(
    error: Mapping[str, Any], expected: type, code: str, told: str, outdated: bool
) -> None:
    outcome = row_outcome(error)
    assert type(outcome) is expected
    assert is_outdated(outcome) is outdated
    if isinstance(outcome, Deferred):
        assert told in outcome.reason
        assert outcome.retry_after_seconds > 0
    else:
        assert outcome.code == code
        assert told in outcome.message


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


def test_a_bad_property_is_named() -> None:
    outcome = row_outcome(bad("INVALID_DATE", "closedate"))
    assert isinstance(outcome, Refused)
    assert outcome.field == "closedate"


@pytest.mark.parametrize("error", [{}, {"errors": None}, {"errors": [7]}, {"context": 3}])
def test_an_error_that_says_nothing_is_still_a_refusal(error: Mapping[str, Any]) -> None:
    outcome = row_outcome(error)
    assert isinstance(outcome, Refused)
    assert outcome.code


def test_a_taken_unique_value_and_a_missing_record_are_told_apart() -> None:
    taken = {"category": "VALIDATION_ERROR", "errors": [{"code": "CONFLICTING_UNIQUE_VALUE"}]}
    missing = {"category": "OBJECT_NOT_FOUND"}
    assert (is_unique_conflict(taken), is_missing(taken)) == (True, False)
    assert (is_unique_conflict(missing), is_missing(missing)) == (False, True)


@pytest.mark.parametrize(
    ("now", "zone", "hours"),
    [
        (datetime(2026, 11, 24, 4, tzinfo=UTC), "US/Eastern", 1),
        (datetime(2026, 11, 24, 6, tzinfo=UTC), "US/Eastern", 23),
        (datetime(2026, 11, 24, 23, tzinfo=UTC), "Europe/Oslo", 24),
        (datetime(2026, 10, 24, 22, tzinfo=UTC), "Europe/Oslo", 25),  # clocks go back
        (datetime(2026, 11, 24, 4, tzinfo=UTC), "", 1),
        (datetime(2026, 11, 24, 6, tzinfo=UTC), "Middle/Earth", 1),
    ],
)
def test_the_day_of_an_account_ends_at_its_own_midnight(
    now: datetime, zone: str, hours: int
) -> None:
    assert seconds_to_midnight(now, zone) == hours * 3600

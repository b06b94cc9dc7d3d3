"""Each error of Salesforce: what it means to the caller, and what a person is told to do.

Codes, statuses and sample words are those of "Status Codes and Error Responses" (REST API
Developer Guide) and of the SOAP API's `StatusCode`.
"""

from __future__ import annotations

import pytest

from connectors.errors import CallRejected, CrmUnavailable, NotPermitted, RateLimited
from connectors.port import AlreadyExists, Deferred, Gone, Outcome, Refused
from connectors.salesforce.errors import Failure, QueryTooLarge, call_error, row_outcome

KEY = "Dealreg_Id__c"
RECORD = "006000000000001AAA"

#: HTTP status, code, message; what it is to the caller; a part of the advice.
CALLS = [
    (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", RateLimited, "API calls"),
    (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.", RateLimited, ""),
    (429, "", "", RateLimited, ""),
    (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", CrmUnavailable, ""),
    (400, "QUERY_TIMEOUT", "Your query request was running for too long.", QueryTooLarge, "index"),
    (400, "OPERATION_TOO_LARGE", "exceeded 100000 distinct ids", QueryTooLarge, "fewer fields"),
    (400, "QUERY_TOO_COMPLICATED", "Query is either selecting too many", QueryTooLarge, "formulas"),
    (400, "INVALID_QUERY_LOCATOR", "invalid query locator", CrmUnavailable, ""),
    (400, "INVALID_FIELD", "No such column 'F__c' on entity 'X'", CallRejected, "read access"),
    (400, "INVALID_TYPE", "sObject type 'X' is not supported.", CallRejected, "object"),
    (400, "MALFORMED_QUERY", "unexpected token", CallRejected, ""),
    (400, "MALFORMED_ID", "malformed id", CallRejected, ""),
    (400, "JSON_PARSER_ERROR", "Cannot deserialize", CallRejected, ""),
    (400, "STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", CallRejected, "data storage"),
    (400, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access", NotPermitted, "Share"),
    (403, "INSUFFICIENT_ACCESS", "insufficient access rights", NotPermitted, "create and edit"),
    (403, "API_DISABLED_FOR_ORG", "API is not enabled", NotPermitted, "edition"),
    (403, "API_CURRENTLY_DISABLED", "API is disabled", NotPermitted, "Enable the API"),
    (403, "", "", NotPermitted, "permission"),
    (404, "NOT_FOUND", "The requested resource does not exist", CallRejected, "grant access"),
    (410, "UNSUPPORTED_API_VERSION", "retired", CallRejected, "api_version"),
    (302, "", "", CallRejected, "My Domain"),
    (414, "", "", CallRejected, ""),
    (431, "", "", CallRejected, ""),
    (406, "", "", CrmUnavailable, ""),
    (420, "", "", CrmUnavailable, ""),
    (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred", CrmUnavailable, ""),
    (502, "", "", CrmUnavailable, ""),
    (503, "SERVER_UNAVAILABLE", "Server unavailable", CrmUnavailable, ""),
    (504, "", "", CrmUnavailable, ""),
    (400, "REQUEST_RUNNING_TOO_LONG", "Your request was running too long", CrmUnavailable, ""),
    (400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", CrmUnavailable, ""),
    (400, "TXN_SECURITY_METERING_ERROR", "", CrmUnavailable, ""),
]

#: Code, message, fields, whether the row is a create; its outcome; a part of the advice.
ROWS = [
    ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", "", False, Deferred, ""),
    ("CANNOT_EXECUTE_FLOW_TRIGGER", "… UNABLE_TO_LOCK_ROW: …", "", False, Deferred, ""),
    ("CANNOT_EXECUTE_FLOW_TRIGGER", "the X process failed", "", False, Refused, ""),
    ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "X: UNABLE_TO_LOCK_ROW", "", True, Deferred, ""),
    ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "X: caused by: null", "", True, Refused, ""),
    ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", "", True, Deferred, ""),
    ("ENTITY_IS_LOCKED", "in an approval process", "", False, Deferred, ""),
    ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Say why.", "NextStep", True, Refused, ""),
    ("REQUIRED_FIELD_MISSING", "missing: [Name]", "Name", True, Refused, "Map Name"),
    ("STRING_TOO_LONG", "data value too large", "Name", True, Refused, "Lengthen the field (Name)"),
    ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value", "F", True, Refused, "picklist"),
    ("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to", "F", False, Refused, "edit access to F"),
    ("INVALID_FIELD", "No such column", "F", True, Refused, "read access to it"),
    ("INVALID_CROSS_REFERENCE_KEY", "not valid", "RecordTypeId", True, Refused, "record type"),
    ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", "", False, Gone, ""),
    ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", "A", True, Refused, "View All"),
    ("INSUFFICIENT_ACCESS_OR_READONLY", "", "", False, Refused, "Modify All"),
    ("MALFORMED_ID", "id value of incorrect type", "AccountId", True, Refused, ""),
    ("DUPLICATES_DETECTED", "Use one of these records?", "", True, Refused, "Link the record"),
    ("DUPLICATE_VALUE", "duplicate value found: <unknown>", KEY, True, AlreadyExists, ""),
    ("DUPLICATE_VALUE", "duplicate value found: Other__c …", "Other__c", True, Refused, "unique"),
    ("DUPLICATE_EXTERNAL_ID", "more than one record", "", True, Refused, "key field unique"),
    ("ENTITY_IS_DELETED", "entity is deleted", "", False, Gone, ""),
    ("ENTITY_IS_DELETED", "entity is deleted", "AccountId", True, Refused, "recycle bin"),
    ("CANNOT_UPDATE_CONVERTED_LEAD", "converted lead", "", False, Gone, ""),
    ("INACTIVE_OWNER_OR_USER", "inactive user", "OwnerId", True, Refused, "active user"),
    ("INVALID_CURRENCY_ISO", "invalid code", "CurrencyIsoCode", True, Refused, "currency"),
    ("NUMBER_OUTSIDE_VALID_RANGE", "outside of valid range", "Amount", True, Refused, "Amount"),
    ("FIELD_INTEGRITY_EXCEPTION", "a problem with this country", "C", True, Refused, "(C)"),
    ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", "", True, Refused, "storage"),
    ("SERVER_UNAVAILABLE", "later", "", True, Deferred, ""),
    ("QUERY_TIMEOUT", "running for too long", "", True, Deferred, ""),
]


@pytest.mark.parametrize(("status", "code", "message", "expected", "told"), CALLS)
def test_a_call_that_failed_is_named_and_says_what_to_do(
    status: int, code: str, message: str, expected: type[Exception], told: str
) -> None:
    content = [{"errorCode": code, "message": message}] if code else None

    error = call_error(Failure(status, content), connection="acme", operation="read", write=False)

    assert type(error) is expected
    assert "acme" in error.message
    assert code in error.message or str(status) in error.message
    assert told in error.hint
    assert "{" not in error.hint
    assert bool(error.hint) == bool(told)


@pytest.mark.parametrize(("code", "message", "field", "create", "expected", "told"), ROWS)
def test_a_row_that_failed_has_its_outcome_and_says_what_to_do(
    code: str, message: str, field: str, create: bool, expected: type[Outcome], told: str
) -> None:
    errors = [{"statusCode": code, "message": message, "fields": [field] if field else []}]

    outcome = row_outcome(errors, record_id="" if create else RECORD, key_field=KEY)

    assert type(outcome) is expected
    if isinstance(outcome, Refused):
        assert (outcome.code, outcome.message, outcome.field) == (code, message, field or None)
        assert told in outcome.remedy
        assert "{" not in outcome.remedy
        assert bool(outcome.remedy) == bool(told)
    if isinstance(outcome, Deferred):
        assert code in outcome.reason
        assert outcome.retry_after_seconds > 0


@pytest.mark.parametrize("spelling", ["duplicateResult", "duplicateResut"])
def test_a_duplicate_rules_finds_are_read_in_both_spellings(spelling: str) -> None:
    record = {"attributes": {"type": "Lead"}, "Id": "00Q000000000001"}
    found = {"entityType": "Lead", "matchRecords": [{"record": record}, {"record": record}]}
    other = {"entityType": "Contact", "matchRecords": [{"record": {"Id": "003000000000001"}}]}
    error = {
        "errorCode": "DUPLICATES_DETECTED",
        "message": "Use one of these records?",
        spelling: {"matchResults": [found, other]},
    }

    outcome = row_outcome([error], record_id="", key_field=KEY, object_name="Lead")

    assert isinstance(outcome, Refused)
    assert outcome.duplicates == ("00Q000000000001EAA",)
    assert outcome.message == "Use one of these records? Found too: Contact 003000000000001AAA."

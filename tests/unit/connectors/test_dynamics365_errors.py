"""Refusals of the Web API as errors of the call and outcomes of rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.dynamics365 import errors
from connectors.dynamics365.transport import Reply
from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    NotPermitted,
    RateLimited,
)
from connectors.port import AlreadyExists, Deferred, Gone, Refused, Stale

RECORD_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def refused(status: int, code: str = "", message: str = "no", **headers: str) -> Reply:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Reply(status, {name.replace("_", "-"): v for name, v in headers.items()}, body)


def named(case: tuple[Any, ...]) -> Any:
    fault = errors.read_fault(case[0])
    return pytest.param(*case, id=f"{case[0].status} {fault.code} {fault.message}")


BUSY = "Dynamics 365 cannot answer"
SLOW_DOWN = "asks to slow down"
FREE = "Free storage"
#: Refusals of a whole call: what it is, what a person reads.
CALLS: list[tuple[Reply, type[ConnectorError], str]] = [
    (refused(400, "0x80040203", "Bad argument."), CallRejected, "Bad argument. [0x80040203]"),
    (refused(400, "0x80040216"), CrmUnavailable, BUSY),
    (refused(500, "0x80040216"), CrmUnavailable, BUSY),
    (refused(400, "0x80048d19", "Undeclared."), CallRejected, "Undeclared. [0x80048d19]"),
    (refused(400, "0x80060888", "Bad query."), CallRejected, "Bad query. [0x80060888]"),
    (refused(400, "0x8006088a", "No such key."), CallRejected, "No such key. [0x8006088a]"),
    (refused(403, "0x80040220", "is missing prvReadAccount"), NotPermitted, "Add prvReadAccount"),
    (refused(403, "0x80040231", "Access denied."), NotPermitted, "application user"),
    (refused(403, "0x80048405", "Access denied."), NotPermitted, "application user"),
    (refused(403, "0x80072560", "not a member"), NotPermitted, "Add an application user"),
    (refused(403, "0x8004A112", "disabled"), AuthenticationFailed, "Enable the application user"),
    (refused(400, "0x8004a104", "disabled"), AuthenticationFailed, "and the environment"),
    (refused(405, "0x80040315", "Not supported."), CallRejected, "Not supported. [0x80040315]"),
    (refused(413, "", "Too large."), errors.CallTooLarge, "Too large."),
    (refused(429, "0x80072321", "Time."), RateLimited, SLOW_DOWN),
    (refused(429, "0x80072322", "Requests."), RateLimited, SLOW_DOWN),
    (refused(429, "0x80072326", "Concurrent."), RateLimited, SLOW_DOWN),
    (refused(500, "0x80044150", "Sql Number: 1205"), CrmUnavailable, BUSY),
    (refused(500, "0x80044151", "SQL time-out"), CrmUnavailable, BUSY),
    (Reply(502, {}, b"<html>Bad gateway</html>"), CrmUnavailable, BUSY),
    (refused(503), CrmUnavailable, BUSY),
    (refused(504), CrmUnavailable, BUSY),
    (refused(501, "", "Not implemented."), CallRejected, "Not implemented."),
    (refused(400, "0x80050401", "Full."), CrmUnavailable, FREE),
    (refused(403, "0x80050402", "Full."), CrmUnavailable, FREE),
    (Reply(302, {}, b""), CallRejected, "HTTP 302"),
]


@pytest.mark.parametrize(("reply", "expected", "told"), [named(case) for case in CALLS])
def test_a_refused_call_says_what_to_do(
    reply: Reply, expected: type[ConnectorError], told: str
) -> None:
    error = errors.call_error(reply, "dynamics", "read", writes=False)
    assert type(error) is expected
    assert told in f"{error.message} {error.hint}"


def test_a_throttled_call_carries_the_time_to_wait() -> None:
    error = errors.call_error(refused(429, retry_after="17"), "d", "read", writes=True)
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == 17


def test_a_missing_privilege_is_named_in_the_remedy() -> None:
    reply = refused(403, "0x80040220", "user (Id=1) is missing prvWriteOpportunity privilege")
    assert "prvWriteOpportunity" in errors.call_error(reply, "d", "update", writes=True).hint


@pytest.mark.parametrize("writes", [True, False])
def test_only_a_failed_write_may_have_happened(writes: bool) -> None:
    error = errors.call_error(refused(504), "d", "any", writes=writes)
    assert isinstance(error, CrmUnavailable)
    assert error.may_have_happened is writes


MINE = f"Opportunity With Id = {RECORD_ID} Does Not Exist"
THEIRS = f"Account With Id = {OTHER_ID} Does Not Exist"
RULE = "a duplicate of the current record already exists."
#: Refusals of one row: the outcome of a create, of an update, and what a person reads of them.
ROWS: list[tuple[Reply, type, type, str]] = [
    (refused(400, "0x80040265", "No discount."), Refused, Refused, "A plug-in of the environment"),
    (refused(400, "0x80044331", "Too long."), Refused, Refused, "Too long."),
    (refused(400, "0x80048d19", "Undeclared."), Refused, Refused, "Undeclared."),
    (refused(400, "0x80060888", "Bad query."), Refused, Refused, "Bad query."),
    (refused(400, "0x80040203", "Bad argument."), Refused, Refused, "Bad argument."),
    (refused(400, "0x80040216", "Unexpected."), Deferred, Deferred, "Unexpected."),
    (refused(500, "0x80040216", "Unexpected."), Deferred, Deferred, "Unexpected."),
    (refused(403, "0x80040220", "missing prvWriteX"), Refused, Refused, "prvWriteX"),
    (refused(403, "0x80040231", "Denied."), Refused, Refused, "Denied."),
    (refused(403, "0x80048405", "Denied."), Refused, Refused, "Denied."),
    (refused(403, "0x80040299", "Owner cannot read."), Refused, Refused, "Owner cannot read."),
    (refused(404, "0x80040217", MINE), Refused, Gone, RECORD_ID),
    (refused(404, "0x80040217", THEIRS), Refused, Refused, OTHER_ID),
    (refused(404, "0x80060891", "No such key."), Refused, Gone, "No such key."),
    (refused(405, "0x80040315", "Not supported."), Refused, Refused, "Not supported."),
    (refused(412, "0x80060882", "Version."), AlreadyExists, Stale, ""),
    (refused(412), AlreadyExists, Stale, ""),
    (refused(412, "0x80040333", RULE), Refused, Refused, "Link the record"),
    (refused(500, "0x80040333", RULE), Refused, Refused, "Link the record"),
    (refused(412, "0x80040237", "Unique."), AlreadyExists, Refused, "Unique."),
    (refused(409, "0x80040237", "Unique."), AlreadyExists, Refused, "Unique."),
    (refused(412, "0x80060892", "Key taken."), AlreadyExists, Refused, "Key taken."),
    (refused(429, "0x80072326", "Concurrent.", retry_after="3"), Deferred, Deferred, "Concurr"),
    (refused(500, "0x80044150", "Sql Number: 1205"), Deferred, Deferred, "1205"),
    (refused(500, "0x80044151", "SQL time-out"), Deferred, Deferred, "SQL time-out"),
    (refused(501, "", "Not implemented."), Refused, Refused, "Not implemented."),
    (refused(400, "0x80040515", "Already closed."), Refused, Refused, "Already closed."),
]


@pytest.mark.parametrize(("reply", "created", "updated", "told"), [named(case) for case in ROWS])
def test_a_refused_row_is_told_apart(reply: Reply, created: type, updated: type, told: str) -> None:
    outcomes = (
        errors.create_outcome(reply, ["name"]),
        errors.update_outcome(reply, RECORD_ID, ["name"]),
    )
    assert tuple(type(outcome) for outcome in outcomes) == (created, updated)
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            assert told in f"{outcome.message} {outcome.remedy}"
        if isinstance(outcome, Deferred):
            assert told in outcome.reason
            throttled = reply.status == 429
            assert (outcome.tried, outcome.throttled) == (not throttled, throttled)


def test_a_refused_row_names_its_field() -> None:
    reply = refused(400, "0x80044331", "The length of the 'dr_name' attribute exceeded 100.")
    outcome = errors.create_outcome(reply, ["name", "dr_name"])
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field) == ("0x80044331", "dr_name")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": "busy"}', b'{"Message": "gone wrong"}'])
def test_any_body_of_a_refusal_can_be_read(body: bytes) -> None:
    assert isinstance(errors.read_fault(Reply(500, {}, body)), errors.Fault)


@pytest.mark.parametrize(
    "reply",
    [refused(503), refused(400, "0x80050401"), refused(401), refused(403, "0x8004A112")],
)
def test_some_refusals_inside_a_batch_stop_the_call(reply: Reply) -> None:
    error = errors.stops_the_call(reply, "d", "create")
    assert isinstance(error, CrmUnavailable)
    assert error.may_have_happened

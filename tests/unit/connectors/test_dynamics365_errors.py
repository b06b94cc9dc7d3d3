"""Refusals of the Web API as errors of the call and outcomes of rows."""

from __future__ import annotations

import json

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


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refused(429, "0x80072322", retry_after="17"), RateLimited),
        (refused(403, "0x80040220", "is missing prvReadAccount privilege"), NotPermitted),
        (refused(403, "0x8004A112"), AuthenticationFailed),
        (refused(503), CrmUnavailable),
        (Reply(502, {}, b"<html>Bad gateway</html>"), CrmUnavailable),
        (refused(400, "0x80050401"), CrmUnavailable),
        (refused(400, "0x80060888"), CallRejected),
        (refused(501), CallRejected),
        (Reply(302, {}, b""), CallRejected),
    ],
)
def test_a_refused_call_says_what_to_do(reply: Reply, expected: type[ConnectorError]) -> None:
    assert type(errors.call_error(reply, "dynamics", "read", writes=False)) is expected


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


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refused(412), AlreadyExists),
        (refused(412, "0x80060892"), AlreadyExists),
        (refused(500, "0x80040237"), AlreadyExists),
        (refused(412, "0x80040333"), Refused),
        (refused(500, "0x80040333"), Refused),
        (refused(404, "0x80040217"), Refused),
        (refused(429, retry_after="3"), Deferred),
        (refused(500, "0x80044150", "Sql Number: 1205"), Deferred),
    ],
)
def test_a_refused_create_is_told_apart(reply: Reply, expected: type) -> None:
    assert type(errors.create_outcome(reply, ["name"])) is expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refused(412, "0x80060882"), Stale),
        (refused(412), Stale),
        (refused(412, "0x80060892"), Refused),
        (refused(404, "0x80040217", f"Opportunity With Id = {RECORD_ID} Does Not Exist"), Gone),
        (refused(404, "0x80040217", f"Account With Id = {OTHER_ID} Does Not Exist"), Refused),
        (refused(403, "0x80040220"), Refused),
        (refused(500, "0x80044151"), Deferred),
    ],
)
def test_a_refused_update_is_told_apart(reply: Reply, expected: type) -> None:
    assert type(errors.update_outcome(reply, RECORD_ID, ["name"])) is expected


def test_a_refused_row_names_its_field() -> None:
    reply = refused(400, "0x80044331", "The length of the 'dr_name' attribute exceeded 100.")
    outcome = errors.create_outcome(reply, ["name", "dr_name"])
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.field) == ("0x80044331", "dr_name")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"error": "busy"}', b'{"Message": "gone wrong"}'])
def test_any_body_of_a_refusal_can_be_read(body: bytes) -> None:
    assert isinstance(errors.read_fault(Reply(500, {}, body)), errors.Fault)


@pytest.mark.parametrize("reply", [refused(503), refused(400, "0x80050401"), refused(401)])
def test_some_refusals_inside_a_batch_stop_the_call(reply: Reply) -> None:
    error = errors.stops_the_call(reply, "d", "create")
    assert isinstance(error, CrmUnavailable)
    assert error.may_have_happened

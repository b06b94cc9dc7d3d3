"""How each vendor refuses one call too many, in its own words."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping

from sandbox.faults import ThrottleAnswer, ThrottleWords

_JSON = {"Content-Type": "application/json;charset=UTF-8"}


def salesforce(_: float) -> ThrottleAnswer:
    """403 without a time to wait: REST API Developer Guide, "API Request Limits and Allocations"."""
    refusal = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    return ThrottleAnswer(403, _JSON, json.dumps(refusal).encode())


def dynamics365(retry_after_seconds: float) -> ThrottleAnswer:
    """429 with `Retry-After`: Dataverse developer guide, "Service protection API limits"."""
    message = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
    body = {"error": {"code": "0x80072322", "message": message}}
    wait = str(math.ceil(retry_after_seconds))
    return ThrottleAnswer(429, {**_JSON, "Retry-After": wait}, json.dumps(body).encode())


def hubspot(_: float) -> ThrottleAnswer:
    """429 that names the policy: HubSpot developer documentation, "API usage guidelines"."""
    body = {
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "policyName": "TEN_SECONDLY_ROLLING",
        "correlationId": str(uuid.uuid4()),
    }
    interval = {"X-HubSpot-RateLimit-Interval-Milliseconds": "10000"}
    return ThrottleAnswer(429, {**_JSON, **interval}, json.dumps(body).encode())


THROTTLED: Mapping[str, ThrottleWords] = {
    "salesforce": salesforce,
    "dynamics365": dynamics365,
    "hubspot": hubspot,
}

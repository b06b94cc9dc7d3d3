"""What Salesforce takes of one request and of one day, and how its answers tell."""

from __future__ import annotations

import pytest
import requests

from connectors.errors import CallRejected, RateLimited
from connectors.port import ConnectionSettings
from connectors.salesforce import soql
from connectors.salesforce.connector import SalesforceConnector
from registration_core.contracts import Condition
from sandbox.salesforce.engine import SalesforceOrg
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY

DATA = "/services/data/v67.0"
#: Bytes of address and headers together.
HEAD_MAX = 16_384


@pytest.fixture
def connector(settings: ConnectionSettings, timepiece: Timepiece) -> SalesforceConnector:
    """A connector that has asked nothing yet."""
    return SalesforceConnector(settings, timepiece)


def _asked(
    settings: ConnectionSettings, org: SalesforceOrg, path: str, **headers: str
) -> requests.Response:
    """Send a request by hand, signed in unless the headers say otherwise."""
    form = {"grant_type": "client_credentials"} | {
        name: settings.credentials[name] for name in ("client_id", "client_secret")
    }
    token = org.sessions.sign_in(form, org.store.clock()).access_token
    return requests.get(
        settings.base_url + path,
        headers={"Authorization": f"Bearer {token}"} | headers,
        verify=settings.ca_file,
        timeout=10,
    )


@pytest.mark.parametrize(
    ("address", "header", "status"),
    [
        (HEAD_MAX, 0, 431),
        (HEAD_MAX + 1, 0, 414),
        (HEAD_MAX - 2_000, 0, 404),
        (HEAD_MAX - 2_000, 2_000, 431),
    ],
)
def test_an_address_and_headers_of_more_bytes_than_salesforce_takes_are_refused(
    settings: ConnectionSettings, org: SalesforceOrg, address: int, header: int, status: int
) -> None:
    path = f"{DATA}/sobjects/Nothing/describe?x="
    before = org.calls_today

    answer = _asked(settings, org, path + "x" * (address - len(path)), X=("x" * header) or "x")

    assert answer.status_code == status
    assert org.calls_today == before + (status == 404)


def test_a_query_that_is_too_long_is_told_from_a_query_that_is_wrong(
    connector: SalesforceConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soql, "VALUES_MAX", HEAD_MAX)
    values = tuple(f"{number:036}" for number in range(600))

    with pytest.raises(CallRejected, match="414"):
        connector.count(OPPORTUNITY, [Condition(KEY, values)])


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        (f"{DATA}/limits", None, 200),
        (f"{DATA}/sobjects/Nothing/describe", None, 404),
        (f"{DATA}/query?q=SELECT", None, 400),
        (f"{DATA}/query?q=SELECT+MAX(Id)+FROM+Lead", None, 501),
        (f"{DATA}/limits", "nobody", 401),
    ],
)
def test_every_answer_says_how_much_of_the_quota_is_used(
    settings: ConnectionSettings, org: SalesforceOrg, path: str, token: str | None, status: int
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    answer = _asked(settings, org, path, **headers)

    assert answer.status_code == status
    usage = f"api-usage={org.calls_today}/{org.calls_max}"
    assert answer.headers["Sforce-Limit-Info"] == usage


def test_a_refusal_tells_the_budget_that_the_quota_is_spent(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    allowed, org.calls_max = org.calls_max, org.calls_today
    try:
        with pytest.raises(RateLimited):
            connector.count(OPPORTUNITY, [])
        budget = connector.api_budget()
        assert budget is not None
        assert (budget.used, budget.allowed) == (org.calls_today, org.calls_today)
    finally:
        org.calls_max = allowed

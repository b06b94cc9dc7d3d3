"""What Salesforce takes of one request and of one day, and how its answers tell."""

from __future__ import annotations

import uuid

import pytest
import requests

from connectors.errors import CallRejected, RateLimited
from connectors.port import ConnectionSettings
from connectors.salesforce import records
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.soql import QUERY_MAX
from registration_core.contracts import Condition
from sandbox.salesforce.engine import SalesforceOrg
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY, item

DATA = "/services/data/v67.0"
#: Bytes of address and headers together.
HEAD_MAX = 16_384
STEP = f"Asked for {uuid.uuid4()}"


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


def test_a_query_that_cannot_be_made_short_enough_is_refused_before_it_is_sent(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    connector.describe(OPPORTUNITY)
    before = org.calls_today

    with pytest.raises(CallRejected, match=str(QUERY_MAX)) as caught:
        connector.count(OPPORTUNITY, [Condition("Name", ("語" * QUERY_MAX,))])

    assert org.calls_today == before
    assert "shorten the conditions" in caught.value.hint


def test_two_long_conditions_are_answered_in_full(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    made = [item(NextStep=f"{STEP} {number}") for number in range(4)]
    connector.create(OPPORTUNITY, KEY, made)
    fillers = [str(uuid.uuid4()) for _ in range(900)]
    keys = Condition(KEY, (*fillers[:450], *(each.key for each in made), *fillers[450:]))
    steps = Condition("NextStep", (*fillers, *(f"{STEP} {number}" for number in range(1, 9))))

    found = connector.select(OPPORTUNITY, [keys, steps], [KEY], 10)

    assert {r.fields[KEY] for r in found.records} == {each.key for each in made[1:]}
    assert connector.count(OPPORTUNITY, [keys, steps]) == 3


def test_more_fields_than_a_query_takes_are_read_all_the_same(
    connector: SalesforceConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = ["Name", "NextStep", "StageName", "CloseDate", "RecordType.DeveloperName"]
    wanted = item(NextStep=f"{STEP} wide")
    connector.create(OPPORTUNITY, KEY, [wanted])

    def read() -> list[object]:
        step = Condition("NextStep", (f"{STEP} wide",))
        feed = connector.changes(OPPORTUNITY, fields, None)
        while feed.more:
            feed = connector.changes(OPPORTUNITY, fields, feed.cursor)
        return [
            connector.find(OPPORTUNITY, KEY, [wanted.key], fields),
            connector.select(OPPORTUNITY, [step], fields, 5).records,
            [each for each in feed.records if each.fields["NextStep"] == f"{STEP} wide"],
        ]

    at_once = read()
    monkeypatch.setattr(records, "COLUMNS_MAX", 100)

    assert read() == at_once
    assert all(at_once)


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

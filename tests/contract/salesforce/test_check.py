"""`connection check` of Salesforce: every step of the set-up, and the one that is missing by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from connectors.port import ConnectionSettings, ObjectNeed
from connectors.salesforce.connector import SalesforceConnector
from sandbox.faults import Fault, FaultKind
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.objects import OBJECTS
from sandbox.salesforce.permissions import withheld
from sandbox.serving import Running
from tests.contract.peers import Timepiece
from tests.contract.salesforce import KEY, OPPORTUNITY


@pytest.fixture
def connector(settings: ConnectionSettings, timepiece: Timepiece) -> SalesforceConnector:
    """The connector under test."""
    return SalesforceConnector(settings, timepiece)


@pytest.fixture
def org(running: Running) -> Iterator[SalesforceOrg]:
    """The engine behind the stand-in; what was taken from our user is given back."""
    engine = running.crms["salesforce"].org
    assert isinstance(engine, SalesforceOrg)
    yield engine
    engine.show_field("ObjectPermissions", "PermissionsViewAllRecords")
    engine.store.set_fact(withheld("Account"), "")
    running.crms["salesforce"].faults.clear()


class Setup:
    """The set-up of an org, in which an admin has left something out."""

    def __init__(self, org: SalesforceOrg, running: Running, patch: pytest.MonkeyPatch) -> None:
        self.org, self.faults = org, running.crms["salesforce"].faults
        self._patch = patch

    def opportunity(self, **other: Any) -> None:
        """Let the object be another one."""
        changed = replace(OBJECTS[OPPORTUNITY], **other)
        self._patch.setitem(OBJECTS, OPPORTUNITY, changed)

    def field(self, name: str, **other: Any) -> None:
        """Let a field of the opportunity be another one."""
        fields = OBJECTS[OPPORTUNITY].fields
        self.opportunity(fields={**fields, name: replace(fields[name], **other)})

    def without(self, object_name: str) -> None:
        """Leave an object out."""
        self._patch.delitem(OBJECTS, object_name)

    def no_deletions(self) -> None:
        """Refuse to tell of what was deleted."""
        self.faults.add(Fault(FaultKind.THROTTLED, path="queryAll", remaining=1))

    def few_calls(self) -> None:
        """Have most of the day's calls used up."""
        for _ in range(200):
            self.org.count_call()
        self._patch.setattr(self.org, "calls_max", self.org.calls_today + 30)


@pytest.fixture
def setup(org: SalesforceOrg, running: Running, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """An org as docs/salesforce.md wants it."""
    return Setup(org, running, monkeypatch)


NEEDS = [
    ObjectNeed(
        OPPORTUNITY, KEY, reads=("Name", "LeadSource"), writes=("Name", "NextStep"),
        two_way=("Name",),
    ),
    ObjectNeed("Deal_Registration__c", KEY, reads=("Stage__c",), writes=("Stage__c",)),
    ObjectNeed("Account", reads=("Name",)),
]  # fmt: skip
#: What is left out; the step that tells, a part of what it says to do, and whether it warns only.
LEFT_OUT: Mapping[str, tuple[Callable[[Setup], object], str, str, bool]] = {
    "object": (
        lambda setup: setup.without("Deal_Registration__c"),
        "object Deal_Registration__c", "Create it, or grant access", False,
    ),
    "field": (
        lambda setup: setup.org.hide_field(OPPORTUNITY, "LeadSource"),
        "field Opportunity.LeadSource", "grant read access", False,
    ),
    "field access": (
        lambda setup: setup.field("NextStep", updateable=False, createable=False),
        "field Opportunity.NextStep", "Grant edit access to NextStep", False,
    ),
    "unique": (
        lambda setup: setup.field(KEY, unique=False), f"key Opportunity.{KEY}", "Unique", False,
    ),
    "external id": (
        lambda setup: setup.field(KEY, external_id=False),
        f"key Opportunity.{KEY}", "External ID", False,
    ),
    "length of the key": (
        lambda setup: setup.field(KEY, length=18), f"key Opportunity.{KEY}", "Text(36)", False,
    ),
    "access to the key": (
        lambda setup: setup.field(KEY, createable=False),
        f"key Opportunity.{KEY}", f"Grant edit access to {KEY}", False,
    ),
    "create": (
        lambda setup: setup.opportunity(writable=False),
        "create Opportunity", "Grant Create on the object", False,
    ),
    "edit": (
        lambda setup: setup.opportunity(writable=False),
        "edit Opportunity", "Grant Edit on the object", False,
    ),
    "history": (
        lambda setup: setup.field("Name", tracked=False),
        "history Opportunity.Name", "Switch field history tracking on for Name", True,
    ),
    "deletions": (Setup.no_deletions, "deletions Opportunity", "API calls", False),
    "view all": (
        lambda setup: setup.org.store.set_fact(withheld("Account"), "yes"),
        "view all records Account", "Grant View All Records on Account", False,
    ),
    "calls": (Setup.few_calls, "API budget", "buy API calls", True),
}  # fmt: skip


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_the_set_up_lacks_is_named_by_its_step_and_no_other_object_is(
    connector: SalesforceConnector, setup: Setup, what: str
) -> None:
    leave_out, step, remedy, warns = LEFT_OUT[what]
    before = {item.step for item in connector.check(NEEDS) if not item.ok or item.warning}
    assert before == set()

    leave_out(setup)
    items = connector.check(NEEDS)
    setup.org.show_field(OPPORTUNITY, "LeadSource")

    wrong = {item.step: item for item in items if not item.ok or item.warning}
    about = step.partition(" ")[2].rpartition(" ")[2]
    assert all(about in each for each in wrong)
    assert (wrong[step].ok, wrong[step].warning) == (warns, warns)
    assert remedy in wrong[step].remedy


@pytest.mark.parametrize(
    ("other", "step", "remedy"),
    [
        ({"credentials": {"client_id": "app"}}, "sign in", "External Client App's key and secret"),
        ({"environment": "production"}, "organisation", "correct the environment"),
        ({"webhook": {"secret": "short"}}, "webhook", "Outbound Message's URL"),
    ],
)
def test_what_the_connection_lacks_is_named_by_its_step(
    settings: ConnectionSettings,
    timepiece: Timepiece,
    other: dict[str, Any],
    step: str,
    remedy: str,
) -> None:
    if "credentials" in other:
        other = {"credentials": {**settings.credentials, **other["credentials"]}}
    connector = SalesforceConnector(replace(settings, **other), timepiece)

    (wrong,) = (item for item in connector.check(NEEDS) if not item.ok or item.warning)

    assert wrong.step == step
    assert remedy in wrong.remedy


def test_what_is_made_beside_deals_and_never_changed_needs_no_edit(
    connector: SalesforceConnector, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.opportunity(writable=False)

    steps = {item.step for item in connector.check([ObjectNeed(OPPORTUNITY, KEY, (), ("Name",))])}

    assert "create Opportunity" in steps
    assert "edit Opportunity" not in steps


def test_only_fields_that_flow_both_ways_have_to_keep_their_history(
    connector: SalesforceConnector,
) -> None:
    """A field that only we write, or write once, holds nothing that an overwrite could lose."""
    writes = ("Name", "NextStep", "LeadSource", "Description", "Dealreg_Number__c")
    need = ObjectNeed(OPPORTUNITY, KEY, writes=writes, two_way=("Name", "NextStep"))

    steps = [item.step for item in connector.check([need]) if item.step.startswith("history")]

    assert steps == ["history Opportunity.NextStep"]


def test_a_key_has_to_be_unique_and_an_external_id(connector: SalesforceConnector) -> None:
    """Either alone is not enough: what is no external id is not indexed for our look-ups."""
    unique = "Quote_Number__c"
    needs = [ObjectNeed(OPPORTUNITY, key) for key in (KEY, unique)]

    items = {item.step: item for item in connector.check(needs)}

    assert items[f"key Opportunity.{KEY}"].ok
    wrong = items[f"key Opportunity.{unique}"]
    assert not wrong.ok
    assert "External ID" in wrong.remedy


def test_an_object_whose_records_our_user_does_not_all_see_fails_the_check_by_name(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    needs = [ObjectNeed(name, reads=("Name",)) for name in ("Account", OPPORTUNITY)]
    org.store.set_fact(withheld("Account"), "yes")

    items = {item.step: item for item in connector.check(needs)}

    assert items["view all records Opportunity"].ok
    hidden = items["view all records Account"]
    assert not hidden.ok
    assert "View All Records on Account" in hidden.remedy


def test_permissions_that_our_user_may_not_look_at_are_a_warning_that_names_the_step(
    connector: SalesforceConnector, org: SalesforceOrg
) -> None:
    org.hide_field("ObjectPermissions", "PermissionsViewAllRecords")

    items = {item.step: item for item in connector.check([ObjectNeed("Account", reads=("Name",))])}

    unseen = items["view all records"]
    assert unseen.warning
    assert "View Setup and Configuration" in unseen.remedy

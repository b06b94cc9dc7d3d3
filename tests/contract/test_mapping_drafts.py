"""`mapping init` on each stand-in: what it drafts loads, fits, and asks what it cannot know."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import config
from config.connections import load_connections
from config.programs import load_programs
from mapping.check import check, objects_of
from mapping.drafting import Objects, draft, questions
from mapping.drafting_companions import referred
from mapping.loader import load
from mapping.schema import ConnectionMapping, Missing
from registration_core.contracts import ConnectionName
from sync.mappings.connecting import check_against_programs
from tests.contract.peers import Peer
from tests.unit.mapping.catalogue import GROUPS, OURS

PROGRAM = load_programs(
    Path(config.__file__).parent, load_connections(Path(config.__file__).parent, {}).names
)["default"]
_OBJECTS = {
    "salesforce": ("Opportunity", "Deal_Registration__c", "Account"),
    "dynamics365": ("opportunity", "dr_dealregistration", "account"),
    "hubspot": ("deals", "deals", "companies"),
}


_LINE_ITEMS = {
    "salesforce": "OpportunityLineItem", "dynamics365": "opportunityproduct", "hubspot": "line_items",
}  # fmt: skip


def drafted(peer: Peer, crm: str) -> str:
    describe = peer.connector.describe
    home, mirror, accounts = map(describe, _OBJECTS[crm])
    beside = {name: describe(name) for name in (*referred(home), _LINE_ITEMS[crm])}
    objects = Objects(home, mirror, accounts, beside, _LINE_ITEMS[crm])
    return draft(crm, objects, OURS, GROUPS, tuple(PROGRAM.product_lines))


def problems(peer: Peer, text: str) -> tuple[ConnectionMapping, list[str]]:
    mapping = load(text, "draft.yaml", OURS, GROUPS)
    schemas = {name: peer.connector.describe(name) for name in objects_of(mapping)}
    found = check(mapping, schemas, precondition=peer.connector.capabilities.precondition)
    return mapping, [str(p) for p in found.problems]


#: HubSpot asks, once for each object, which pipeline its deals belong to.
PIPELINES = ("default", "partner_mirror")
ASKED = r"    # \? deals requires pipeline: .*\n    # on_create:\n    #   pipeline: THE_VALUE\n"


def answered(text: str) -> str:
    """The draft with the answers that docs/mapping.md gives: pipelines, and no to what is asked."""
    for pipeline in PIPELINES:
        text = re.sub(ASKED, f"    on_create:\n      pipeline: {pipeline}\n", text, count=1)
    return "".join(
        line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("# ")
    )


def accepted(text: str) -> str:
    """The draft with a yes to everything that is asked, and what it leaves open filled in."""
    for pipeline in PIPELINES:
        text = re.sub(ASKED, f"    on_create:\n      pipeline: {pipeline}\n", text, count=1)
    text = re.sub(r"^ *# \?.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^( +)# ", r"\1", text, flags=re.MULTILINE)
    return text.replace("THE_FIELD", "partner_message").replace("THE_ID", "01uHs0000PlatfoAAA")


@pytest.mark.parametrize("crm", _OBJECTS)
def test_an_answered_draft_passes_the_check_that_it_is_told_to_pass(
    crm: str, remote: Callable[[str], Peer]
) -> None:
    mapping, found = problems(remote(crm), answered(drafted(remote(crm), crm)))
    assert found == []
    assert mapping.connection == ConnectionName(crm)
    for role in ("home", "mirror"):
        names = {row.ours.name for row in mapping.objects[role].rows}
        assert {"deal_name", "sales_stage", "amount", "currency", "account"} <= names
        assert {"registration_state", "protection_ends_on", "partner_name"} <= names
    assert check_against_programs(mapping, {"default": PROGRAM}) == ()


def asked_of_the_deal(text: str) -> list[str]:
    beside = ("user: ", "line_item: ")
    return [told for _, told in questions(text) if not told.startswith(beside)]


@pytest.mark.parametrize("crm", _OBJECTS)
def test_what_stands_beside_a_deal_is_drafted_and_looked_up_but_not_made(
    crm: str, remote: Callable[[str], Peer]
) -> None:
    mapping, _ = problems(remote(crm), answered(drafted(remote(crm), crm)))
    home, mirror = mapping.objects["home"], mapping.objects["mirror"]
    partner = {"partner"} if crm == "salesforce" else set()
    assert set(home.companions) == {"account", "contact"} | partner
    assert {each.missing for each in home.companions.values()} == {Missing.LEAVE}
    assert {"account", "contact"} | partner <= {row.ours.name for row in home.rows}
    account = {row.ours.name for row in home.companions["account"].made.rows}
    assert {"customer_name", "customer_tax_id", "customer_phone", "customer_postcode"} <= account
    contact = home.companions["contact"].made.rows
    assert {row.ours.name for row in contact} == {"contact_name", "contact_email", "account"}
    assert (home.user, mirror.companions) == (None, {})


@pytest.mark.parametrize("crm", _OBJECTS)
def test_an_owner_and_a_line_item_are_asked_and_their_lines_fit_when_uncommented(
    crm: str, remote: Callable[[str], Peer]
) -> None:
    text = drafted(remote(crm), crm)
    told = [said for _, said in questions(text)]
    assert any(said.startswith("user: ") for said in told)
    assert any(said.startswith("line_item: ") for said in told)
    mapping, found = problems(remote(crm), accepted(text))
    assert found == []
    home = mapping.objects["home"]
    assert home.user is not None
    assert [each.name for each in home.after] == ["line_item"]
    assert {row.ours.name for row in home.after[0].made.rows} == {
        "record",
        "product_line",
        "amount",
    }


def test_a_picklist_that_speaks_for_itself_is_mapped(remote: Callable[[str], Peer]) -> None:
    text = drafted(remote("salesforce"), "salesforce")
    assert asked_of_the_deal(text) == []
    assert "qualifying: [Prospecting, Qualification]" in text
    assert "developing: [Needs Analysis, Value Proposition]" in text


def test_numbers_for_stages_are_told_by_their_labels_and_the_end_by_the_state(
    remote: Callable[[str], Peer],
) -> None:
    text = drafted(remote("dynamics365"), "dynamics365")
    assert asked_of_the_deal(text) == []
    assert "theirs: [statecode, salesstage]" in text
    for line in ('qualifying: ["0", "0"]', 'negotiating: ["0", "3"]', 'won: ["1", "*"]'):
        assert f"              {line}" in text


def test_stages_of_two_pipelines_go_to_their_roles_and_an_open_question_is_a_problem(
    remote: Callable[[str], Peer],
) -> None:
    text = drafted(remote("hubspot"), "hubspot")
    home, _, mirror = text.partition("  mirror:")
    assert "qualifying: [appointmentscheduled, qualifiedtobuy]" in home
    assert "qualifying: [pm_qualifying]" in mirror
    asked = "deals requires pipeline: one of default (Sales Pipeline), partner_mirror"
    assert [told.startswith(asked) for told in asked_of_the_deal(text)] == [True, True]
    _, found = problems(remote("hubspot"), text)
    for number, told in questions(text):
        assert any(
            each.startswith(f"draft.yaml:{number}: not answered yet: {told}") for each in found
        )


@pytest.mark.parametrize(
    ("crm", "lead", "rows", "opportunities"),
    [
        ("salesforce", "Lead", {"customer_name": "Company", "contact_name": "LastName",
                                "contact_email": "Email"}, "Opportunity"),
        ("hubspot", "leads", {"deal_name": "hs_lead_name"}, "deals"),
    ],
)  # fmt: skip
def test_leads_are_named_by_customer_and_contact_and_opportunities_stay_what_they_are(
    crm: str, lead: str, rows: dict[str, str], opportunities: str, remote: Callable[[str], Peer]
) -> None:
    describe = remote(crm).connector.describe
    home, deals, accounts = describe(lead), describe(_OBJECTS[crm][0]), describe(_OBJECTS[crm][2])
    beside = {name: describe(name) for name in referred(home)}
    text = draft(crm, Objects(home, None, accounts, beside, "", deals), OURS, GROUPS)
    mapping = load(answered(text), "draft.yaml", OURS, GROUPS)
    written = {row.ours.name: row.theirs[0] for row in mapping.objects["home"].rows}
    assert rows.items() <= written.items()
    assert mapping.opportunities.object == opportunities
    waits = {
        n for n, each in mapping.objects["home"].companions.items() if each.missing is Missing.WAIT
    }
    required = {f.name for f in home.fields.values() if f.required}
    assert waits == {n for n in ("account", "contact") if written.get(n) in required}

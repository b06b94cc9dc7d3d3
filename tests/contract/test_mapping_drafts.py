"""`mapping init` on each stand-in: what it drafts loads, fits, and asks what it cannot know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mapping.check import check, objects_of
from mapping.drafting import Objects, draft, questions
from mapping.loader import load
from mapping.schema import ConnectionMapping
from registration_core.contracts import ConnectionName
from tests.contract.peers import Peer
from tests.unit.mapping.catalogue import GROUPS, OURS

_OBJECTS = {
    "salesforce": ("Opportunity", "Deal_Registration__c", "Account"),
    "dynamics365": ("opportunity", "dr_dealregistration", "account"),
    "hubspot": ("deals", "deals", "companies"),
}


def drafted(peer: Peer, crm: str) -> str:
    home, mirror, accounts = map(peer.connector.describe, _OBJECTS[crm])
    return draft(crm, Objects(home, mirror, accounts), OURS, GROUPS)


def problems(peer: Peer, text: str) -> tuple[ConnectionMapping, list[str]]:
    mapping = load(text, "draft.yaml", OURS, GROUPS)
    schemas = {name: peer.connector.describe(name) for name in objects_of(mapping)}
    found = check(mapping, schemas, precondition=peer.connector.capabilities.precondition)
    return mapping, [str(p) for p in found.problems]


@pytest.mark.parametrize("crm", _OBJECTS)
def test_a_draft_loads_and_fits_the_schema_it_was_made_from(
    crm: str, remote: Callable[[str], Peer]
) -> None:
    mapping, found = problems(remote(crm), drafted(remote(crm), crm))
    assert found == []
    assert mapping.connection == ConnectionName(crm)
    for role in ("home", "mirror"):
        names = {row.ours.name for row in mapping.objects[role].rows}
        assert {"deal_name", "amount", "currency", "expected_close_on", "account"} <= names
        assert {"registration_state", "protection_ends_on", "partner_name"} <= names


def test_a_picklist_that_speaks_for_itself_is_mapped(remote: Callable[[str], Peer]) -> None:
    text = drafted(remote("salesforce"), "salesforce")
    assert questions(text) == 0
    assert "qualifying: [Prospecting, Qualification]" in text
    assert "developing: [Needs Analysis, Value Proposition]" in text


def test_numbers_for_stages_are_asked_and_the_answer_makes_the_file_whole(
    remote: Callable[[str], Peer],
) -> None:
    text = drafted(remote("dynamics365"), "dynamics365")
    assert questions(text) == 1
    assert "# ? salesstage has 0, 1, 2, 3: which is which of ours?" in text
    start = text.index("        # ? salesstage")
    end = text.index("        - {ours: actual_close_on")
    answer = (
        "        - ours: sales_stage\n          theirs: [statecode, salesstage]\n"
        '          transform:\n            enum: {qualifying: ["0", "0"], developing: ["0", "1"],'
        ' proposing: ["0", "2"], negotiating: ["0", "3"], won: ["1", "*"], lost: ["2", "*"]}\n'
    )
    mapping, found = problems(remote("dynamics365"), text[:start] + answer + text[end:])
    assert found == []
    assert "sales_stage" in mapping.objects["home"].groups["stage"].pulls


def test_stages_of_two_pipelines_go_to_their_roles_and_the_pipeline_is_asked(
    remote: Callable[[str], Peer],
) -> None:
    text = drafted(remote("hubspot"), "hubspot")
    home, _, mirror = text.partition("  mirror:")
    assert "qualifying: [appointmentscheduled, qualifiedtobuy]" in home
    assert "qualifying: [pm_qualifying]" in mirror
    assert questions(text) == text.count("requires pipeline: one of default, partner_mirror") == 2

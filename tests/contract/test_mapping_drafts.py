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
from mapping.loader import load
from mapping.schema import ConnectionMapping
from registration_core.contracts import ConnectionName
from sync.connecting import check_against_programs
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


def drafted(peer: Peer, crm: str) -> str:
    home, mirror, accounts = map(peer.connector.describe, _OBJECTS[crm])
    return draft(crm, Objects(home, mirror, accounts), OURS, GROUPS)


def problems(peer: Peer, text: str) -> tuple[ConnectionMapping, list[str]]:
    mapping = load(text, "draft.yaml", OURS, GROUPS)
    schemas = {name: peer.connector.describe(name) for name in objects_of(mapping)}
    found = check(mapping, schemas, precondition=peer.connector.capabilities.precondition)
    return mapping, [str(p) for p in found.problems]


#: HubSpot alone asks, once for each object, which pipeline its deals belong to.
PIPELINES = ("default", "partner_mirror")
ASKED = r"    # on_create:\n      # \? deals requires pipeline: .*\n      # pipeline: THE_VALUE\n"


def answered(text: str) -> str:
    """The draft with the answers that docs/mapping.md gives."""
    for pipeline in PIPELINES:
        text = re.sub(ASKED, f"    on_create:\n      pipeline: {pipeline}\n", text, count=1)
    return text


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


def test_a_picklist_that_speaks_for_itself_is_mapped(remote: Callable[[str], Peer]) -> None:
    text = drafted(remote("salesforce"), "salesforce")
    assert questions(text) == []
    assert "qualifying: [Prospecting, Qualification]" in text
    assert "developing: [Needs Analysis, Value Proposition]" in text


def test_numbers_for_stages_are_told_by_their_labels_and_the_end_by_the_state(
    remote: Callable[[str], Peer],
) -> None:
    text = drafted(remote("dynamics365"), "dynamics365")
    assert questions(text) == []
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
    assert [told.startswith(asked) for _, told in questions(text)] == [True, True]
    _, found = problems(remote("hubspot"), text)
    assert [f"draft.yaml:{n}: not answered yet: {asked}" in found[i]
            for i, (n, _) in enumerate(questions(text))] == [True, True]  # fmt: skip

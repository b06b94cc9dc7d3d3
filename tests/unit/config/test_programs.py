"""`programs/*.yaml`: rules as values."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from config.authority import DEFAULT_AUTHORITY
from config.programs import load_programs
from config.settings import SHIPPED_CONFIG_DIR
from registration_core.contracts import Condition, FieldType
from registration_core.fields import FieldGroup
from registration_core.findings import Decision, FindingKind, FindingRule, ReasonCode
from registration_core.program import (
    REQUIRED_LISTS,
    Authority,
    CustomField,
    Exclusivity,
    ListKind,
    ListTerms,
    Phase,
    ProductLine,
    Role,
)
from tests.unit.config.program_files import (
    DYNAMICS,
    GOOD,
    HUBSPOT,
    NAMES,
    SALESFORCE,
    load,
    problems,
)

ACCOUNTS = Path(__file__).parents[3] / "sandbox" / "data" / "accounts.json"


def test_the_shipped_program_holds_the_rules_it_documents() -> None:
    program = load_programs(SHIPPED_CONFIG_DIR, NAMES)["default"]
    assert program.roles_for("US") == {
        SALESFORCE: Role.HOME,
        DYNAMICS: Role.MIRROR,
        HUBSPOT: Role.MIRROR,
    }
    for country in ("DE", "AT", "CH"):
        assert program.roles_for(country) == {
            DYNAMICS: Role.HOME,
            SALESFORCE: Role.MIRROR,
            HUBSPOT: Role.MIRROR,
        }
    assert set(program.required_connections) == set(NAMES)
    assert program.product_lines["platform"] == ProductLine(
        "platform", "Platform", Exclusivity.EXCLUSIVE, 1
    )
    assert program.product_lines["support"].slots == 2
    assert program.product_lines["training"].slots == 0
    assert program.list_terms == {
        ListKind.HOUSE: ListTerms("house-desk"),
        ListKind.DO_NOT_CALL: ListTerms("compliance-desk"),
    }
    assert program.low_risk is not None
    assert program.low_risk.amount_at_most == Decimal(100_000)
    assert program.low_risk.partner_tiers == {"gold", "silver"}
    assert program.authority == DEFAULT_AUTHORITY
    assert program.list_shrink_limit == Decimal("0.8")


def test_the_shipped_lists_ask_each_crm_in_its_own_words() -> None:
    program = load_programs(SHIPPED_CONFIG_DIR, NAMES)["default"]
    asked = {(found.kind, found.connection): found.where for found in program.lists}
    assert len(asked) == len(program.lists) == len(REQUIRED_LISTS) * len(NAMES)
    assert asked[ListKind.DIRECT, SALESFORCE] == (Condition("Type", ("Customer - Direct",)),)
    assert asked[ListKind.DIRECT, DYNAMICS] == (Condition("customertypecode", ("3",)),)
    assert asked[ListKind.HOUSE, HUBSPOT] == (Condition("house_account", (True,)),)


def test_the_shipped_canaries_are_accounts_of_the_sandbox_on_their_list() -> None:
    program = load_programs(SHIPPED_CONFIG_DIR, NAMES)["default"]
    accounts = {account["tax_id"]: account for account in json.loads(ACCOUNTS.read_text())}
    for found in program.lists:
        (canary,) = found.canary_tax_ids
        assert accounts[canary]["class"] == found.kind


def test_a_list_may_have_a_canary_in_each_territory(tmp_path: Path) -> None:
    program = load(tmp_path, GOOD.replace("canary_tax_id: 00-2", "canary_tax_id: [00-2, 00-9]"))
    canaries = {found.kind: found.canary_tax_ids for found in program.lists}
    assert canaries[ListKind.HOUSE] == ("00-2", "00-9")
    assert canaries[ListKind.DIRECT] == ("00-1",)


def test_every_field_group_has_a_default_authority_in_both_phases() -> None:
    assert set(DEFAULT_AUTHORITY) == set(FieldGroup)
    for phases in DEFAULT_AUTHORITY.values():
        assert set(phases) == set(Phase)


def test_what_a_file_leaves_out_has_safe_defaults(tmp_path: Path) -> None:
    program = load(tmp_path, GOOD)
    assert program.amount_at_least == 0
    assert program.low_risk is None
    assert program.authority == DEFAULT_AUTHORITY
    assert program.custom_fields == {}


def test_a_connection_without_a_part_is_read_for_checks_and_required(tmp_path: Path) -> None:
    text = GOOD.replace("  check_only: []\n", "").replace("  required: [salesforce]\n", "")
    lists = text
    for name in ("dynamics", "hubspot"):
        lists = lists.replace(
            "    where:\n",
            f'    where:\n      {name}: {{field: f, equals: "1", canary_tax_id: 00-9}}\n',
        )
    program = load(tmp_path, lists)
    assert program.roles_for("DE")[HUBSPOT] is Role.CHECK_ONLY
    assert set(program.required_connections) == set(NAMES)
    assert program.freshness_seconds == {SALESFORCE: 600, DYNAMICS: 900, HUBSPOT: 900}


def test_a_program_overrides_authority_by_group_and_phase(tmp_path: Path) -> None:
    program = load(
        tmp_path,
        GOOD + "authority:\n  close:\n    converted: {writers: [home, dynamics], wins: dynamics}\n",
    )
    assert program.authority[FieldGroup.CLOSE] == {
        Phase.REGISTERED: DEFAULT_AUTHORITY[FieldGroup.CLOSE][Phase.REGISTERED],
        Phase.CONVERTED: Authority(frozenset({"home", "dynamics"}), "dynamics"),
    }


def test_custom_fields_are_typed(tmp_path: Path) -> None:
    program = load(
        tmp_path,
        GOOD
        + """\
custom_fields:
  rival: {type: text, label: Rival, required: true}
  segment: {type: picklist, label: Segment, options: [small, large]}
""",
    )
    assert program.custom_fields == {
        "rival": CustomField("rival", FieldType.TEXT, "Rival", required=True),
        "segment": CustomField(
            "segment", FieldType.PICKLIST, "Segment", options=("small", "large")
        ),
    }


def test_the_version_changes_with_the_rules_and_not_with_the_words(tmp_path: Path) -> None:
    version = load(tmp_path, GOOD).version
    assert load(tmp_path, "# a comment\n" + GOOD).version == version
    assert load(tmp_path, GOOD.replace("[USD, EUR]", "[EUR, USD]")).version == version
    assert load(tmp_path, GOOD.replace("protection_days: 90", "protection_days: 91")).version != (
        version
    )


def test_a_program_says_what_follows_from_a_finding_where_it_is_not_the_usual(
    tmp_path: Path,
) -> None:
    own = """\
findings:
  stale_opportunity: {decision: allow}
  published_tender: {decision: reject, reason: NOT_QUALIFIED}
custom_fields:
  tender: {type: date, label: Tender published}
"""
    text = GOOD.replace("checks:\n", "checks:\n  tender_field: tender\n  activity_days: 90\n") + own
    rules = load(tmp_path, text)
    assert rules.findings[FindingKind.STALE_OPPORTUNITY] == FindingRule(
        Decision.ALLOW, ReasonCode.VENDOR_ENGAGED
    )
    assert rules.findings[FindingKind.PUBLISHED_TENDER] == FindingRule(
        Decision.REJECT, ReasonCode.NOT_QUALIFIED
    )
    assert set(rules.findings) == set(FindingKind)
    assert (rules.activity_days, rules.tender_field) == (90, "tender")
    assert rules.version != load(tmp_path, GOOD).version


@pytest.mark.parametrize("kind", ["do_not_call", "ambiguous_match"])
def test_a_program_cannot_take_a_person_away_where_one_always_decides(
    tmp_path: Path, kind: str
) -> None:
    found = problems(tmp_path, GOOD + f"findings:\n  {kind}: {{decision: allow}}\n")
    assert [problem for problem in found if f"findings.{kind}: a person always decides" in problem]


def test_a_tender_field_has_to_be_one_of_the_programs(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("checks:\n", "checks:\n  tender_field: nowhere\n"))
    assert [problem for problem in found if "there is no custom field nowhere" in problem]


def test_a_list_says_who_decides_why_and_with_which_notice_and_fields_that_say_it_of_an_account(
    tmp_path: Path,
) -> None:
    text = GOOD.replace(
        "    owner: desk\n", "    owner: desk\n    reason: ours to serve\n    notice_days: 30\n"
    ).replace(
        "canary_tax_id: 00-2}", "canary_tax_id: 00-2, owner_field: Desk__c, reason_field: Why__c}"
    )
    program = load(tmp_path, text)
    assert program.list_terms == {ListKind.HOUSE: ListTerms("desk", "ours to serve", 30)}
    (house,) = [rule for rule in program.lists if rule.kind is ListKind.HOUSE]
    assert house.reads == ("House__c", "Desk__c", "Why__c")
    assert program.version != load(tmp_path, GOOD).version

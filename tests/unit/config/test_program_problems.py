"""`programs/*.yaml`: what is wrong is told with its line and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.programs import load_programs
from registration_core.errors import ConfigurationError
from tests.unit.config.program_files import (
    GOOD,
    NAMES,
    load,
    problems,
)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    - connection: salesforce\n",
            "    - connection: netsuite\n",
            (
                "5: connections.homes.1.connection: there is no connection 'netsuite' "
                "(connections.yaml has dynamics, hubspot, salesforce)"
            ),
        ),
        (
            "[DE]",
            "[DE, UK]",
            (
                "4: connections.homes.0.countries.1: 'UK' is no country code "
                "(use ISO 3166-1 alpha-2, such as DE)"
            ),
        ),
        (
            "[DE]",
            "[DE, DE]",
            "4: DE has a home already: dynamics (keep one of the two)",
        ),
        (
            "    - connection: salesforce\n",
            "    - {connection: salesforce, countries: [US]}\n",
            (
                "5: the last home must fit every other country "
                "(add a home without countries at the end)"
            ),
        ),
        (
            "      countries: [DE]\n",
            "",
            (
                "3: dynamics fits everywhere, so no home after it is ever taken "
                "(name its countries, or make it the last)"
            ),
        ),
        (
            "mirrors: [salesforce, dynamics]",
            "mirrors: [salesforce]",
            (
                "1: connections: dynamics has no part where another connection is home "
                "(add it to mirrors or check_only)"
            ),
        ),
        (
            "check_only: []",
            "check_only: [dynamics]",
            "7: dynamics is a mirror and check_only at once (keep one of the two)",
        ),
        (
            "[salesforce, dynamics]",
            "[salesforce, dynamics, salesforce]",
            "6: connections.mirrors: salesforce stands here twice (remove one)",
        ),
        (
            "  freshness_seconds: {salesforce: 600}\n",
            "  freshness_seconds: {dynamics: 600}\n",
            "10: checks.freshness_seconds: dynamics is not required by this program (remove it)",
        ),
        (
            "salesforce: 600",
            "salesforce: 5",
            "10: checks.freshness_seconds.salesforce: Input should be greater than or equal to 60",
        ),
        (
            "exclusivity: exclusive",
            "exclusivity: shared",
            (
                "12: product_lines.platform: a shared line needs slots "
                "(say how many partners it protects)"
            ),
        ),
        (
            "exclusivity: exclusive",
            "exclusivity: open, slots: 2",
            "12: product_lines.platform: only a shared line has slots (remove it)",
        ),
        (
            "  platform:",
            "  Platform One:",
            (
                "12: product_lines.Platform One: 'Platform One' is no code "
                "(use up to 40 of a-z, 0-9 and _, a letter first)"
            ),
        ),
        (
            "equals: Direct",
            "equals: 3",
            '16: lists.direct.where.salesforce.equals: 3 is a number, not a text (write "3")',
        ),
        (
            "    owner: desk\n",
            "    owner: desk\n    notice_days: 400\n",
            "19: lists.house.notice_days: Input should be less than or equal to 366",
        ),
        (
            ", canary_tax_id: 00-2",
            "",
            "20: lists.house.where.salesforce.canary_tax_id: it is missing (add it)",
        ),
        (
            "      salesforce: {field: House__c, equals: true, canary_tax_id: 00-2}\n",
            "      dynamics: {field: house, equals: true, canary_tax_id: 00-2}\n",
            (
                "19: lists.house: salesforce is required for checks but has no predicate here "
                "(add salesforce with field, equals and canary_tax_id)"
            ),
        ),
        (
            "      salesforce: {field: House__c,",
            (
                "      hubspot: {field: house, equals: true, canary_tax_id: 00-2}\n"
                "      salesforce: {field: House__c,"
            ),
            "20: lists.house: hubspot has no part in this program (give it one, or remove it)",
        ),
        (
            (
                "  do_not_call:\n    where:\n"
                "      salesforce: {field: Dnc__c, equals: true, canary_tax_id: 00-3}\n"
            ),
            "",
            (
                "13: lists.do_not_call: it is missing, so no check could ever be complete "
                "(say per connection who is on it, and its canary)"
            ),
        ),
        (
            "  house:",
            "  hause:",
            "17: lists.hause: Input should be 'direct', 'house', 'do_not_call', 'named', 'embargo' or 'customer'",
        ),
        (
            "protection_days: 90",
            "protection_days: 0",
            "24: protection_days: Input should be greater than or equal to 1",
        ),
        (
            "[USD, EUR]",
            "[USD, DEM]",
            "25: currencies.1: 'DEM' is no currency code (use ISO 4217, such as EUR)",
        ),
    ],
)
def test_a_wrong_rule_is_told_with_line_and_remedy(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in GOOD
    assert f"programs/acme.yaml:{told}" in problems(tmp_path, GOOD.replace(old, new))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "low_risk: {amount_at_most: 9, currency: GBP, partner_tiers: [gold]}",
            "low_risk.currency: GBP is not a currency of this program (use one of currencies)",
        ),
        (
            (
                "amount_at_least: 10\n"
                "low_risk: {amount_at_most: 9, currency: USD, partner_tiers: [gold]}"
            ),
            (
                "low_risk.amount_at_most: it is below amount_at_least, so nothing ever fits "
                "(raise it, or remove low_risk)"
            ),
        ),
        (
            "low_risk: {amount_at_most: true, currency: USD, partner_tiers: [gold]}",
            "low_risk.amount_at_most: it is not a number (write a number)",
        ),
        (
            "authority: {stage: {converted: {writers: [crm], wins: manual}}}",
            (
                "authority.stage.converted.writers.0: 'crm' is not known here "
                "(use store, home, mirrors, dynamics, hubspot, salesforce)"
            ),
        ),
        (
            "authority: {stage: {converted: {writers: [home], wins: newest}}}",
            (
                "authority.stage.converted.wins: 'newest' is not known here "
                "(use store, home, manual, dynamics, hubspot, salesforce)"
            ),
        ),
        (
            "authority: {stage: {converted: {writers: [home], wins: store}}}",
            (
                "authority.stage.converted: store wins but may not write "
                "(add it to writers, or let a writer win)"
            ),
        ),
        (
            "authority: {stage: {converted: {writers: [], wins: manual}}}",
            (
                "authority.stage.converted.writers: "
                "List should have at least 1 item after validation, not 0 (add one)"
            ),
        ),
        (
            "authority: {protection: {converted: {writers: [home], wins: home}}}",
            "authority.protection: protection is changed by decisions here only (remove it)",
        ),
        (
            "custom_fields: {amount: {type: number, label: Amount}}",
            (
                "custom_fields.amount: every registration has a field amount already "
                "(choose another name)"
            ),
        ),
        (
            "custom_fields: {tier: {type: picklist, label: Tier}}",
            "custom_fields.tier: a picklist needs options (list them)",
        ),
        (
            "custom_fields: {tier: {type: text, label: Tier, options: [a]}}",
            "custom_fields.tier: only a picklist has options (remove them)",
        ),
        (
            "auto_approve: true",
            "auto_approve: unknown field (remove it, or correct its spelling)",
        ),
    ],
)
def test_a_wrong_addition_is_told_with_line_and_remedy(
    tmp_path: Path, more: str, told: str
) -> None:
    line = 25 + len(more.splitlines())
    assert problems(tmp_path, GOOD + more) == [f"programs/acme.yaml:{line}: {told}"]


def test_an_empty_list_of_required_connections_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("required: [salesforce]", "required: []").replace(
        "  freshness_seconds: {salesforce: 600}\n", ""
    )
    assert problems(tmp_path, text) == [
        (
            "programs/acme.yaml:9: checks.required: an approval must rest on at least one connection "
            "(name connections, or remove the key to require every one)"
        )
    ]


def test_a_required_connection_must_have_a_part(tmp_path: Path) -> None:
    text = GOOD.replace("required: [salesforce]", "required: [salesforce, hubspot]")
    assert (
        "programs/acme.yaml:9: checks.required: hubspot has no part in this program "
        "(give it one under connections)"
    ) in problems(tmp_path, text)


def test_problems_of_every_file_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "beta.yaml").write_text("a: [")
    text = GOOD.replace("[USD, EUR]", "[XXX]").replace("[DE]", "[XX]")
    wheres = [told.split(": ")[0] for told in problems(tmp_path, text)]
    assert wheres == ["programs/acme.yaml:4", "programs/acme.yaml:25", "programs/beta.yaml:1"]


def test_a_file_name_that_cannot_name_a_program_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD, "Acme EMEA") == [
        (
            "programs/Acme EMEA.yaml:1: Acme EMEA cannot be the name of a program "
            "(name the file with a-z, 0-9, - and _, a letter first)"
        )
    ]


def test_a_folder_without_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no program in .*programs"):
        load_programs(tmp_path, NAMES)


def test_two_programs_read_a_list_of_a_connection_in_the_same_way(tmp_path: Path) -> None:
    load(tmp_path, GOOD, "acme")
    load(tmp_path, GOOD.replace("canary_tax_id: 00-2", "canary_tax_id: 00-9"), "beta")
    told = problems(tmp_path, GOOD.replace("equals: Direct", "equals: Strategic"), "beta")
    assert told == [
        (
            "programs/beta.yaml: lists.direct: salesforce is read otherwise in acme.yaml "
            "(say the same in both)"
        )
    ]

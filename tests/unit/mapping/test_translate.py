"""Translating whole records both ways by the shipped mappings."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from mapping.loader import load
from mapping.schema import ConnectionMapping, ObjectMapping
from mapping.translate import canonical, read_fields, to_crm, to_store
from registration_core import fields
from registration_core.contracts import Fields, FieldType
from registration_core.fields import CanonicalField, FieldGroup
from tests.unit.mapping.catalogue import GROUPS, OURS

FOLDER = Path(config.__file__).parent / "mappings"
SHIPPED: dict[str, ConnectionMapping] = {
    path.stem: load(path.read_text(), path.name, OURS, GROUPS) for path in FOLDER.glob("*.yaml")
}
OBJECTS = [(name, role) for name, mapping in SHIPPED.items() for role in mapping.objects]
#: Names are kept short, so that no CRM cuts them.
DEAL: Fields = {
    "registration_id": "0190f3c2-0000-7000-8000-000000000001",
    "registration_number": "DR-7K2M-94QX",
    "registration_state": "approved",
    "reason_code": None,
    "protection_state": "active",
    "protection_starts_on": date(2026, 3, 1),
    "protection_ends_on": date(2026, 5, 30),
    "partner_name": "Alder Systems",
    "deal_name": "Cold chain roll-out",
    "sales_stage": "qualifying",
    "actual_close_on": None,
    "won_amount": None,
    "amount": Decimal("125000.00"),
    "currency": "USD",
    "expected_close_on": date(2026, 9, 30),
    "account": "0015g00000XyZ12AAB",
    "description": "Refrigerated warehouses",
}


def home(name: str) -> ObjectMapping:
    return SHIPPED[name].objects["home"]


def test_the_three_shipped_files_load() -> None:
    assert set(SHIPPED) == {"salesforce", "dynamics", "hubspot"}
    assert all(mapping.connection == name for name, mapping in SHIPPED.items())
    assert all(set(mapping.objects) == {"home", "mirror"} for mapping in SHIPPED.values())


@pytest.mark.parametrize(("name", "role"), OBJECTS)
def test_a_created_record_reads_back_as_the_registration(name: str, role: str) -> None:
    mapping = SHIPPED[name].objects[role]
    created = to_crm(mapping, DEAL, creating=True)
    assert not created.problems
    assert created.fields[mapping.key] == DEAL["registration_id"]
    fetched = {field: created.fields.get(field) for field in mapping.reads()}
    back = to_store(mapping, fetched)
    assert not back.problems
    theirs = {n: v for n, v in back.fields.items() if n != "owner"}
    assert theirs == {n: v for n, v in canonical(mapping, DEAL).fields.items() if n in theirs}
    assert {"registration_id", "sales_stage", "amount", "currency", "account"} <= theirs.keys()


@pytest.mark.parametrize(("name", "role"), OBJECTS)
@given(
    name_of_deal=st.text(max_size=400),
    stage=st.sampled_from(OURS.fields["sales_stage"].options or ()),
    amount=st.none() | st.decimals(0, 10**9, places=4),
    currency=st.sampled_from(["USD", "eur", " GBP "]),
    closes=st.none() | st.dates(date(2000, 1, 1), date(2100, 1, 1)),
)
def test_an_update_reads_back_as_the_canonical_form(
    name: str,
    role: str,
    name_of_deal: str,
    stage: str,
    amount: Decimal | None,
    currency: str,
    closes: date | None,
) -> None:
    mapping = SHIPPED[name].objects[role]
    deal: Fields = {
        "deal_name": name_of_deal,
        "sales_stage": stage,
        "amount": amount,
        "currency": currency,
        "expected_close_on": closes,
    }
    form = canonical(mapping, deal)
    patch = to_crm(mapping, deal, creating=False)
    assert not form.problems
    assert not patch.problems
    assert canonical(mapping, form.fields) == form
    theirs = {**dict.fromkeys(mapping.reads()), **patch.fields}
    back = to_store(mapping, theirs).fields
    assert {n: back[n] for n in form.fields} == form.fields


def test_a_create_carries_constants_and_what_is_written_only_once() -> None:
    created = to_crm(home("salesforce"), DEAL, creating=True).fields
    assert created["LeadSource"] == "Partner"
    assert created["Description"] == "Refrigerated warehouses"
    assert "Dealreg_Reason__c" not in created


def test_an_update_carries_neither_and_empties_what_is_empty() -> None:
    patch = to_crm(
        home("salesforce"),
        {"description": "new", "reason_code": None, "amount": Decimal(5)},
        creating=False,
    )
    assert patch.fields == {"Dealreg_Reason__c": None, "Amount": Decimal("5.00")}


def test_a_pull_only_field_is_never_written() -> None:
    deal: Fields = {"sales_stage": "won", "won_amount": Decimal(5), "owner": "someone"}
    for creating in (True, False):
        fields = to_crm(home("dynamics"), deal, creating=creating).fields
        assert fields == {"statecode": "1"}


def test_a_row_is_left_out_when_one_of_its_fields_was_not_fetched() -> None:
    assert to_store(home("dynamics"), {"statecode": "0", "name": "A"}).fields == {"deal_name": "A"}


def test_several_crm_stages_read_as_one_of_ours() -> None:
    for stage in ("Qualification", "Prospecting"):
        fields = to_store(home("salesforce"), {"StageName": stage}).fields
        assert fields == {"sales_stage": "qualifying"}


def test_a_value_without_counterpart_leaves_its_group_out_and_lets_the_rest_flow() -> None:
    mapping = SHIPPED["dynamics"].objects["mirror"]
    translation = to_store(
        mapping,
        {
            "dr_stage": "Almost there",
            "dr_wonamount": Decimal(5),
            "dr_amount": Decimal(7),
            "transactioncurrencyid": "USD",
        },
    )
    assert translation.fields == {"amount": Decimal(7), "currency": "USD"}
    (problem,) = translation.problems
    assert (problem.group, problem.ours, problem.theirs) == ("stage", "sales_stage", ("dr_stage",))
    assert "dr_stage 'Almost there' is none of our options (qualifying," in str(problem)
    assert str(problem).startswith("dynamics.yaml:")


def test_a_value_we_cannot_write_is_a_problem_too() -> None:
    translation = to_crm(
        home("salesforce"), {"sales_stage": "dreaming", "deal_name": "A"}, creating=False
    )
    assert translation.fields == {"Name": "A"}
    assert "sales_stage 'dreaming' is not listed" in str(translation.problems[0])


def test_a_long_value_is_shortened_in_the_message() -> None:
    problem = to_store(home("salesforce"), {"StageName": "x" * 500}).problems[0]
    assert len(problem.value) < 80


def test_a_hubspot_close_date_is_midnight_utc() -> None:
    created = to_crm(home("hubspot"), DEAL, creating=True).fields
    assert created["closedate"] == datetime(2026, 9, 30, tzinfo=UTC)
    assert created["pipeline"] == "default"


def test_accounts_are_read_under_our_names() -> None:
    accounts = SHIPPED["hubspot"].accounts
    fields = read_fields(accounts.fields, {"name": " Borealis ", "domain": None, "hs_x": "1"})
    assert fields == {"name": "Borealis", "website": None}
    assert {"name", "domain", "zip"} <= set(accounts.reads())


_OWN = (
    CanonicalField("segment", FieldType.TEXT, FieldGroup.DETAILS, "Segment"),
    CanonicalField(
        "products", FieldType.MULTI_PICKLIST, FieldGroup.DETAILS, "Products", ("licence", "support")
    ),
)
_ROWS = """\
      details:
        - {ours: segment, theirs: Segment__c, direction: push, transform: {default: {value: Mid}}}
        - {ours: products, theirs: Products__c, direction: push, transform: {multi: {licence: [Licence, License], support: Support}}}
        - {ours: description, theirs: Description, direction: push, write: on_create, transform: {text: {max: 32000}}}
"""


def with_own_fields() -> ObjectMapping:
    """The shipped Salesforce mapping with two fields that only a program has."""
    text = (FOLDER / "salesforce.yaml").read_text()
    start = text.index("      details:")
    text = text[:start] + _ROWS + text[text.index("\n  # Where another CRM") :]
    groups = {**GROUPS, "details": (*GROUPS["details"], "segment", "products")}
    return load(text, "salesforce.yaml", fields.schema(_OWN), groups).objects["home"]


def test_a_default_is_written_where_we_have_nothing_and_agrees_afterwards() -> None:
    mapping = with_own_fields()
    ours: Fields = {"segment": None, "products": ("support", "licence")}
    written = to_crm(mapping, ours, creating=True).fields
    assert written["Segment__c"] == "Mid"
    assert written["Products__c"] == ("Licence", "Support")
    assert to_crm(mapping, ours, creating=False).fields["Segment__c"] == "Mid"
    assert canonical(mapping, ours).fields == to_store(mapping, written).fields


def test_a_set_with_a_value_nobody_listed_is_told() -> None:
    (problem,) = to_store(with_own_fields(), {"Products__c": ("Hardware",)}).problems
    assert "has 'Hardware', which is not listed in the mapping" in str(problem)

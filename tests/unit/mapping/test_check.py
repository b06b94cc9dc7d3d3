"""A mapping held against what a CRM says of its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mapping.check import SchemaReport, check, objects_of
from mapping.loader import load
from registration_core.contracts import FieldSchema, FieldType, ObjectSchema
from tests.unit.mapping.catalogue import GROUPS, OURS

FILE = """\
connection: salesforce
objects:
  home:
    object: Opportunity
    key: Dealreg_Id__c
    on_create: {LeadSource: Partner, Score: 10}
    groups:
      name:
        - {ours: deal_name, theirs: Name, transform: {text: {max: 120}}}
      owner:
        - {ours: owner, theirs: OwnerId, direction: pull}
      stage:
        - ours: sales_stage
          theirs: [State, StageName]
          transform:
            enum:
              qualifying: ["0", Qualification]
              developing: ["0", Analysis]
              proposing: ["0", Proposal]
              negotiating: ["0", Negotiation]
              won: ["1", "*"]
              lost: ["2", "*"]
      amount:
        - {ours: amount, theirs: Amount, transform: {money: {scale: 2}}}
      details:
        - {ours: description, theirs: Description, direction: push, write: on_create}
  mirror:
    object: Mirror
    key: Dealreg_Id__c
    groups:
      stage:
        - {ours: sales_stage, theirs: Stage__c, direction: push}
accounts:
  object: Account
  fields: {name: Name, country: Country}
opportunities:
  object: Opportunity
  account: AccountId
  key: Dealreg_Id__c
  open:
    IsClosed: [false]
    Type: [New]
  fields: {name: Name}
  stamp: [{ours: partner_name, theirs: Partner__c, transform: {text: {max: 80}}}]
"""
STAGE_NAMES = ("Qualification", "Analysis", "Proposal", "Negotiation", "Old")
STAGES = ("qualifying", "developing", "proposing", "negotiating", "won", "lost")


def fields(**given: FieldSchema) -> Mapping[str, FieldSchema]:
    return given


def field(type_: FieldType, **more: Any) -> FieldSchema:
    return FieldSchema("", type_, history_kept=True, **more)


T, N, P, R, B = (
    FieldType.TEXT,
    FieldType.NUMBER,
    FieldType.PICKLIST,
    FieldType.REFERENCE,
    FieldType.BOOLEAN,
)
KEY = field(T, length=36, unique=True)
ORG: Mapping[str, Mapping[str, FieldSchema]] = {
    "Opportunity": fields(
        Dealreg_Id__c=KEY,
        LeadSource=field(P, options=("Web", "Partner")),
        Score=field(N),
        Name=field(T, length=120, required=True),
        OwnerId=field(R, updateable=False, createable=False),
        State=field(P, options=("0", "1", "2")),
        StageName=field(P, options=STAGE_NAMES),
        Amount=field(N, scale=2),
        Description=field(T, length=32000, updateable=False),
        AccountId=field(R),
        IsClosed=field(B, calculated=True),
        Type=field(P, options=("New", "Existing")),
        Partner__c=field(T, length=80),
    ),
    "Mirror": fields(Dealreg_Id__c=KEY, Stage__c=field(P, options=STAGES)),
    "Account": fields(Name=field(T), Country=field(T)),
}


def report(**changes: FieldSchema | None) -> SchemaReport:
    """Check against the org with some fields changed, `Object__Field` by name, or removed."""
    org = {name: dict(of_object) for name, of_object in ORG.items()}
    for path, changed in changes.items():
        name, _, field_name = path.partition("_")
        org[name].pop(field_name, None)
        if changed:
            org[name][field_name] = changed
    schemas = {
        name: ObjectSchema(name, fields={f: replace(s, name=f) for f, s in of_object.items()})
        for name, of_object in org.items()
    }
    return check(load(FILE, "crm.yaml", OURS, GROUPS), schemas)


def test_a_mapping_that_fits_has_nothing_to_report() -> None:
    assert report() == SchemaReport((), ())


def test_the_objects_to_describe_are_known() -> None:
    mapping = load(FILE, "crm.yaml", OURS, GROUPS)
    assert objects_of(mapping) == ("Account", "Mirror", "Opportunity")


def test_an_object_the_crm_does_not_show_is_a_problem_wherever_it_is_used() -> None:
    found = check(load(FILE, "crm.yaml", OURS, GROUPS), {})
    assert [problem.where for problem in found.problems] == [
        "crm.yaml:4",
        "crm.yaml:28",
        "crm.yaml:34",
        "crm.yaml:37",
    ]


@pytest.mark.parametrize(
    ("path", "changed", "said"),
    [
        ("Opportunity_Name", None, "crm.yaml:9: Opportunity has no field Name that our user may"),
        ("Opportunity_LeadSource", None, "crm.yaml:6: Opportunity has no field LeadSource"),
        ("Opportunity_AccountId", None, "crm.yaml:38: Opportunity has no field AccountId"),
        ("Opportunity_Type", None, "crm.yaml:42: Opportunity has no field Type"),
        ("Account_Country", None, "crm.yaml:35: Account has no field Country"),
        ("Opportunity_Dealreg_Id__c", None, "crm.yaml:5: Opportunity has no field Dealreg_Id__c"),
        (
            "Opportunity_Dealreg_Id__c",
            field(T, length=36),
            "crm.yaml:5: Opportunity.Dealreg_Id__c is not unique",
        ),
        (
            "Mirror_Dealreg_Id__c",
            field(T, length=18, unique=True),
            "crm.yaml:29: Mirror.Dealreg_Id__c takes 18 characters",
        ),
        (
            "Mirror_Dealreg_Id__c",
            field(N, unique=True),
            "crm.yaml:29: Mirror.Dealreg_Id__c is a number",
        ),
        (
            "Mirror_Dealreg_Id__c",
            replace(KEY, createable=False),
            "crm.yaml:29: Mirror.Dealreg_Id__c cannot be written",
        ),
        (
            "Opportunity_Amount",
            field(T),
            "crm.yaml:24: Amount is a text, and transform money of amount needs number",
        ),
        (
            "Opportunity_OwnerId",
            field(T),
            "crm.yaml:11: OwnerId is a text, and transform copy of owner needs reference",
        ),
        (
            "Opportunity_Amount",
            field(N, scale=0),
            "crm.yaml:24: Amount keeps 0 decimal places, not 2 (scale: 0)",
        ),
        ("Opportunity_Amount", field(N, calculated=True), "crm.yaml:24: Amount is calculated by"),
        ("Opportunity_Amount", field(N, updateable=False), "crm.yaml:24: Amount cannot be changed"),
        (
            "Opportunity_Description",
            field(T, createable=False),
            "crm.yaml:26: Description cannot be written at create",
        ),
        (
            "Opportunity_Score",
            field(N, createable=False),
            "crm.yaml:6: Score cannot be written at create",
        ),
        (
            "Opportunity_Name",
            field(T, length=80),
            "crm.yaml:9: Name takes 80 characters, and deal_name may have 120",
        ),
        (
            "Opportunity_StageName",
            field(T, length=8),
            "crm.yaml:13: StageName takes 8 characters, and sales_stage may have 13",
        ),
        (
            "Opportunity_StageName",
            field(P, options=("Qualification", "Analysis", "Proposal")),
            "crm.yaml:13: StageName has no value 'Negotiation' (it has: Qualification, Analysis",
        ),
        (
            "Opportunity_State",
            field(P, options=("0", "1")),
            "crm.yaml:13: State has no value '2' (it has: 0, 1)",
        ),
        (
            "Mirror_Stage__c",
            field(P, options=STAGES[:-1]),
            "crm.yaml:32: Stage__c has no value 'lost'",
        ),
        (
            "Opportunity_LeadSource",
            field(P, options=("Web",)),
            "crm.yaml:6: LeadSource has no value 'Partner' (it has: Web)",
        ),
        ("Opportunity_Score", field(B), "crm.yaml:6: Score is a boolean, and 10 is written as a"),
        (
            "Opportunity_Type",
            field(P, options=("Existing",)),
            "crm.yaml:42: Type has no value 'New' (it has: Existing)",
        ),
        ("Opportunity_Partner__c", None, "crm.yaml:44: Opportunity has no field Partner__c"),
        (
            "Opportunity_Partner__c",
            field(T, length=9),
            "crm.yaml:44: Partner__c takes 9 characters",
        ),
        ("Opportunity_IsClosed", field(P), "crm.yaml:41: IsClosed is a picklist, and False is"),
    ],
)
def test_each_misfit_is_told_with_its_line_and_a_remedy(
    path: str, changed: FieldSchema | None, said: str
) -> None:
    told = [str(problem) for problem in report(**{path: changed}).problems]
    assert any(problem.startswith(said) for problem in told), told
    assert all(problem.endswith(")") for problem in told)


def test_a_two_way_field_without_history_is_a_warning() -> None:
    found = report(Opportunity_Amount=replace(field(N), history_kept=False))
    assert not found.problems
    (warning,) = found.warnings
    assert str(warning).startswith("crm.yaml:24: the CRM keeps no history of Amount")


def test_a_crm_that_refuses_stale_writes_needs_no_history() -> None:
    schemas = {
        name: ObjectSchema(
            name,
            fields={f: replace(s, name=f, history_kept=False) for f, s in of_object.items()},
        )
        for name, of_object in ORG.items()
    }
    mapping = load(FILE, "crm.yaml", OURS, GROUPS)
    assert check(mapping, schemas).warnings
    assert check(mapping, schemas, precondition=True) == SchemaReport((), ())


def test_one_way_fields_need_no_history() -> None:
    found = report(
        Mirror_Stage__c=replace(field(P, options=STAGES), history_kept=False),
        Opportunity_OwnerId=replace(field(R), history_kept=False),
    )
    assert found == SchemaReport((), ())


def test_a_required_field_that_nobody_fills_is_a_warning() -> None:
    found = report(Opportunity_Region__c=field(T, required=True))
    assert not found.problems
    assert [str(w)[:55] for w in found.warnings] == [
        "crm.yaml:3: Opportunity requires Region__c, which no ro"
    ]


@pytest.mark.parametrize(
    ("written", "changes", "said"),
    [
        ("theirs: StageNme", {}, "did you mean StageName? Else create it (dealreg"),
        ("theirs: Deal_Stage", {}, "did you mean StageName? Else"),
        ("theirs: amount__c", {}, "did you mean Amount? Else create"),
        (
            "theirs: Zzz",
            {},
            "(create it (dealreg connection provision salesforce), or permit our user to see it)",
        ),
    ],
)
def test_a_field_that_is_not_there_is_answered_with_the_nearest(
    written: str, changes: Mapping[str, FieldSchema], said: str
) -> None:
    stage = replace(ORG["Opportunity"]["StageName"], label="Deal_Stage")
    schemas = {
        name: ObjectSchema(
            name,
            fields={
                f: replace(stage if f == "StageName" else s, name=f) for f, s in of_object.items()
            },
        )
        for name, of_object in ORG.items()
    }
    mapping = load(FILE.replace("theirs: Amount", written), "crm.yaml", OURS, GROUPS)
    (told,) = [str(p) for p in check(mapping, schemas).problems]
    assert said in told


def test_an_object_that_is_not_there_is_answered_with_the_nearest() -> None:
    schemas = {n: ObjectSchema(n, fields={f: replace(s, name=f) for f, s in o.items()})
               for n, o in ORG.items()}  # fmt: skip
    text = FILE.replace("object: Opportunity\n    key", "object: Opportunities\n    key")
    found = check(load(text, "crm.yaml", OURS, GROUPS), schemas)
    assert [str(p) for p in found.problems] == [
        (
            "crm.yaml:4: the CRM shows us no object Opportunities (did you mean Opportunity? Else correct "
            "its name, or permit our user to see it)"
        )
    ]


def test_a_value_that_their_users_can_pick_and_nobody_listed_is_a_warning() -> None:
    found = report(Opportunity_StageName=field(P, options=(*STAGE_NAMES, "Perception")))
    assert not found.problems
    assert found.warnings == ()  # "*" for the stage of a won deal reads any of them
    text = FILE.replace(
        "ours: sales_stage, theirs: Stage__c, direction: push",
        "ours: sales_stage, theirs: Stage__c",
    )
    stages = field(P, options=(*STAGES, "stalled"))
    schemas = {
        n: ObjectSchema(n, fields={f: replace(s, name=f) for f, s in o.items()})
        for n, o in ORG.items()
    }
    mirror = {**schemas["Mirror"].fields, "Stage__c": replace(stages, name="Stage__c")}
    found = check(
        load(text, "crm.yaml", OURS, GROUPS),
        {**schemas, "Mirror": ObjectSchema("Mirror", fields=mirror)},
    )
    assert [str(w) for w in found.warnings] == [
        (
            "crm.yaml:32: Stage__c also has stalled, which no option of sales_stage lists: a record "
            "with it waits (add each to one of our options, or take it out of the picklist)"
        )
    ]


def test_decimal_places_that_reading_loses_are_a_warning() -> None:
    (warning,) = report(Opportunity_Amount=field(N, scale=4)).warnings
    assert str(warning) == (
        "crm.yaml:24: Amount keeps 4 decimal places, of which we keep 2 (scale: 4)"
    )

"""What a mapping file may say, and how each mistake is told: line, words, remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapping.loader import load
from mapping.schema import ConnectionMapping, Emptied, Write
from mapping.transform_files import TRANSFORMS
from registration_core.contracts import Condition
from registration_core.errors import ConfigurationError
from tests.unit.mapping.catalogue import GROUPS, OURS

#: Lines are counted by the tests below.
GOOD = """\
connection: salesforce
objects:
  home:
    object: Opportunity
    key: Dealreg_Id__c
    on_create: {LeadSource: Partner, Probability: 10, IsPrivate: false}
    groups:
      name:
        - {ours: deal_name, theirs: Name, transform: {text: {max: 120}}}
      stage:
        - ours: sales_stage
          theirs: StageName
          transform:
            enum:
              qualifying: [Qualification, Prospecting]
              developing: Needs Analysis
              proposing: Proposal
              negotiating: Negotiation
              won: Closed Won
              lost: Closed Lost
        - {ours: won_amount, theirs: Won__c, direction: pull, emptied: clear}
      details:
        - {ours: description, theirs: Description, direction: push, write: on_create}
accounts:
  object: Account
  fields: {name: Name, country: BillingCountryCode}
opportunities:
  object: Opportunity
  account: AccountId
  key: Dealreg_Id__c
  open: {IsClosed: [false]}
  fields: {name: Name}
  stamp:
    - {ours: partner_name, theirs: Registered_Partner__c, transform: {text: {max: 80}}}
"""


def read(text: str) -> ConnectionMapping:
    return load(text, "crm.yaml", OURS, GROUPS)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refusal:
        read(text)
    return [str(problem) for problem in refusal.value.problems]


def test_a_good_file_becomes_values() -> None:
    mapping = read(GOOD)
    home = mapping.objects["home"]
    assert (mapping.connection, home.object, home.key) == (
        "salesforce",
        "Opportunity",
        "Dealreg_Id__c",
    )
    assert home.reads() == ("Dealreg_Id__c", "Name", "StageName", "Won__c")
    assert home.writes() == (
        "Dealreg_Id__c",
        "Description",
        "IsPrivate",
        "LeadSource",
        "Name",
        "Probability",
        "StageName",
    )
    assert home.two_way() == ("Name", "StageName")
    assert mapping.opportunities.open == (Condition("IsClosed", (False,)),)
    assert mapping.opportunities.reads() == ("AccountId", "Dealreg_Id__c", "Name")


def test_a_stamp_only_fills_what_is_empty() -> None:
    stamp = read(GOOD).opportunities.stamp
    assert stamp is not None
    (row,) = stamp.rows
    assert (row.ours.name, row.write, row.pulls, row.creates) == (
        "partner_name",
        Write.IF_EMPTY,
        False,
        False,
    )
    assert stamp.writes() == ("Registered_Partner__c",)
    assert read(GOOD[: GOOD.index("  stamp:")]).opportunities.stamp is None


def test_groups_say_what_flows_which_way() -> None:
    groups = read(GOOD).objects["home"].groups
    assert groups["identity"].pushes == {"registration_id"}
    assert not groups["identity"].pulls
    assert groups["stage"].pushes == {"sales_stage"}
    assert groups["stage"].pulls == {"sales_stage", "won_amount"}
    assert groups["stage"].emptied(Emptied.CLEAR) == {"won_amount"}
    assert not groups["details"].pushes
    assert "amount" not in groups


def test_the_version_changes_with_the_file_only() -> None:
    assert read(GOOD).version == read(GOOD).version
    assert read(GOOD).version != read(GOOD + "# a note\n").version


NAME = "{ours: deal_name, theirs: Name, transform: {text: {max: 120}}}"
BAD = [
    ("connection: salesforce\n", "", "crm.yaml:1: connection is missing (add it)"),
    (
        "objects:\n  home:",
        "objects:\n  hoem:",
        "crm.yaml:3: unknown field 'hoem' (did you mean home?",
    ),
    ("    key: Dealreg_Id__c\n    on", "    on", "crm.yaml:3: key is missing (add it)"),
    ("    object: Opp", "    object: 7 #", "crm.yaml:4: object must be text (quote it)"),
    ("LeadSource: Partner", "Name: Partner", "crm.yaml:9: Name is written twice, here and at"),
    ("LeadSource: Partner", "LeadSource: [a]", "crm.yaml:6: a constant is text, a number,"),
    ("      name:\n", "      nmae:\n", "crm.yaml:8: unknown field 'nmae' (did you mean name?)"),
    (
        "      name:\n        - {",
        "      name: {",
        "crm.yaml:8: group name must be a list of rows (put a dash before each)",
    ),
    (f"- {NAME}", "- deal_name", "crm.yaml:9: a row is a mapping (for example {ours: amount"),
    ("ours: deal_name", "ours: dealname", "crm.yaml:9: we have no field 'dealname' (did you mean"),
    ("ours: deal_name", "ours: amount", "crm.yaml:9: amount is not in group name (move the row"),
    ("ours: deal_name, ", "", "crm.yaml:9: ours is missing (add it)"),
    ("theirs: Name,", "theirs: [],", "crm.yaml:9: theirs names the CRM's field (a name, or for"),
    ("theirs: Name,", "theirs: [Name, Name],", "crm.yaml:9: theirs names the CRM's field"),
    ("theirs: Name,", "theirs: [Name, X],", "crm.yaml:9: transform text takes one CRM field (use"),
    (
        "theirs: Name,",
        "theirs: StageName,",
        "crm.yaml:11: StageName is written twice, here and at crm.yaml:9 (keep one, or make",
    ),
    ("direction: pull,", "direction: in,", "crm.yaml:21: unknown direction 'in' (one of: push,"),
    ("emptied: clear", "emptied: yes", "crm.yaml:21: unknown emptied 'yes' (one of: conflict,"),
    ("write: on_create", "write: once", "crm.yaml:23: unknown write 'once' (one of: overwrite,"),
    (
        "direction: push, write",
        "direction: pull, write",
        "crm.yaml:23: write: is for fields that we write (direction: push)",
    ),
    ("direction: pull, emp", "direction: push, emp", "crm.yaml:21: emptied: is for fields that we"),
    (
        "direction: pull, emptied: clear",
        "direction: push",
        "crm.yaml:21: won_amount only flows to the CRM while sales_stage of the same group stage",
    ),
    ("emptied: clear}", "colour: red}", "crm.yaml:21: unknown field 'colour' (did you mean ours?)"),
    ("{text: {max: 120}}", "texts", "crm.yaml:9: unknown transform 'texts' (did you mean text? tr"),
    ("{text: {max: 120}}", "[a, b]", "crm.yaml:9: a transform is a word, or one word with its"),
    ("{text: {max: 120}}", "text", "crm.yaml:9: text needs max, its longest length (for example"),
    ("{max: 120}", "{max: 0}", "crm.yaml:9: text needs max"),
    ("{max: 120}", "{max: 9, case: Upper}", "crm.yaml:9: unknown case 'Upper' (upper or lower)"),
    ("{max: 120}", "{max: 9, min: 1}", "crm.yaml:9: text has no option 'min' (it takes max and"),
    ("{max: 120}", "12", "crm.yaml:9: the options of text must be a mapping"),
    ("{text: {max: 120}}", "date", "crm.yaml:9: transform date is not for deal_name, a text"),
    (
        "pull, emptied: clear}",
        "pull, transform: money}",
        "crm.yaml:21: money needs scale, its decimal places, from 0 to 10 (for example money: {sca",
    ),
    (
        "pull, emptied: clear}",
        "pull, transform: {number: {scale: -1}}}",
        "crm.yaml:21: number needs scale",
    ),
    (
        "ours: won_amount, theirs: Won__c, direction: pull, emptied: clear",
        "ours: actual_close_on, theirs: Closed__c, transform: {date: {as: time}}",
        "crm.yaml:21: a date cannot be kept as 'time' (date or datetime)",
    ),
    (
        "pull, emptied: clear}",
        "pull, transform: {boolean: {true: a}}}",
        "crm.yaml:21: boolean needs a text for true and for false (for example",
    ),
    (
        "pull, emptied: clear}",
        "pull, transform: {boolean: {true: [a, b], false: [b]}}}",
        "crm.yaml:21: boolean needs two different texts (for example",
    ),
    ("{text: {max: 120}}", "{phone: {trunk: '0'}}", "crm.yaml:9: a trunk prefix needs a calling"),
    ("{text: {max: 120}}", "{phone: {calling_code: 49}}", "crm.yaml:9: calling_code is digits"),
    ("{text: {max: 120}}", "{phone: {calling_code: '0049'}}", "crm.yaml:9: '0049' is no calling"),
    ("{text: {max: 120}}", "{country: {as: iso}}", "crm.yaml:9: a country cannot be kept as 'iso'"),
    ("{text: {max: 120}}", "state", "crm.yaml:9: state needs the country whose states it may be"),
    ("{text: {max: 120}}", "{state: {country: US, as: x}}", "crm.yaml:9: a state cannot be kept"),
    ("{text: {max: 120}}", "{url: {max: 9}}", "crm.yaml:9: url has no option 'max' (it takes none"),
    (
        "{text: {max: 120}}",
        "{split: {separator: ','}}",
        (
            "crm.yaml:9: deal_name may not flow both ways with split: writing one part would lose the "
            "others (direction: pull)"
        ),
    ),
    ("{text: {max: 120}}", "{split: {separator: ',', part: 0}}", "crm.yaml:9: part counts from 1"),
    ("{text: {max: 120}}", "{split: {separator: ''}}", "crm.yaml:9: split needs a separator"),
    (
        "theirs: Name, transform: {text: {max: 120}}",
        "theirs: [A, B], transform: {join: {separator: ' '}}",
        (
            "crm.yaml:9: deal_name may not flow both ways with join: where a part itself holds the "
            "separator, words would move between fields (direction: push or direction: pull)"
        ),
    ),
    (
        "{text: {max: 120}}",
        "{default: {value: New deal}}",
        (
            "crm.yaml:9: deal_name may not flow both ways with default: a default we wrote would come "
            "back as if someone had said it (direction: push)"
        ),
    ),
    ("{text: {max: 120}}", "{default: {}}", "crm.yaml:9: default needs a value of ours"),
    (
        "{text: {max: 120}}",
        "{default: {value: 5}}",
        "crm.yaml:9: copy cannot write '5': it is a number, where a text is expected (change it)",
    ),
    (
        "{text: {max: 120}}",
        "{default: {value: a, transform: {default: {value: b}}}}",
        "crm.yaml:9: a default has one transform below it",
    ),
    ("{text: {max: 120}}", "{list: {separator: ';'}}", "crm.yaml:9: transform list is not for"),
    ("{text: {max: 120}}", "{multi: {a: b}}", "crm.yaml:9: transform multi is not for deal_name"),
    (
        "ours: won_amount, theirs: Won__c, direction: pull, emptied: clear",
        "ours: actual_close_on, theirs: C, transform: {date: {as: datetime, zone: Europe/Berln}}",
        "crm.yaml:21: there is no time zone 'Europe/Berln' (did you mean Europe/Berlin?)",
    ),
    (
        "ours: won_amount, theirs: Won__c, direction: pull, emptied: clear",
        "ours: actual_close_on, theirs: C, transform: {date: {zone: Europe/Berlin}}",
        "crm.yaml:21: a day has no time zone (as: datetime, or remove zone)",
    ),
    ("pull, emptied: clear}", "pull, transform: reference}", "crm.yaml:21: transform reference is"),
    ("won: Closed", "wonn: Closed", "crm.yaml:19: sales_stage has no option 'wonn' (one of: qual"),
    ("won: Closed Won", "won: []", "crm.yaml:19: 'won' needs a value of the CRM (for example"),
    ("won: Closed Won", "won: '*'", "crm.yaml:19: 'won' needs a value of the CRM"),
    ("won: Closed Won", "won: true", "crm.yaml:19: 'won' needs a value of the CRM"),
    (
        "won: Closed Won",
        "won: [Closed Won, Prospecting]",
        "crm.yaml:19: 'Prospecting' stands for both qualifying and won (keep it under one",
    ),
    (
        "              won: Closed Won\n",
        "",
        "crm.yaml:14: no value for our option won (add one for each",
    ),
    (
        "theirs: StageName",
        "theirs: [StageName, State]",
        "crm.yaml:16: 'developing' needs 2 values of the CRM (for example won: [",
    ),
    ("accounts:\n  object: Account\n", "accounts:\n", "crm.yaml:24: object is missing (add it)"),
    (", country: BillingCountryCode", "", "crm.yaml:26: country is not mapped (add it)"),
    ("name: Name, country", "nam: Name, country", "crm.yaml:26: unknown field 'nam' (did you mean"),
    ("  account: AccountId\n", "", "crm.yaml:27: account is missing (add it)"),
    ("{IsClosed: [false]}", "{IsClosed: false}", "crm.yaml:31: IsClosed needs a list of values"),
    ("  open: {IsClosed: [false]}\n", "", "crm.yaml:27: open is missing (add it)"),
    ("stamp:\n    - {", "stamp: {", "crm.yaml:33: stamp must be a list of rows (put a dash"),
    (
        "ours: partner_name",
        "ours: partner",
        "crm.yaml:34: we have no field 'partner' (did you mean",
    ),
    ("Partner__c, ", "Partner__c, write: x, ", "crm.yaml:34: unknown field 'write' (one of"),
    (
        "theirs: Registered_Partner__c",
        "theirs: Dealreg_Id__c",
        "crm.yaml:34: Dealreg_Id__c is our key, and no stamp (stamp another field)",
    ),
]


@pytest.mark.parametrize(
    ("right", "wrong", "said"), BAD, ids=[f"{n}: {bad[2][9:60]}" for n, bad in enumerate(BAD)]
)
def test_each_mistake_is_told_with_its_line_and_a_remedy(right: str, wrong: str, said: str) -> None:
    assert GOOD.count(right) >= 1
    told = problems(GOOD.replace(right, wrong, 1))
    assert any(problem.startswith(said) for problem in told), told
    assert all(problem.endswith(")") for problem in told)


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("ours: deal_name", "ours: x").replace("won: Closed", "wonn: Closed")
    assert len(problems(text.replace("country: ", "contry: "))) == 4


def test_the_key_needs_no_row_of_its_own() -> None:
    row = "      identity:\n        - {ours: registration_id, theirs: X}\n      name:\n"
    assert problems(GOOD.replace("      name:\n", row, 1)) == [
        "crm.yaml:9: registration_id is what key: carries already (remove this row)"
    ]


def test_a_field_is_merged_once_but_may_also_be_written_elsewhere_at_create() -> None:
    second = "      name:\n        - {ours: deal_name, theirs: Title%s}\n"
    assert problems(GOOD.replace("      name:\n", second % "", 1)) == [
        "crm.yaml:10: deal_name is mapped twice, here and at crm.yaml:9 (keep one of the rows)"
    ]
    extra = ", direction: push, write: on_create"
    home = read(GOOD.replace("      name:\n", second % extra, 1)).objects["home"]
    assert home.groups["name"].pushes == {"deal_name"}


def test_options_may_be_left_out_of_an_enum_that_is_only_read() -> None:
    text = GOOD.replace("              won: Closed Won\n", "").replace(
        "          theirs: StageName\n", "          theirs: StageName\n          direction: pull\n"
    )
    assert read(text).objects["home"].groups["stage"].pulls >= {"sales_stage"}


def test_alternatives_of_several_fields_may_not_overlap() -> None:
    text = GOOD.replace("theirs: StageName", "theirs: [state, stage]")
    for option, value in (
        ("qualifying: [Qualification, Prospecting]", 'qualifying: [["0", "0"], ["0", "9"]]'),
        ("developing: Needs Analysis", "developing: [0, 1]"),
        ("proposing: Proposal", 'proposing: ["0", "2"]'),
        ("negotiating: Negotiation", 'negotiating: ["0", "3"]'),
        ("won: Closed Won", 'won: ["1", "*"]'),
    ):
        text = text.replace(option, value)
    assert (
        "state"
        in read(text.replace("lost: Closed Lost", 'lost: ["2", "*"]')).objects["home"].reads()
    )
    (told,) = problems(text.replace("lost: Closed Lost", 'lost: ["*", "7"]'))
    assert told.startswith("crm.yaml:20: '* + 7' stands for both won and lost (keep it under one")


def test_a_file_without_objects_is_refused() -> None:
    start, end = GOOD.index("objects:"), GOOD.index("accounts:")
    assert problems(GOOD[:start] + GOOD[end:]) == ["crm.yaml:1: objects is missing (add it)"]


def test_the_example_in_the_documentation_can_be_used() -> None:
    document = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text()
    example = document.split("```yaml\n")[1].split("```")[0]
    assert set(read(example).objects) == {"home", "mirror"}


def test_the_documentation_names_every_transform_field_and_group() -> None:
    document = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text()
    words = {*TRANSFORMS, *GROUPS, *OURS.fields} - {"registration_id"}
    assert not [word for word in words if word not in document]

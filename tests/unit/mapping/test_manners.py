"""How a row writes and what it makes of emptied values; objects that take some registrations only;
transforms that several rows share.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mapping.loader import load
from mapping.schema import ConnectionMapping, Direction, Emptied, FirstLink, Row, Write
from mapping.translate import canonical, computed, to_crm, to_store
from registration_core.contracts import Value
from registration_core.errors import ConfigurationError
from tests.unit.mapping.catalogue import GROUPS, OURS

_REST = """\
accounts: {object: Account, fields: {name: Name, country: Country}}
opportunities:
  {object: Deal, account: Account, key: Key, open: {Closed: [false]}, fields: {name: Name}}
"""


def read(objects: str, shared: str = "") -> ConnectionMapping:
    return load(f"connection: crm\n{shared}objects:\n{objects}{_REST}", "crm.yaml", OURS, GROUPS)


def with_row(row: str, group: str = "details", shared: str = "") -> ConnectionMapping:
    return read(f"  home: {{object: Deal, key: Key, groups: {{{group}: [{row}]}}}}\n", shared)


def the_row(row: str, group: str = "details", shared: str = "") -> Row:
    return with_row(row, group, shared).objects["home"].groups[group].rows[0]


def refused(call: object, *args: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        call(*args)  # type: ignore[operator]
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("words", "creates", "pushes", "pulls"),
    [
        ("direction: push", True, True, False),
        ("direction: pull", False, False, True),
        ("direction: both", True, True, True),
        ("direction: {create: push, update: pull}", True, False, True),
        ("direction: {create: pull, update: push}", False, True, False),
        ("direction: push, write: on_create", True, False, False),
        ("direction: both, write: on_create", True, False, True),
        ("direction: push, write: if_empty", True, True, False),
    ],
)
def test_a_row_flows_as_it_says_at_create_and_later(
    words: str, *, creates: bool, pushes: bool, pulls: bool
) -> None:
    row = the_row(f"{{ours: description, theirs: Text, {words}}}")
    assert (row.creates, row.pushes, row.pulls) == (creates, pushes, pulls)
    assert row.writes is (creates or pushes)


def test_what_is_not_written_at_create_is_left_to_the_crm() -> None:
    home = with_row(
        "{ours: description, theirs: Text, direction: {create: pull, update: push}}"
    ).objects["home"]
    ours: Mapping[str, Value] = {"registration_id": "1", "description": "x"}
    assert to_crm(home, ours, creating=True).fields == {"Key": "1"}
    assert to_crm(home, ours, creating=False).fields == {"Key": "1", "Text": "x"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("direction: pull, write: if_empty", "write: is for fields that we write"),
        ("direction: {create: pull, update: both}, write: on_create", "not written at create"),
        ("direction: {make: push}", "unknown field 'make' (one of: create, update)"),
        ("direction: sideways", "unknown direction 'sideways'"),
        ("write: twice", "unknown write 'twice' (one of: overwrite, if_empty, on_create)"),
        ("direction: push, emptied: keep", "emptied: is for fields that we read"),
        ("emptied: ignore", "unknown emptied 'ignore' (one of: conflict, clear, keep)"),
        ("on: create", "unknown field 'on'"),
        ("expression: deal_name", "a row has ours or an expression, not both"),
        ("transform: $stage", "there is no shared transform 'stage' (name it under shared:)"),
        ("direction: {create: push, update: pull}, transform: {default: {value: x}}",
         "may not flow both ways with default"),
    ],
)  # fmt: skip
def test_each_mistake_in_the_manners_of_a_row_is_told(words: str, said: str) -> None:
    told = refused(with_row, f"{{ours: description, theirs: Text, {words}}}")
    assert any(said in problem for problem in told), told


def test_manners_are_read() -> None:
    row = the_row("{ours: description, theirs: Text, write: if_empty, emptied: keep}")
    assert (row.write, row.emptied, row.direction) == (
        Write.IF_EMPTY, Emptied.KEEP, Direction.BOTH,
    )  # fmt: skip


# Shared transforms ----------------------------------------------------------------------------

SHARED = """\
shared:
  regions:
    enum:
      DE: DACH
      AT: DACH
      "*": World
  short: {text: {max: 10}}
"""


def test_rows_share_a_transform_by_its_name() -> None:
    text = (
        "  home: {object: Deal, key: Key, groups: {details: [\n"
        "    {ours: description, theirs: Text, direction: push, transform: $short},\n"
        "    {ours: customer_city, theirs: City, direction: push, transform: $short},\n"
        "    {ours: customer_country, theirs: Region, direction: push, transform: $regions}]}}\n"
    )
    rows = read(text, SHARED).objects["home"].groups["details"].rows
    assert rows[0].transform == rows[1].transform
    assert [row.shared for row in rows] == ["short", "short", "regions"]


def test_a_mistake_in_a_shared_transform_is_told_once_where_it_stands() -> None:
    shared = "shared:\n  short: {text: {max: 0}}\n"
    row = "{{ours: {0}, theirs: {0}, transform: $short}}"
    both = f"{row.format('description')}, {row.format('customer_city')}"
    told = refused(with_row, both, "details", shared)
    assert len({problem.partition(" (used at")[0] for problem in told}) == 1
    assert all(problem.startswith("crm.yaml:3: text needs max") for problem in told)


def test_several_values_of_ours_may_share_one_of_theirs_where_nothing_is_read_back() -> None:
    home = with_row(
        "{ours: customer_country, theirs: Region, direction: push, transform: $regions}",
        shared=SHARED,
    ).objects["home"]
    for country, region in (("DE", "DACH"), ("AT", "DACH"), ("NO", "World")):
        assert to_crm(home, {"customer_country": country}, creating=True).fields["Region"] == region
        form = canonical(home, {"customer_country": country}).fields
        assert form == to_store(home, {"Region": region}).fields
    told = refused(with_row, "{ours: customer_country, theirs: R, transform: $regions}", "details",
                   SHARED)  # fmt: skip
    assert any("'DACH' stands for both" in problem for problem in told)
    assert any("'*'" in problem or "for both" in problem for problem in told)


# Expressions ----------------------------------------------------------------------------------


def test_an_expression_is_written_and_compared_like_a_field() -> None:
    home = with_row(
        "{expression: 'customer_name + \", \" + customer_country', theirs: Title, "
        "transform: {text: {max: 12}}}"
    ).objects["home"]
    whole = computed(home, {"customer_name": "Nordhafen", "customer_country": "DE"})
    assert whole.fields["=Title"] == "Nordhafen, DE"
    assert to_crm(home, whole.fields, creating=True).fields["Title"] == "Nordhafen, D"
    assert canonical(home, whole.fields).fields["=Title"] == "Nordhafen, D"
    assert not canonical(home, {"customer_name": "Nordhafen"}).fields, "a base computes nothing"


def test_an_expression_that_is_wrong_is_told_with_line_and_column() -> None:
    told = refused(with_row, "{expression: 'deal_nam + 1', theirs: Title}")
    where = "(line 1, column 1 of the expression) (did you mean deal_name?)"
    assert told == [f"crm.yaml:3: we have no field 'deal_nam' {where}"]
    told = refused(with_row, "{expression: deal_name, theirs: Title, direction: both}")
    assert any("cannot be read backwards" in problem for problem in told)


# Objects --------------------------------------------------------------------------------------

LEAD = """\
  lead:
    role: home
    when: {registration_state: [submitted, under_review]}
    object: Lead
    key: Key
    groups: {name: [{ours: deal_name, theirs: Name}]}
"""
HOME = """\
  home:
    object: Deal
    key: Key
    first_link: {amount: ask, name: fill_empty}
    groups: {name: [{ours: deal_name, theirs: Name}]}
"""


def test_the_first_object_that_fits_a_registration_takes_it() -> None:
    mapping = read(LEAD + HOME)
    for state, wanted in (("submitted", "Lead"), ("approved", "Deal")):
        found = mapping.object_for("home", {"registration_state": state})
        assert found is not None
        assert found.object == wanted
    assert mapping.object_for("mirror", {"registration_state": "approved"}) is None


def test_a_first_link_is_decided_by_group() -> None:
    policies = read(LEAD + HOME).objects["home"].first_link
    assert policies["amount"] is FirstLink.ASK
    assert policies["name"] is FirstLink.FILL_EMPTY
    assert policies["stage"] is FirstLink.TAKE_HOME
    assert set(read(LEAD).objects["lead"].first_link.values()) == {FirstLink.TAKE_HOME}


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (HOME + LEAD, "no registration ever reaches lead"),
        (LEAD + LEAD.replace("lead:", "again:").replace("submitted, ", ""), "reaches again"),
        (
            LEAD.replace("registration_state: [submitted", "sales_stage: [sold"),
            "sales_stage is never 'sold'",
        ),
        (LEAD.replace("registration_state", "stat"), "when cannot ask for 'stat'"),
        (LEAD.replace("registration_state", "partner_name"), "when cannot ask for 'partner_name'"),
        (LEAD.replace("[submitted, under_review]", "[]"), "needs a list of values"),
        (LEAD.replace("    role: home\n", ""), "unknown field 'lead'"),
        (LEAD.replace("role: home", "role: boss"), "unknown role 'boss' (one of: home, mirror)"),
        (HOME.replace("ask", "asked"), "unknown amount 'asked'"),
        (HOME.replace("{amount: ask, name: fill_empty}", "later"), "unknown first_link 'later'"),
    ],
)
def test_each_mistake_in_an_object_is_told(objects: str, said: str) -> None:
    told = refused(read, objects)
    assert any(said in problem for problem in told), told


def test_whens_that_together_take_every_option_leave_nothing() -> None:
    stages = ("qualifying, developing, proposing", "negotiating, won, lost")
    parts = [
        LEAD.replace("lead:", f"part{n}:").replace(
            "{registration_state: [submitted, under_review]}", f"{{sales_stage: [{words}]}}"
        )
        for n, words in enumerate(stages)
    ]
    assert set(read("".join(parts)).objects) == {"part0", "part1"}
    assert any("reaches home" in told for told in refused(read, "".join(parts) + HOME))

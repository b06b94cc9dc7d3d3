"""What is shipped to prepare a Dynamics 365 environment, applied to one that lacks it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from connectors.dynamics365 import provisioning
from connectors.port import CheckItem, ObjectNeed
from sandbox.dynamics365.schema import TABLES
from sandbox.faults import Fault, FaultKind
from tests.contract.dynamics365 import ACCOUNT, KEY, MIRROR, OPPORTUNITY, Crm, fresh
from tests.contract.peers import SandboxPeerOrg

DEFINITIONS = json.loads(
    Path(provisioning.__file__).with_name("definitions.json").read_text(encoding="utf-8")
)
#: An environment as Microsoft ships it.
EVERYTHING = {
    (table["logical_name"], column["schema_name"].lower())
    for table in DEFINITIONS["tables"]
    for column in table["columns"]
} | {
    (table["logical_name"], key["schema_name"])
    for table in DEFINITIONS["tables"]
    for key in table["keys"]
}


def provision(crm: Crm, *options: str) -> Result:
    assert isinstance(crm.peer.org, SandboxPeerOrg)
    settings = crm.peer.org.settings
    form = {
        "grant_type": "client_credentials",
        "scope": f"{settings.base_url}/.default",
        **{name: settings.credentials[name] for name in ("client_id", "client_secret")},
    }
    _, told = crm.org.entra.answer(settings.credentials["tenant_id"], form, "")
    arguments = [settings.base_url, "--ca-file", settings.ca_file, *options]
    token = {"DATAVERSE_TOKEN": str(told["access_token"])}
    return CliRunner().invoke(provisioning.main, arguments, env=token, catch_exceptions=False)


def wrong(items: tuple[CheckItem, ...]) -> list[str]:
    return [f"{item.step}: {item.detail}" for item in items if not item.ok]


def needs() -> list[ObjectNeed]:
    return [
        ObjectNeed(ACCOUNT, None, ("dr_taxid", "dr_houseaccount")),
        ObjectNeed(OPPORTUNITY, KEY, ("dr_state",), ("dr_state",)),
        ObjectNeed(MIRROR, KEY, ("dr_account",), ("dr_account", "dr_amount")),
    ]


def test_an_environment_as_shipped_is_told_what_it_lacks_and_given_it(crm: Crm) -> None:
    crm.org.behaviour.absent = EVERYTHING | {(MIRROR, "")}
    crm.org.behaviour.untracked = {ACCOUNT, OPPORTUNITY, MIRROR}
    problems = wrong(fresh(crm).check(needs()))
    assert any("dr_houseaccount, dr_taxid" in problem for problem in problems)
    assert any(f"no table {MIRROR}" in problem for problem in problems)

    plan = provision(crm)
    assert plan.exit_code == 0
    assert f"missing  table {MIRROR}" in plan.output
    assert "--apply" in plan.output
    assert wrong(fresh(crm).check(needs())) == problems

    made = provision(crm, "--apply", "--solution", "dealreg")
    assert made.exit_code == 0, made.output
    assert made.output.replace("made  ", "missing  ") == plan.output.replace(
        "Type the same with --apply to make it.\n", ""
    )
    beside = {ACCOUNT, "contact", "opportunityproduct"}
    assert {table for table, _ in crm.org.behaviour.absent} == {"lead", *beside}
    assert provision(crm, "--apply", "--leads").exit_code == 0
    assert {table for table, _ in crm.org.behaviour.absent} == beside
    assert provision(crm, "--apply", "--companions").exit_code == 0
    assert crm.org.behaviour.absent == set()
    assert crm.org.behaviour.untracked == set()
    assert wrong(fresh(crm).check(needs())) == []
    assert provision(crm).output == "Nothing is missing.\n"


def test_a_key_that_is_missing_is_made_alone(crm: Crm) -> None:
    crm.org.behaviour.absent = {(OPPORTUNITY, "dr_DealregKey")}
    assert wrong(fresh(crm).check(needs())) == [
        "opportunity: alternate key on dr_dealregid: there is none"
    ]
    made = provision(crm, "--apply").output
    assert made == "made  alternate key dr_DealregKey of opportunity\n"


def test_a_refusal_stops_with_what_was_refused_and_what_to_do(crm: Crm) -> None:
    crm.org.behaviour.absent = {(ACCOUNT, "dr_taxid"), (ACCOUNT, "dr_duns")}
    crm.stand_in.faults.add(Fault(FaultKind.DOWN, "POST", "Attributes"))
    stopped = provision(crm, "--apply")
    assert stopped.exit_code == 1
    assert "run this again" in stopped.output
    crm.stand_in.faults.clear()
    assert provision(crm, "--apply").exit_code == 0


def test_without_a_token_nothing_is_called_and_the_way_to_one_is_told(crm: Crm) -> None:
    before = crm.stand_in.journal.total
    told = CliRunner().invoke(provisioning.main, [crm.stand_in.url], env={"DATAVERSE_TOKEN": ""})
    assert told.exit_code == 2
    assert "az account get-access-token" in told.output
    assert crm.stand_in.journal.total == before


def test_the_shipped_definitions_are_all_that_the_stand_in_has_of_ours() -> None:
    ours = {
        (table.name, column.name)
        for table in TABLES.values()
        for column in table.columns
        if column.name.startswith("dr_") and column.name != table.primary_id
    } | {(table.name, key) for table in TABLES.values() for key in table.keys}
    assert ours == EVERYTHING

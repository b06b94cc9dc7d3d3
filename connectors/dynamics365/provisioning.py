"""Make the tables, columns, keys and tracking that the shipped mapping needs; run by an admin.

    export DATAVERSE_TOKEN=$(az account get-access-token --resource https://ORG.crm.dynamics.com \
        --query accessToken --output tsv)
    python -m connectors.dynamics365.provisioning https://ORG.crm.dynamics.com [--apply]

Signs in as the admin, whose role customises the system, and never as the application user, which
has no business doing so. Without `--apply` it only tells what is missing; what is there already is
left as it is, so that it may be run again. `definitions.json` beside it holds the definitions as
data, for whoever makes them another way. Dataverse developer guide, "Create and update table
definitions using the Web API", "Create and update column definitions", "Work with alternate keys".
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests

from connectors.dynamics365.errors import read_fault
from connectors.dynamics365.transport import DEFAULT_API_VERSION, Reply

_DEFINITIONS = Path(__file__).with_name("definitions.json")
_TIMEOUT_SECONDS = (5, 120)
_METADATA = "Microsoft.Dynamics.CRM"
_ENGLISH = 1033


class ProvisioningError(Exception):
    """The environment refused a step; those before it were made, and it may be run again."""


@dataclass(frozen=True)
class Step:
    """One thing that is missing, and how it is made."""

    what: str
    make: Callable[[], None]


class Environment:
    """The definitions of one environment, read and written as its admin."""

    def __init__(self, base_url: str, token: str, *, solution: str = "", ca_file: str = "") -> None:
        self._root = f"{base_url.rstrip('/')}/api/data/{DEFAULT_API_VERSION}/"
        self._session = requests.Session()
        if ca_file:
            self._session.verify, self._session.trust_env = ca_file, False
        self._session.headers.update(
            {
                "Authorization": f"Bearer {token}",
                "Accept": "application/json",
                "OData-Version": "4.0",
                "OData-MaxVersion": "4.0",
                # Read past the cache, or what was made a moment ago would seem to be missing.
                "Consistency": "Strong",
            }
        )
        if solution:
            self._session.headers["MSCRM.SolutionUniqueName"] = solution

    def call(
        self, method: str, address: str, body: object = None, **headers: str
    ) -> dict[str, Any] | None:
        """Send one call; None when what it names is not there. `ProvisioningError` if refused."""
        try:
            answer = self._session.request(
                method,
                self._root + address,
                json=body,
                headers={name.replace("_", "."): value for name, value in headers.items()},
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            told = f"{method} {address}: no answer ({type(error).__name__})"
            raise ProvisioningError(told) from error
        if answer.status_code == 404 and method == "GET":
            return None
        if answer.status_code >= 300:
            fault = read_fault(Reply(answer.status_code, {}, answer.content))
            told = f"{method} {address}: {fault.message} [{answer.status_code} {fault.code}]"
            raise ProvisioningError(told)
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found


def steps(
    environment: Environment, definitions: Mapping[str, Any], parts: Collection[str]
) -> list[Step]:
    """Compare the environment with the definitions; a table's own steps follow its creation.

    `parts` are those that not everybody needs: `leads`, `companions`.
    """
    found: list[Step] = []
    for table in definitions["tables"]:
        if table.get("part", "") in ("", *parts):
            found += _table_steps(environment, table)
    return found


def _table_steps(environment: Environment, table: Mapping[str, Any]) -> list[Step]:
    name = str(table["logical_name"])
    root = f"EntityDefinitions(LogicalName='{name}')"
    told = environment.call("GET", f"{root}?$select=LogicalName,ChangeTrackingEnabled")
    found: list[Step] = []
    if told is None:
        create = lambda: _post(environment, "EntityDefinitions", _entity(table))  # noqa: E731
        found.append(Step(f"table {name}", create))
    columns, keys = set(), set()
    if told is not None:
        listed = environment.call("GET", f"{root}/Attributes?$select=LogicalName") or {}
        columns = {row["LogicalName"] for row in listed.get("value", ())}
        listed = environment.call("GET", f"{root}/Keys?$select=SchemaName,KeyAttributes") or {}
        keys = {tuple(row["KeyAttributes"]) for row in listed.get("value", ())}
    found += [
        _column_step(environment, name, column)
        for column in table["columns"]
        if column["schema_name"].lower() not in columns and not column.get("primary")
    ]
    for key in table["keys"]:
        if tuple(key["columns"]) not in keys:
            what = f"alternate key {key['schema_name']} of {name}"
            body = _key(key)
            found.append(Step(what, _posting(environment, f"{root}/Keys", body)))
    if told is not None and not told["ChangeTrackingEnabled"] and not table.get("untracked"):
        found.append(Step(f"change tracking of {name}", lambda: _track(environment, root, name)))
    return found


def _column_step(environment: Environment, table: str, column: Mapping[str, Any]) -> Step:
    what = f"column {column['schema_name'].lower()} of {table}"
    if column["type"] == "lookup":
        body = _relationship(table, column)
        return Step(what, _posting(environment, "RelationshipDefinitions", body))
    address = f"EntityDefinitions(LogicalName='{table}')/Attributes"
    return Step(what, _posting(environment, address, _attribute(column)))


def _posting(environment: Environment, address: str, body: object) -> Callable[[], None]:
    return lambda: _post(environment, address, body)


def _post(environment: Environment, address: str, body: object) -> None:
    environment.call("POST", address, body)


def _track(environment: Environment, root: str, table: str) -> None:
    """Switch change tracking on: a definition is replaced as a whole, then published."""
    definition = environment.call("GET", root) or {}
    replaced = {**definition, "ChangeTrackingEnabled": True}
    environment.call("PUT", root, replaced, MSCRM_MergeLabels="true")
    entities = f"<entities><entity>{table}</entity></entities>"
    parameter = f"<importexportxml>{entities}</importexportxml>"
    environment.call("POST", "PublishXml", {"ParameterXml": parameter})


# Wording -----------------------------------------------------------------------------------------


def _label(text: str) -> dict[str, Any]:
    label = {"@odata.type": f"{_METADATA}.LocalizedLabel", "Label": text}
    localized = [{**label, "LanguageCode": _ENGLISH}]
    return {"@odata.type": f"{_METADATA}.Label", "LocalizedLabels": localized}


def _required(level: str = "None") -> dict[str, Any]:
    return {"Value": level, "CanBeChanged": True}


def _attribute(column: Mapping[str, Any]) -> dict[str, Any]:
    common = {
        "SchemaName": column["schema_name"],
        "DisplayName": _label(column["label"]),
        "RequiredLevel": _required("ApplicationRequired" if column.get("primary") else "None"),
    }
    kinds: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "text": (
            "StringAttributeMetadata",
            {"MaxLength": column.get("length"), "FormatName": {"Value": "Text"}},
        ),
        "money": (
            "MoneyAttributeMetadata",
            {"Precision": 2, "PrecisionSource": 0, "MinValue": 0, "MaxValue": 1_000_000_000_000},
        ),
        "date": (
            "DateTimeAttributeMetadata",
            {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}},
        ),
        "yes or no": (
            "BooleanAttributeMetadata",
            {
                "DefaultValue": False,
                "OptionSet": {
                    "OptionSetType": "Boolean",
                    "TrueOption": {"Value": 1, "Label": _label("Yes")},
                    "FalseOption": {"Value": 0, "Label": _label("No")},
                },
            },
        ),
    }
    kind, own = kinds[column["type"]]
    primary = {"IsPrimaryName": True} if column.get("primary") else {}
    return {"@odata.type": f"{_METADATA}.{kind}", **common, **own, **primary}


def _relationship(table: str, column: Mapping[str, Any]) -> dict[str, Any]:
    target = column["target"]
    return {
        "@odata.type": f"{_METADATA}.OneToManyRelationshipMetadata",
        "SchemaName": f"{column['schema_name']}_{table}",
        "ReferencedEntity": target,
        "ReferencedAttribute": f"{target}id",
        "ReferencingEntity": table,
        "CascadeConfiguration": {
            "Assign": "NoCascade",
            "Delete": "RemoveLink",
            "Merge": "NoCascade",
            "Reparent": "NoCascade",
            "Share": "NoCascade",
            "Unshare": "NoCascade",
        },
        "Lookup": {
            "@odata.type": f"{_METADATA}.LookupAttributeMetadata",
            "SchemaName": column["schema_name"],
            "DisplayName": _label(column["label"]),
            "RequiredLevel": _required(),
        },
    }


def _entity(table: Mapping[str, Any]) -> dict[str, Any]:
    primary = [column for column in table["columns"] if column.get("primary")]
    return {
        "@odata.type": f"{_METADATA}.EntityMetadata",
        "SchemaName": table["schema_name"],
        "DisplayName": _label(table["label"]),
        "DisplayCollectionName": _label(f"{table['label']}s"),
        "OwnershipType": "UserOwned",
        "IsActivity": False,
        "HasActivities": False,
        "HasNotes": False,
        "ChangeTrackingEnabled": True,
        "Attributes": [_attribute(column) for column in primary],
    }


def _key(key: Mapping[str, Any]) -> dict[str, Any]:
    named = {"SchemaName": key["schema_name"], "DisplayName": _label(key["label"])}
    return {**named, "KeyAttributes": key["columns"]}


# Command -----------------------------------------------------------------------------------------


@click.command(help="Make what the shipped mapping needs in a Dataverse environment.")
@click.argument("base_url")
@click.option("--apply", "apply_", is_flag=True, help="Make it; without, only tell.")
@click.option("--leads", is_flag=True, help="For leads too, where registrations stand on them.")
@click.option(
    "--companions", is_flag=True, help="For the account, contact and product of a deal too."
)
@click.option("--solution", default="", help="Unique name of the solution to put it into.")
@click.option("--ca-file", default="", help="PEM bundle to trust instead of the system's.")
def main(
    base_url: str, solution: str, ca_file: str, *, apply_: bool, leads: bool, companions: bool
) -> None:
    """Tell what is missing, and make it when asked to."""
    token = os.environ.get("DATAVERSE_TOKEN", "")
    if not token:
        click.echo(
            "DATAVERSE_TOKEN is not set. Type: export DATAVERSE_TOKEN=$(az account "
            f"get-access-token --resource {base_url.rstrip('/')} --query accessToken --output tsv)",
            err=True,
        )
        sys.exit(2)
    environment = Environment(base_url, token, solution=solution, ca_file=ca_file)
    try:
        definitions = json.loads(_DEFINITIONS.read_text(encoding="utf-8"))
        parts = {"leads": leads, "companions": companions}
        missing = steps(environment, definitions, [name for name, on in parts.items() if on])
        for step in missing:
            if apply_:
                step.make()
            click.echo(f"{'made' if apply_ else 'missing'}  {step.what}")
    except ProvisioningError as error:
        click.echo(f"Stopped: {error}. What was made stays; mend it and run this again.", err=True)
        sys.exit(1)
    if not missing:
        click.echo("Nothing is missing.")
    elif not apply_:
        click.echo("Type the same with --apply to make it.")


if __name__ == "__main__":
    main()

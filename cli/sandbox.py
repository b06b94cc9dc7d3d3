"""`dealreg sandbox`: be a user of the three CRM stand-ins, or bad luck, over their control door.

The door speaks plain JSON on loopback (`sandbox/control.py` lists its paths); where it is and its
token come from the settings that `dealreg serve --sandbox` writes.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import click

from cli.frame import Frame, Noun, pass_frame
from registration_core.errors import DealregError, InvalidInput

#: Seconds the control door may take to answer.
TIMEOUT_SECONDS = 30.0

#: Fields that hold a record's name in the stand-ins, by the CRMs' own schemas.
_NAME_FIELDS = ("Name", "name", "dealname", "dr_name", "fullname", "email")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")

_CRM = click.argument("crm", metavar="CRM")
_OBJECT = click.argument("object_name", metavar="OBJECT")
_ID = click.argument("record_id", metavar="ID")
_USER = click.option(
    "--user", default="Sales Rep East", show_default=True, help="Who does it there."
)


class SandboxRefusal(DealregError):
    """The control door cannot be reached, or refused; says so in the stand-in's own words."""

    code = "sandbox"


@click.group(cls=Noun)
def sandbox() -> None:
    """Be a user of the sandbox CRMs, or bad luck.

    CRM is salesforce, dynamics365 or hubspot; OBJECT is the CRM's own name, for example
    Opportunity, opportunity or deals. A FIELD=VALUE is text, a number where the field holds one,
    or true and false; FIELD:=JSON says exactly what it is, and FIELD:=null clears.
    """


@sandbox.command()
@_CRM
@_OBJECT
@click.argument("record_id", metavar="[ID]", default="")
@click.option("--where", multiple=True, metavar="FIELD=VALUE", help="Only records that fit.")
@pass_frame
def records(
    frame: Frame, crm: str, object_name: str, record_id: str, where: tuple[str, ...]
) -> None:
    """List the records of an object, or show the one with this ID and its history."""
    if record_id:
        _show(frame, _call(frame, "GET", crm, "objects", object_name, record_id))
        return
    query = [_pair(text) for text in where]
    found = _call(frame, "GET", crm, "objects", object_name, query=query)["records"]
    if frame.out.as_json:
        frame.out.json(found)
        return
    asked = {f"field {name}": name for name, _ in query}
    rows = [
        {**record, "name": _name(record["fields"])}
        | {key: record["fields"].get(name) for key, name in asked.items()}
        for record in found
    ]
    stamps = {"modified_by": "Changed by", "modified_at": "Changed at"}
    frame.out.table(
        rows,
        {"id": "Id", "name": "Name", **asked, **stamps},
        empty=f"No {object_name} in {crm} fits. Type: dealreg sandbox records {crm} {object_name}",
    )


@sandbox.command()
@_CRM
@_OBJECT
@click.argument("values", nargs=-1, required=True, metavar="FIELD=VALUE...")
@_USER
@pass_frame
def add(frame: Frame, crm: str, object_name: str, values: tuple[str, ...], user: str) -> None:
    """Add a record as a user of the CRM."""
    body = {"fields": _fields(values, {}), "user": user}
    made = _call(frame, "POST", crm, "objects", object_name, body=body)
    frame.out.done(f"{user} added {object_name} {made['id']} in {crm}.", made)


@sandbox.command()
@_CRM
@_OBJECT
@_ID
@click.argument("values", nargs=-1, required=True, metavar="FIELD=VALUE...")
@_USER
@pass_frame
def edit(
    frame: Frame, crm: str, object_name: str, record_id: str, values: tuple[str, ...], user: str
) -> None:
    """Change a record as a user of the CRM."""
    before = _call(frame, "GET", crm, "objects", object_name, record_id)["fields"]
    body = {"fields": _fields(values, before), "user": user}
    made = _call(frame, "PATCH", crm, "objects", object_name, record_id, body=body)
    frame.out.done(f"{user} changed {object_name} {record_id} in {crm}.", made)


@sandbox.command()
@_CRM
@_OBJECT
@_ID
@_USER
@pass_frame
def remove(frame: Frame, crm: str, object_name: str, record_id: str, user: str) -> None:
    """Delete a record as a user of the CRM."""
    _call(frame, "DELETE", crm, "objects", object_name, record_id, query=[("user", user)])
    answer = {"crm": crm, "object": object_name, "id": record_id, "user": user}
    frame.out.done(f"{user} deleted {object_name} {record_id} in {crm}.", answer)


@sandbox.command()
@_CRM
@_OBJECT
@_ID
@click.argument("into", metavar="INTO_ID")
@_USER
@pass_frame
def merge(frame: Frame, crm: str, object_name: str, record_id: str, into: str, user: str) -> None:
    """Merge record ID into record INTO_ID as a user of the CRM."""
    body = {"into": into, "user": user}
    _call(frame, "POST", crm, "objects", object_name, record_id, "merge", body=body)
    answer = {"crm": crm, "object": object_name, "id": record_id, "into": into, "user": user}
    frame.out.done(f"{user} merged {object_name} {record_id} into {into} in {crm}.", answer)


@sandbox.command()
@_CRM
@click.argument("kind", type=click.Choice(["down", "throttled", "slow", "drop_answer"]))
@click.option(
    "--seconds", type=click.FloatRange(0, 3600), help="How long to wait (slow, throttled)."
)
@click.option("--count", type=click.IntRange(1), help="Requests it meets; else until cleared.")
@click.option("--path", default="", metavar="REGEX", help="Only requests whose path has this.")
@click.option("--method", default="", metavar="REGEX", help="Only these HTTP methods.")
@pass_frame
def fault(
    frame: Frame,
    crm: str,
    kind: str,
    seconds: float | None,
    count: int | None,
    path: str,
    method: str,
) -> None:
    """Make a CRM fail: down, throttled, slow, or do the work and drop the answer."""
    body: dict[str, object] = {"kind": kind, "path": path, "method": method, "remaining": count}
    if seconds is not None:
        body["seconds"] = seconds
    made = _call(frame, "POST", crm, "faults", body=body)
    meets = f"the next {count} requests" if count else f"until: dealreg sandbox clear {crm}"
    frame.out.done(f"{crm} is {kind} now, {meets}.", made)


@sandbox.command()
@_CRM
@pass_frame
def clear(frame: Frame, crm: str) -> None:
    """Take every fault away."""
    _call(frame, "DELETE", crm, "faults")
    frame.out.done(f"{crm} works again.", {"crm": crm, "faults": []})


@sandbox.command()
@_CRM
@click.argument("switch", type=click.Choice(["on", "off"]))
@pass_frame
def webhooks(frame: Frame, crm: str, switch: str) -> None:
    """Let a CRM send webhooks, or not."""
    answer = _call(frame, "PUT", crm, "webhooks", body={"on": switch == "on"})
    frame.out.done(f"Webhooks of {crm} are {switch}.", answer)


@sandbox.command()
@_CRM
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True)
@pass_frame
def journal(frame: Frame, crm: str, last: int) -> None:
    """List the last requests a CRM got."""
    answer = _call(frame, "GET", crm, "requests", query=[("last", str(last))])
    rows = answer["requests"]
    frame.out.table(
        rows,
        {name: name.replace("_", " ").capitalize() for name in rows[0]} if rows else {},
        empty=f"{crm} got no request yet. Type: dealreg sync run",
    )


def _show(frame: Frame, record: Mapping[str, Any]) -> None:
    if frame.out.as_json:
        frame.out.json(record)
        return
    facts = {name: value for name, value in record.items() if name not in ("fields", "history")}
    frame.out.facts(facts, title=f"{record['object']} {record['id']}")
    frame.out.facts(record["fields"], title="Fields")
    frame.out.show(
        record["history"],
        {"at": "Changed at", "by": "By", "field": "Field", "old": "From", "new": "To"},
        title="History",
    )


def _name(fields: Mapping[str, object]) -> object:
    return next((fields[name] for name in _NAME_FIELDS if fields.get(name)), "")


def _fields(values: Sequence[str], before: Mapping[str, object]) -> dict[str, object]:
    """Read FIELD=VALUE and FIELD:=JSON; a number stays one where the field holds one."""
    read: dict[str, object] = {}
    for text in values:
        name, value = _pair(text)
        if name.endswith(":"):
            name = name[:-1]
            try:
                read[name] = json.loads(value)
            except ValueError as error:
                raise InvalidInput(
                    f"{value!r} is not JSON.", field=name, hint=f"For text: {name}={value}"
                ) from error
        elif value in ("true", "false"):
            read[name] = value == "true"
        else:
            held = before.get(name)
            number = isinstance(held, (int, float)) and not isinstance(held, bool)
            read[name] = json.loads(value) if number and _NUMBER.fullmatch(value) else value
    return read


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip(": "):
        raise InvalidInput(f"{text!r} is not FIELD=VALUE.", hint="For example: Amount=120000")
    return name.strip(), value


def _call(
    frame: Frame,
    method: str,
    *path: str,
    query: Sequence[tuple[str, str]] = (),
    body: Mapping[str, object] | None = None,
) -> Any:
    """Call the control door; returns its JSON, None where it answers nothing."""
    variables = frame.settings.variables
    url = urlsplit(variables.get("DEALREG_SANDBOX_CONTROL_URL", ""))
    if not url.hostname:
        raise SandboxRefusal(
            "There is no sandbox here.",
            hint="Start one in another terminal: dealreg serve --sandbox",
        )
    target = "/crms/" + "/".join(quote(part, safe="") for part in path)
    if query:
        target += "?" + urlencode(query)
    headers = {"Authorization": f"Bearer {variables.get('DEALREG_SANDBOX_CONTROL_TOKEN', '')}"}
    door = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        door.request(method, target, json.dumps(body) if body is not None else None, headers)
        response = door.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise SandboxRefusal(
            f"The sandbox does not answer at {url.netloc} ({type(error).__name__}).",
            hint="Start it in another terminal: dealreg serve --sandbox",
        ) from error
    finally:
        door.close()
    try:
        answer = json.loads(content) if content.strip() else None
    except ValueError:
        answer = {"error": f"{response.status}, and not in JSON"}
    if response.status >= 400 or (isinstance(answer, dict) and answer.keys() == {"error"}):
        told = answer.get("error") if isinstance(answer, dict) else response.reason
        raise SandboxRefusal(f"The sandbox refused: {told}")
    return answer

"""`connection check`: proves each thing we need of an org and says what to do where it is not so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from connectors.errors import (
    AuthenticationFailed,
    CallRejected,
    ConnectorError,
    CrmUnavailable,
    NotPermitted,
)
from connectors.port import CheckItem, ConnectionSettings, ObjectNeed, OrgIdentity
from connectors.salesforce.asking import rows_in
from connectors.salesforce.schema import SalesforceSchema
from connectors.salesforce.soql import select
from connectors.salesforce.transport import Transport
from connectors.salesforce.users import active_users
from registration_core.contracts import FieldSchema, FieldType

#: A registration id is a UUID.
KEY_LENGTH = 36
SECRET_LENGTH_MIN = 16
_OPERATION = "check"
_ENOUGH_CALLS = 0.2
_PERMISSION_SET = FieldSchema("ParentId", FieldType.REFERENCE)


class Checked(Protocol):
    """What the check needs of the connector."""

    def identity(self) -> OrgIdentity: ...
    def schema(self, object_name: str) -> SalesforceSchema: ...


def run_check(
    connector: Checked,
    transport: Transport,
    settings: ConnectionSettings,
    needs: Sequence[ObjectNeed],
) -> tuple[CheckItem, ...]:
    """Run every step that can still be run; never raises `ConnectorError`."""
    items: list[CheckItem] = []
    if not _step(items, "sign in", lambda: _sign_in(connector)):
        return tuple(items)
    _step(items, "organisation", lambda: _organisation(transport, settings))
    for need in needs:
        if _step(items, f"object {need.object}", partial(_object, connector, need)):
            asked = partial(_deletions, connector, transport, need)
            _step(items, f"deletions {need.object}", asked)
    read = [need.object for need in needs if need.reads]
    _step(items, "view all records", lambda: _view_all(connector, transport, read))
    if any(need.names_users for need in needs):
        _step(items, "users", lambda: _users(transport))
    _step(items, "API budget", lambda: _budget(transport))
    items.append(_webhook(settings))
    return tuple(items)


def _step(items: list[CheckItem], step: str, run: Callable[[], Iterator[CheckItem]]) -> bool:
    try:
        items.extend(run())
    except ConnectorError as error:
        items.append(CheckItem(step, ok=False, detail=error.message, remedy=_remedy(error)))
        return False
    return True


def _remedy(error: ConnectorError) -> str:
    if error.hint:
        return error.hint
    if isinstance(error, CrmUnavailable):
        return "Check base_url, ca_file and the network, then run the check again."
    if isinstance(error, AuthenticationFailed):
        return "Check the External Client App and its run-as user."
    return "Give the integration user's permission set access to it in Salesforce Setup."


def _sign_in(connector: Checked) -> Iterator[CheckItem]:
    who = connector.identity()
    yield CheckItem("sign in", ok=True, detail=f"org {who.org_id}, user {who.user_name}")


def _organisation(transport: Transport, settings: ConnectionSettings) -> Iterator[CheckItem]:
    row = _first(transport, "SELECT Name, IsSandbox FROM Organization LIMIT 1")
    kind = "sandbox" if row.get("IsSandbox") else "production"
    fits = kind == settings.environment
    yield CheckItem(
        "organisation",
        ok=fits,
        detail=f"{row.get('Name')} is a {kind} org; the connection says {settings.environment}",
        remedy="" if fits else "Point base_url at the right org, or correct the environment.",
    )


def _object(connector: Checked, need: ObjectNeed) -> Iterator[CheckItem]:
    schema = connector.schema(need.object)
    yield CheckItem(f"object {need.object}", ok=True, detail=schema.schema.label)
    yield from _fields(schema, need)
    if need.key_field is not None:
        yield _key(schema, need.key_field)
    yield from _rights(schema, need)
    yield from _history(schema, need)


def _rights(schema: SalesforceSchema, need: ObjectNeed) -> Iterator[CheckItem]:
    """Name what our user may not do; what is written and never read is never changed."""
    wanted = {
        "create": need.key_field is not None and not schema.createable,
        "edit": bool(need.reads and need.writes) and not schema.updateable,
    }
    for right in (name for name, missing in wanted.items() if missing):
        yield CheckItem(
            f"{right} {need.object}",
            ok=False,
            detail=f"the integration user may not {right} records",
            remedy=f"Grant {right.title()} on the object in the permission set.",
        )


def _deletions(connector: Checked, transport: Transport, need: ObjectNeed) -> Iterator[CheckItem]:
    schema = connector.schema(need.object)
    if schema.has("IsDeleted"):
        soql = select(["Id"], schema.name, "IsDeleted = true", "LIMIT 1")
        list(transport.query(soql, operation=_OPERATION, deleted=True))
        yield CheckItem(f"deletions {need.object}", ok=True, detail="queryAll is allowed")


def _view_all(
    connector: Checked, transport: Transport, object_names: Sequence[str]
) -> Iterator[CheckItem]:
    """Prove that no sharing rule hides records from our user: what he cannot see, no check finds.

    Object Reference, "ObjectPermissions": a row for each permission set, those of profiles and of
    permission set groups included, and also where View All Data or Modify All Data imply it.
    """
    us = connector.identity().user_id
    assigned = select(["PermissionSetId"], "PermissionSetAssignment", f"AssigneeId = '{us}'")
    try:
        sets = [str(row["PermissionSetId"]) for row in _rows(transport, assigned)]
        granted = {
            str(row["SobjectType"])
            for row in rows_in(
                transport, ["SobjectType"], "ObjectPermissions", _PERMISSION_SET, sets,
                operation=_OPERATION, also="PermissionsViewAllRecords = true",
            )
        }  # fmt: skip
    except (CallRejected, NotPermitted) as error:
        yield CheckItem(
            "view all records",
            ok=True,
            warning=True,
            detail=f"the integration user may not see whether it has it: {error.message}",
            remedy="Grant View Setup and Configuration, or look yourself that View All is granted.",
        )
        return
    for name in dict.fromkeys(object_names):
        sees_all = name in granted
        yield CheckItem(
            f"view all records {name}",
            ok=sees_all,
            detail="granted" if sees_all else "records that are not shared with us are not seen",
            remedy="" if sees_all else f"Grant View All Records on {name} in the permission set.",
        )


def _history(schema: SalesforceSchema, need: ObjectNeed) -> Iterator[CheckItem]:
    """Name two-way fields whose past values nobody could look up after an overwrite."""
    fields = schema.schema.fields
    unkept = [n for n in need.two_way if n in fields and not fields[n].history_kept]
    if unkept and not schema.tracking_seen:
        yield CheckItem(
            f"history {need.object}",
            ok=True,
            warning=True,
            detail="the integration user cannot see which fields keep their history",
            remedy="Grant View Setup and Configuration in the permission set.",
        )
        return
    for name in unkept:
        yield CheckItem(
            f"history {need.object}.{name}",
            ok=True,
            warning=True,
            detail="no history is kept: an overwrite between our read and write is unproven",
            remedy=f"Switch field history tracking on for {name} in Setup, Object Manager.",
        )


def _fields(schema: SalesforceSchema, need: ObjectNeed) -> Iterator[CheckItem]:
    keys = [need.key_field] if need.key_field else []
    for name in dict.fromkeys([*need.reads, *need.writes, *keys]):
        field = schema.schema.fields.get(name)
        step = f"field {need.object}.{name}"
        if field is None:
            yield CheckItem(
                step,
                ok=False,
                detail="does not exist or is hidden from the integration user",
                remedy=f"Create {name}, or grant read access in the permission set.",
            )
        elif name in need.writes and not (field.updateable or field.createable):
            why = "is a formula" if field.calculated else "cannot be edited by the integration user"
            yield CheckItem(
                step,
                ok=False,
                detail=why,
                remedy=f"Grant edit access to {name} in the permission set, or map it pull only.",
            )


def _key(schema: SalesforceSchema, name: str) -> CheckItem:
    step = f"key {schema.name}.{name}"
    field = schema.schema.fields.get(name)
    remedy = f"Make {name} a Text({KEY_LENGTH}) field with External ID and Unique ticked."
    if field is None or not field.unique:
        return CheckItem(step, ok=False, detail="is not a unique field", remedy=remedy)
    if name not in schema.external_ids:
        return CheckItem(step, ok=False, detail="is no External ID", remedy=remedy)
    if field.type is not FieldType.TEXT or (field.length or 0) < KEY_LENGTH:
        return CheckItem(step, ok=False, detail="is too short for our id", remedy=remedy)
    if not field.createable:
        remedy = f"Grant edit access to {name} in the permission set."
        return CheckItem(step, ok=False, detail="cannot be set at create", remedy=remedy)
    return CheckItem(step, ok=True, detail="unique, External ID")


def _users(transport: Transport) -> Iterator[CheckItem]:
    active_users(transport, ["nobody@example.invalid"])
    yield CheckItem("users", ok=True, detail="can be looked up by e-mail address")


def _budget(transport: Transport) -> Iterator[CheckItem]:
    answer = transport.read("limits", operation=_OPERATION).data
    daily: dict[str, Any] = answer.get("DailyApiRequests", {})
    allowed, remaining = int(daily.get("Max", 0)), int(daily.get("Remaining", 0))
    low = remaining < allowed * _ENOUGH_CALLS
    yield CheckItem(
        "API budget",
        ok=remaining > 0,
        warning=low and remaining > 0,
        detail=f"{remaining} of {allowed} calls left in 24 hours",
        remedy="Lower the poll rate, or buy API calls." if low else "",
    )


def _webhook(settings: ConnectionSettings) -> CheckItem:
    if len(settings.webhook.get("secret", "")) >= SECRET_LENGTH_MIN:
        return CheckItem("webhook", ok=True, detail="a secret is set")
    return CheckItem(
        "webhook",
        ok=True,
        warning=True,
        detail=f"no secret of at least {SECRET_LENGTH_MIN} characters: polling only, or guessable",
        remedy="Set the webhook secret and put it at the end of the Outbound Message's URL.",
    )


def _rows(transport: Transport, soql: str) -> Iterator[dict[str, Any]]:
    for page in transport.query(soql, operation=_OPERATION):
        yield from page.data["records"]


def _first(transport: Transport, soql: str) -> dict[str, Any]:
    return next(_rows(transport, soql), {})

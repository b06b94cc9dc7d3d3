"""What the portal says of itself: definitions, pipelines, labels, owners, account, tokens.

Sources: HubSpot developer documentation, "Properties guide", "Pipelines guide", "Associations v4",
"Owners guide", "Account information", "Private apps", "Manage OAuth tokens".
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from sandbox.hubspot import shapes
from sandbox.hubspot.association_types import ASSOCIATION_TYPES
from sandbox.hubspot.call import Call, Json
from sandbox.hubspot.engine import INTEGRATION_USER_ID
from sandbox.hubspot.schema import COMPANY_CURRENCY, CURRENCIES, FIELD_TYPES, Property
from sandbox.hubspot.values import HubSpotError

#: Unique properties that one object type may have.
UNIQUE_MAX = 10


def properties(call: Call) -> tuple[int, Json]:
    """All property definitions of a type ("Properties guide")."""
    kind = call.kind()
    call.schema_scope(kind, "read")
    definitions = [shapes.definition(prop) for prop in kind.properties.values()]
    return 200, {"results": definitions}


def pipelines(call: Call) -> tuple[int, Json]:
    """All pipelines of a type ("Pipelines guide")."""
    kind = call.kind()
    call.schema_scope(kind, "read")
    return 200, {"results": shapes.pipelines(kind)}


def owners(call: Call) -> tuple[int, Json]:
    """The owners, archived or not ("Owners guide")."""
    call.org.access.require("crm.objects.owners.read")
    archived, email = call.flag("archived"), call.query.get("email")
    rows = [r for r in call.org.store.rows("owners", deleted=True) if r.deleted is archived]
    return 200, {"results": [shapes.owner(r) for r in rows if email in (None, r.fields["email"])]}


def account(call: Call) -> tuple[int, Json]:
    """What the account says of itself ("Account information")."""
    return 200, {
        "portalId": int(call.org.org_id),
        "accountType": "STANDARD",
        "timeZone": "US/Eastern",
        "companyCurrency": COMPANY_CURRENCY,
        "additionalCurrencies": [c for c in CURRENCIES if c != COMPANY_CURRENCY],
        "utcOffset": "-05:00",
        "utcOffsetMilliseconds": -18_000_000,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }


def token_info(call: Call) -> tuple[int, Json]:
    """Whose token this is ("Private apps"); of other kinds of apps there is nothing to tell."""
    if not call.org.access.private_app:
        raise HubSpotError(404, "resource not found")
    return 200, {
        "userId": INTEGRATION_USER_ID,
        "hubId": int(call.org.org_id),
        "appId": int(call.org.app_user.partition(":")[2]),
        "scopes": sorted(call.org.access.scopes),
    }


def token(call: Call) -> tuple[int, Json]:
    """Hand out an OAuth token ("Manage OAuth tokens")."""
    form = {name: values[0] for name, values in parse_qs(call.raw.decode()).items()}
    return 200, call.org.access.sign_in(form, call.org.org_id)


def labels(call: Call) -> tuple[int, Json]:
    """The types of association from one object type to another."""
    pair = call.kind("from"), call.kind("to")
    for kind in pair:
        call.scope(kind, "read")
    return 200, {
        "results": [
            {"category": each.category, "typeId": each.type_id, "label": each.label}
            for each in ASSOCIATION_TYPES.values()
            if (each.from_type, each.to_type) == (pair[0].name, pair[1].name)
        ]
    }


def property_create(call: Call) -> tuple[int, Json]:
    """Define a property; only a new one can be made unique, as HubSpot documents it."""
    kind, body = call.kind(), call.body()
    call.schema_scope(kind, "write")
    name, type_, field_type = (str(body.get(key) or "") for key in ("name", "type", "fieldType"))
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or not body.get("label"):
        raise HubSpotError(
            400, "A property needs a lower-case name and a label", "VALIDATION_ERROR"
        )
    if FIELD_TYPES.get(type_) != field_type and (type_, field_type) not in _FORMS:
        words = f"fieldType {field_type} does not go with type {type_}"
        raise HubSpotError(400, words, "VALIDATION_ERROR")
    if str(body.get("groupName")) not in call.org.definitions.groups(kind):
        raise HubSpotError(400, "The property group does not exist", "VALIDATION_ERROR")
    unique = bool(body.get("hasUniqueValue"))
    if unique and sum(prop.unique for prop in kind.properties.values()) >= UNIQUE_MAX:
        words = f"{kind.name} have {UNIQUE_MAX} unique properties already"
        raise HubSpotError(400, words, "VALIDATION_ERROR")
    options = tuple((str(o["value"]), str(o["label"])) for o in body.get("options") or ())
    if type_ == "enumeration" and not options:
        raise HubSpotError(400, "An enumeration needs options", "VALIDATION_ERROR")
    prop = Property(
        name,
        str(body["label"]),
        "checkbox" if field_type == "checkbox" else type_,
        options,
        unique=unique,
        standard=False,
    )
    call.org.definitions.define(kind, prop)
    return 201, shapes.definition(prop)


def group_create(call: Call) -> tuple[int, Json]:
    """Make a property group; 409 where there is one of that name."""
    kind, body = call.kind(), call.body()
    call.schema_scope(kind, "write")
    name, label = str(body["name"]), str(body["label"])
    if name in call.org.definitions.groups(kind):
        raise HubSpotError(409, f"The group '{name}' already exists.", "OBJECT_ALREADY_EXISTS")
    call.org.definitions.add_group(kind, name)
    return 201, {"name": name, "label": label, "displayOrder": -1, "archived": False}


#: Form controls that go with a type beside its usual one.
_FORMS = frozenset((("string", "textarea"), ("enumeration", "checkbox"), ("enumeration", "radio")))

"""The portal's HTTP paths: v3 and v4 and the dated versions side by side, on one engine.

A route is here because our connector or the vendor's client library calls it; everything else
answers 501. Sources: HubSpot developer documentation, "API versioning", "Using object APIs".
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from email.utils import format_datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.hubspot import batch, definitions, shapes
from sandbox.hubspot.call import Call, Json
from sandbox.hubspot.engine import HubSpotOrg
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.search import BODY_LENGTH_MAX, search
from sandbox.hubspot.values import HubSpotError
from sandbox.records import Row

#: Largest request body taken, in bytes: 100 rows with several properties of the longest text.
REQUEST_BODY_MAX = 16 * 1024 * 1024
_PAGE_MAX, _PAGE_WITH_HISTORY_MAX = 100, 50
#: The dated versions that are served beside v3 and v4 ("API versioning").
VERSIONS = ("2026-03", "2026-09")

_Handler = Callable[[Call], tuple[int, Json | None]]


def build_app(org: HubSpotOrg) -> Starlette:
    """Serve one portal."""
    routes = [
        Route(path, _endpoint(org, handler), methods=[method])
        for method, paths, handler in _ROUTES
        for path in paths
    ]
    app = Starlette(routes=routes, exception_handlers={404: _not_built, 405: _not_built})
    app.router.redirect_slashes = False
    app.add_middleware(_WithoutTrailingSlash)
    return app


def _endpoint(org: HubSpotOrg, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        correlation_id = str(uuid.uuid4())
        searching, signing_in = handler is _search, handler is definitions.token
        try:
            if not signing_in:
                org.access.authenticate(request.headers.get("authorization", ""))
            org.limits.take(search=searching)
            call = Call(org, request, await _read_body(request))
            status, body = handler(call)
            if call.dated and body is not None:
                _leave_out_empty(body)
        except HubSpotError as error:
            status, body = error.status, error.body(correlation_id)
        except (KeyError, TypeError, ValueError) as error:
            fault = HubSpotError(400, f"Invalid input JSON: {error!r}", "VALIDATION_ERROR")
            status, body = fault.status, fault.body(correlation_id)
        headers = {
            "Date": format_datetime(org.clock(), usegmt=True),
            "x-hubspot-correlation-id": correlation_id,
            **({} if searching else org.limits.headers()),
        }
        if body is None:
            return Response(status_code=status, headers=headers)
        return _Answer(body, status, headers, media_type="application/json;charset=utf-8")

    return endpoint


def _leave_out_empty(body: Json) -> None:
    """Properties without a value: null in v3, left out in the dated versions, as guides differ."""
    for record in [body, *body.get("results", ())]:
        if isinstance(record.get("properties"), dict):
            record["properties"] = {n: v for n, v in record["properties"].items() if v is not None}


class _Answer(JSONResponse):
    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False).encode()


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > REQUEST_BODY_MAX:
            raise HubSpotError(413, "The request body is too large")
    return bytes(body)


async def _not_built(request: Request, _: Exception) -> Response:
    message = f"The HubSpot stand-in does not offer {request.method} {request.url.path}."
    return JSONResponse({"status": "error", "message": message}, status_code=501)


class _WithoutTrailingSlash:
    """The vendor's client calls `/crm/v3/owners/`; both forms are one path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/":
            scope = {**scope, "path": scope["path"].rstrip("/")}
        await self._app(scope, receive, send)


# --- records


def _list(call: Call) -> tuple[int, Json]:
    kind = call.kind()
    call.scope(kind, "read")
    limit, after = int(call.query.get("limit", "10")), int(call.query.get("after", "0"))
    most = _PAGE_WITH_HISTORY_MAX if call.names("propertiesWithHistory") else _PAGE_MAX
    if not 0 < limit <= most:
        raise HubSpotError(400, f"limit must be between 1 and {most}", "VALIDATION_ERROR")
    archived = call.flag("archived")
    rows = [
        row
        for row in call.org.store.rows(kind.name, deleted=True)
        if row.deleted is archived and not row.merged_into and int(row.id) > after
    ]
    rows.sort(key=lambda row: int(row.id))
    body: Json = {"results": [_record(call, kind, row) for row in rows[:limit]]}
    if len(rows) > limit:
        body["paging"] = {"next": {"after": rows[limit - 1].id, "link": ""}}
    return 200, body


def _get(call: Call) -> tuple[int, Json]:
    kind, asked = call.kind(), call.params["id"]
    call.scope(kind, "read")
    row: Row | None
    if id_property := call.query.get("idProperty"):
        row = call.org.by_unique(kind, id_property, asked)
    elif call.flag("archived"):
        row = call.org.store.get(kind.name, asked, deleted=True)
        row = row if row is not None and row.deleted and not row.merged_into else None
    else:
        row = call.org.resolve(kind, asked)
    if row is None:
        raise _missing(asked)
    return 200, _record(call, kind, row)


def _create(call: Call) -> tuple[int, Json]:
    kind, body = call.kind(), call.body()
    call.scope(kind, "write")
    targets = body.get("associations") or ()
    row = call.org.create(kind, body.get("properties") or {}, targets, call.org.app_user)
    return 201, shapes.record(call.org, kind, row, [*kind.defaults, *body.get("properties", ())])


def _patch(call: Call) -> tuple[int, Json]:
    kind, asked = call.kind(), call.params["id"]
    call.scope(kind, "write")
    properties = call.body().get("properties") or {}
    id_property = call.query.get("idProperty")
    if id_property:
        row = call.org.by_unique(kind, id_property, asked)
    else:
        row = call.org.resolve(kind, asked)
    if row is None:
        raise _missing(asked)
    call.org.update(kind, row, properties, call.org.app_user)
    return 200, shapes.record(call.org, kind, row, [*kind.defaults, *properties])


def _delete(call: Call) -> tuple[int, None]:
    kind = call.kind()
    call.scope(kind, "write")
    if not call.org.archive(kind, call.params["id"], call.org.app_user):
        known = call.org.store.get(kind.name, call.params["id"], deleted=True)
        if known is None:
            raise _missing(call.params["id"])
    return 204, None


def _merge(call: Call) -> tuple[int, Json]:
    kind, body = call.kind(), call.body()
    call.scope(kind, "write")
    row = call.org.merge_records(
        kind, str(body["primaryObjectId"]), str(body["objectIdToMerge"]), call.org.app_user
    )
    return 200, shapes.record(call.org, kind, row)


def _search(call: Call) -> tuple[int, Json]:
    kind = call.kind()
    call.scope(kind, "read")
    if len(call.raw.decode()) > BODY_LENGTH_MAX:
        words = f"The request body is longer than {BODY_LENGTH_MAX} characters"
        raise HubSpotError(400, words, "VALIDATION_ERROR")
    return 200, search(call.org, kind, call.body())


def _batch_read(call: Call) -> tuple[int, Json]:
    kind = call.kind()
    call.scope(kind, "read")
    return batch.read(call.org, kind, call.body(), archived=call.flag("archived"))


def _batch_create(call: Call) -> tuple[int, Json]:
    kind = call.kind()
    call.scope(kind, "write")
    return batch.create(call.org, kind, call.body(), call.org.app_user)


def _batch_update(call: Call) -> tuple[int, Json]:
    kind = call.kind()
    call.scope(kind, "write")
    return batch.update(call.org, kind, call.body(), call.org.app_user)


# --- associations


def _pair(call: Call, verb: str) -> tuple[ObjectType, ObjectType]:
    pair = call.kind("from"), call.kind("to")
    for kind in pair:
        call.scope(kind, verb)
    return pair


def _associations_read(call: Call) -> tuple[int, Json]:
    pair = _pair(call, "read")
    return batch.associations_read(call.org, *pair, call.body(), dated=call.dated)


def _associations_create(call: Call) -> tuple[int, Json]:
    success = 200 if call.latest else 201
    pair = _pair(call, "write")
    return batch.associations_create(
        call.org, *pair, call.body(), call.org.app_user, success=success
    )


def _associations_archive(call: Call) -> tuple[int, Json | None]:
    pair, started = _pair(call, "write"), call.org.clock()
    batch.associations_archive(call.org, *pair, call.body(), call.org.app_user)
    if call.dated:
        return 200, shapes.batch(started, call.org.clock(), [])
    return 204, None


def _record(call: Call, kind: ObjectType, row: Row) -> Json:
    return shapes.record(
        call.org,
        kind,
        row,
        call.names("properties"),
        call.names("propertiesWithHistory"),
        [call.org.kind(name).name for name in call.names("associations")],
    )


def _missing(record_id: str) -> HubSpotError:
    if record_id.isdigit():
        return HubSpotError(404, "resource not found")
    words = f"Object not found.  objectId are usually numeric. {record_id}"
    return HubSpotError(404, words, "OBJECT_NOT_FOUND")


def _objects(rest: str) -> tuple[str, ...]:
    dated = (f"/crm/objects/{version}/{{type}}{rest}" for version in VERSIONS)
    return f"/crm/v3/objects/{{type}}{rest}", *dated


def _associations(rest: str, batch: str = "batch/") -> tuple[str, ...]:
    tail = f"{{from}}/{{to}}/{batch}{rest}"
    dated = (f"/crm/associations/{version}/{tail}" for version in VERSIONS)
    return f"/crm/v4/associations/{tail}", *dated


def _definitions(noun: str, rest: str = "/{type}") -> tuple[str, ...]:
    return f"/crm/v3/{noun}{rest}", *(f"/crm/{noun}/{version}{rest}" for version in VERSIONS)


_TOKENS = tuple(f"/oauth/{version}/token" for version in ("v1", "v3", *VERSIONS))

#: Method, paths, handler, and beside each where HubSpot's developer documentation describes it;
#: the fixed segments of a path stand before `{id}`.
_ROUTES: tuple[tuple[str, tuple[str, ...], _Handler], ...] = (
    ("POST", _objects("/search"), _search),  # "Search the CRM"
    ("POST", _objects("/merge"), _merge),  # "Using object APIs", merge
    ("POST", _objects("/batch/read"), _batch_read),  # "Using object APIs", retrieve
    ("POST", _objects("/batch/create"), _batch_create),  # "Using object APIs", create
    ("POST", _objects("/batch/update"), _batch_update),  # "Using object APIs", update
    ("GET", _objects(""), _list),  # "Using object APIs", retrieve
    ("POST", _objects(""), _create),  # "Using object APIs", create
    ("GET", _objects("/{id}"), _get),  # "Using object APIs", retrieve
    ("PATCH", _objects("/{id}"), _patch),  # "Using object APIs", update
    ("DELETE", _objects("/{id}"), _delete),  # "Using object APIs", delete
    ("POST", _associations("read"), _associations_read),  # "Associations v4", retrieve
    ("POST", _associations("create"), _associations_create),  # "Associations v4", associate
    ("POST", _associations("archive"), _associations_archive),  # "Associations v4", remove
    ("GET", _definitions("properties"), definitions.properties),  # "Properties guide", retrieve
    ("POST", _definitions("properties"), definitions.property_create),  # "Properties guide", create
    ("POST", _definitions("properties", "/{type}/groups"), definitions.group_create),  # the same
    ("GET", _associations("labels", batch=""), definitions.labels),  # "Associations v4", labels
    ("GET", _definitions("pipelines"), definitions.pipelines),  # "Pipelines guide"
    ("GET", _definitions("owners", ""), definitions.owners),  # "Owners guide"
    ("POST", _TOKENS, definitions.token),  # "Manage OAuth tokens"
    ("GET", ("/account-info/v3/details",), definitions.account),  # "Account information"
    # "Private apps", details of a token
    ("POST", ("/oauth/v2/private-apps/get/access-token-info",), definitions.token_info),
)

"""The control door: be a CRM user, or bad luck, from outside. Plain JSON over loopback HTTP.

Every call carries `Authorization: Bearer <token>`. Refusals are `{"error": "..."}` with 4xx.

| Call | Does |
|---|---|
| `GET /crms` | each stand-in: url, org id, records by object, faults, webhooks on or off |
| `GET /crms/{crm}/objects/{object}` | its records; `?field=value` filters, `sum=FIELD` adds up, `deleted=true` |
| `GET …/{object}/{id}` | one record (deleted too) with its history |
| `POST /crms/{crm}/objects/{object}` | `{"fields", "user"}`: a CRM user adds a record |
| `PATCH …/{object}/{id}` | `{"fields", "user"}`: a CRM user edits it |
| `DELETE …/{object}/{id}?user=` | a CRM user deletes it |
| `POST …/{object}/{id}/merge` | `{"into", "user"}`: a CRM user merges it into another record |
| `GET`, `POST`, `DELETE /crms/{crm}/faults` | list faults, add one (fields of `faults.Fault`), clear all |
| `GET`, `PUT /crms/{crm}/webhooks` | attempts and what waits; `{"on": bool}` |
| `POST /crms/{crm}/tokens/expire` | every access token handed out so far is worth nothing |
| `GET /crms/{crm}/requests?last=N` | the request journal, oldest first |
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, FaultKind
from sandbox.org import SandboxError
from sandbox.records import Json, Row
from sandbox.stand_in import StandIn

#: Largest request body taken, in bytes.
BODY_MAX = 1_000_000

#: Query parameters of a listing that are not field filters.
_LISTING_OPTIONS = {"sum", "deleted"}


class _RefusalError(Exception):
    """Answered to the caller as it stands."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


Handler = Callable[[Request], Awaitable[Response]]


def build_app(crms: Mapping[str, StandIn], token: str) -> Starlette:
    """Build the door over running stand-ins; `token` is what callers must show."""
    door = _Door(crms, token)
    record = "/crms/{crm}/objects/{object}/{id}"
    routes: list[tuple[str, str, Handler]] = [
        ("GET", "/crms", door.overview),
        ("GET", "/crms/{crm}/objects/{object}", door.list_records),
        ("POST", "/crms/{crm}/objects/{object}", door.add_record),
        ("GET", record, door.show_record),
        ("PATCH", record, door.edit_record),
        ("DELETE", record, door.remove_record),
        ("POST", record + "/merge", door.merge_record),
        ("GET", "/crms/{crm}/faults", door.list_faults),
        ("POST", "/crms/{crm}/faults", door.add_fault),
        ("DELETE", "/crms/{crm}/faults", door.clear_faults),
        ("GET", "/crms/{crm}/webhooks", door.show_webhooks),
        ("PUT", "/crms/{crm}/webhooks", door.switch_webhooks),
        ("POST", "/crms/{crm}/tokens/expire", door.expire_tokens),
        ("GET", "/crms/{crm}/requests", door.list_requests),
    ]
    return Starlette(
        routes=[Route(path, door.guarded(act), methods=[method]) for method, path, act in routes]
    )


class _Door:
    def __init__(self, crms: Mapping[str, StandIn], token: str) -> None:
        self._crms, self._expected = crms, f"Bearer {token}".encode()

    def guarded(self, act: Handler) -> Handler:
        """Let only holders of the token in, and word every refusal as JSON."""

        async def endpoint(request: Request) -> Response:
            shown = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(shown, self._expected):
                return _refused(401, "show the control token: Authorization: Bearer <token>")
            try:
                return await act(request)
            except _RefusalError as refusal:
                return _refused(refusal.status, refusal.message)
            except SandboxError as error:
                return _refused(422, str(error))

        return endpoint

    async def overview(self, _: Request) -> Response:
        return JSONResponse([self._describe(stand_in) for stand_in in self._crms.values()])

    async def list_records(self, request: Request) -> Response:
        """List the records that fit; `sum` is exact, as text, over those that fit."""
        options = request.query_params
        wanted = {name: value for name, value in options.items() if name not in _LISTING_OPTIONS}
        rows = self._one(request).org.store.rows(
            request.path_params["object"], deleted=options.get("deleted") == "true"
        )
        fitting = [
            row for row in rows if all(_text(row.fields.get(n)) == v for n, v in wanted.items())
        ]
        answer: dict[str, Any] = {"count": len(fitting), "records": [_record(r) for r in fitting]}
        if summed := options.get("sum"):
            answer["sum"] = str(sum((_number(row, summed) for row in fitting), Decimal(0)))
        return JSONResponse(answer)

    async def show_record(self, request: Request) -> Response:
        row = self._row(request)
        history = [{**asdict(change), "at": change.at.isoformat()} for change in row.history]
        return JSONResponse({**_record(row), "history": history})

    async def add_record(self, request: Request) -> Response:
        body = await _body(request, {"fields": dict, "user": str})
        row = self._one(request).org.add(
            request.path_params["object"], body["fields"], body["user"]
        )
        return JSONResponse(_record(row), status_code=201)

    async def edit_record(self, request: Request) -> Response:
        body = await _body(request, {"fields": dict, "user": str})
        row = self._row(request)
        edited = self._one(request).org.edit(row.object, row.id, body["fields"], body["user"])
        return JSONResponse(_record(edited))

    async def remove_record(self, request: Request) -> Response:
        row = self._row(request)
        user = request.query_params.get("user")
        if not user:
            raise _RefusalError(422, "say who deletes the record: ?user=NAME")
        self._one(request).org.remove(row.object, row.id, user)
        return Response(status_code=204)

    async def merge_record(self, request: Request) -> Response:
        body = await _body(request, {"into": str, "user": str})
        row = self._row(request)
        self._one(request).org.merge(row.object, row.id, body["into"], body["user"])
        return Response(status_code=204)

    async def list_faults(self, request: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self._one(request).faults.standing()])

    async def add_fault(self, request: Request) -> Response:
        body = await _body(request, {"kind": str})
        known = {field.name for field in fields(Fault)}
        if unknown := sorted(body.keys() - known):
            raise _RefusalError(
                422, f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        try:
            fault = Fault(**{**body, "kind": FaultKind(body["kind"])})
            self._one(request).faults.add(fault)
        except (ValueError, TypeError, re.error) as error:
            raise _RefusalError(422, f"not a fault: {error}") from error
        return JSONResponse(asdict(fault), status_code=201)

    async def clear_faults(self, request: Request) -> Response:
        self._one(request).faults.clear()
        return Response(status_code=204)

    async def show_webhooks(self, request: Request) -> Response:
        sender = self._one(request).webhooks
        attempts = [{**asdict(a), "at": a.at.isoformat()} for a in sender.attempts()]
        return JSONResponse({"on": sender.on, "waiting": sender.waiting(), "attempts": attempts})

    async def switch_webhooks(self, request: Request) -> Response:
        body = await _body(request, {"on": bool})
        sender = self._one(request).webhooks
        try:
            sender.switch(on=body["on"])
        except ValueError as error:
            raise _RefusalError(409, str(error)) from error
        return JSONResponse({"on": sender.on})

    async def expire_tokens(self, request: Request) -> Response:
        self._one(request).org.expire_tokens()
        return Response(status_code=204)

    async def list_requests(self, request: Request) -> Response:
        journal = self._one(request).journal
        last = request.query_params.get("last", "100")
        if not last.isdecimal():
            raise _RefusalError(422, "last must be a number of requests")
        entries = [{**asdict(e), "at": e.at.isoformat()} for e in journal.last(int(last))]
        return JSONResponse({"total": journal.total, "requests": entries})

    def _one(self, request: Request) -> StandIn:
        crm = request.path_params["crm"]
        if crm not in self._crms:
            raise _RefusalError(404, f"no CRM {crm!r}; there are {', '.join(self._crms)}")
        return self._crms[crm]

    def _row(self, request: Request) -> Row:
        object_name, record_id = request.path_params["object"], request.path_params["id"]
        stand_in = self._one(request)
        row = stand_in.org.store.get(object_name, record_id, deleted=True)
        if row is None:
            raise _RefusalError(404, f"{stand_in.crm} has no {object_name} record {record_id!r}")
        return row

    def _describe(self, stand_in: StandIn) -> dict[str, object]:
        store = stand_in.org.store
        return {
            "crm": stand_in.crm,
            "url": stand_in.url,
            "org_id": stand_in.org.org_id,
            "objects": {name: len(store.rows(name)) for name in store.objects()},
            "faults": [asdict(fault) for fault in stand_in.faults.standing()],
            "webhooks": stand_in.webhooks.on,
        }


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)


async def _body(request: Request, needs: Mapping[str, type]) -> dict[str, Any]:
    """Read a JSON object that has at least these members, of these types."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_MAX:
            raise _RefusalError(413, f"a body may have {BODY_MAX} bytes")
    try:
        body = json.loads(content or b"{}")
    except ValueError as error:
        raise _RefusalError(400, f"the body is not JSON: {error}") from error
    for name, kind in needs.items():
        if not isinstance(body, dict) or not isinstance(body.get(name), kind):
            raise _RefusalError(422, f"the body must be an object with {name!r} ({kind.__name__})")
    return dict(body)


def _record(row: Row) -> dict[str, object]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(row).items()
        if name != "history"
    }


def _text(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    return str(value)


def _number(row: Row, field: str) -> Decimal:
    text = _text(row.fields.get(field)) or "0"
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise _RefusalError(422, f"{field} of record {row.id} is no number: {text!r}") from error

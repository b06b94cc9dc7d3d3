"""The Salesforce REST API of the stand-in, as a Starlette app over the record engine.

A route is here because the connector or a client that verifies the stand-in sends it
(simple-salesforce, jsforce, aiosalesforce); everything else answers 501. `Date` is the engine's
clock, so serve it without the server's own Date header.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox.salesforce import answers, bodies
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.handlers import Call, Handlers
from sandbox.salesforce.sessions import OAuthError

VERSION_OLDEST, VERSION_NEWEST = 31, 68
#: REST API Developer Guide, "Status Codes and Error Responses", 414 and 431: bytes of the address,
#: and of address and headers together.
HEAD_MAX = 16_384
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_Handler = Callable[[Call], object]


def build_app(org: SalesforceOrg) -> Starlette:
    """Serve one org."""
    door = _Door(org)
    routes = [
        Route(f"/services/data/v{{version}}{path}{tail}", door.guarded(handler), methods=methods)
        for methods, path, handler in _routes(Handlers(org))
        for tail in ("", "/")
    ]
    # OAuth Authorization Flows: client credentials, JWT bearer, refresh token.
    token = Route("/services/oauth2/token", door.token, methods=["POST"])
    return Starlette(
        routes=[token, *routes, Route("/{rest:path}", door.not_played, methods=_METHODS)]
    )


def _routes(api: Handlers) -> list[tuple[list[str], str, _Handler]]:
    """List methods, path and handler of each resource, under its name in the vendor's guides."""
    record, key = "/sobjects/{object}/{id}", "/sobjects/{object}/{field}/{value}"
    many, ingest, queries = "/composite/sobjects", "/jobs/ingest", "/jobs/query"
    return [
        # REST API Developer Guide, "Limits".
        (["GET"], "/limits", api.limits),
        # "Describe Global" and "sObject Describe".
        (["GET"], "/sobjects", api.describe_global),
        (["GET"], "/sobjects/{object}/describe", api.describe),
        # "Query", "QueryAll" and "Query More Results".
        (["GET"], "/query", api.query),
        (["GET"], "/queryAll", api.query_all),
        (["GET"], "/query/{cursor}", api.query_more),
        # "Search".
        (["GET"], "/search", api.search),
        # "sObject Get Updated" and "sObject Get Deleted".
        (["GET"], "/sobjects/{object}/updated", api.updated),
        (["GET"], "/sobjects/{object}/deleted", api.deleted),
        # "sObject Basic Information", "sObject Rows" and "sObject Rows by External ID".
        (["POST"], "/sobjects/{object}", api.create),
        (["GET", "PATCH", "DELETE"], record, api.row),
        (["GET", "PATCH"], key, api.by_key),
        # "Composite".
        (["POST"], "/composite", api.composite),
        # "sObject Collections", and its retrieve and upsert.
        (["POST", "PATCH", "DELETE"], many, api.collections),
        (["POST"], f"{many}/{{object}}", api.retrieve),
        (["PATCH"], f"{many}/{{object}}/{{field}}", api.upsert_many),
        # Bulk API 2.0 Developer Guide, "Create a Job", "Get Information About an Ingest Job",
        # "Upload Job Data", "Upload Complete" and "Get Job Successful Record Results" to "Failed".
        (["POST"], ingest, api.open_job),
        (["GET", "PATCH"], f"{ingest}/{{id}}", api.job),
        (["PUT"], f"{ingest}/{{id}}/batches", api.upload),
        (["GET"], f"{ingest}/{{id}}/{{kind}}", api.job_rows),
        # "Create a Query Job", "Get Information About a Query Job", "Get Results for a Query Job".
        (["POST"], queries, api.open_query),
        (["GET"], f"{queries}/{{id}}", api.job),
        (["GET"], f"{queries}/{{id}}/results", api.query_rows),
    ]


class _Door:
    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org

    def guarded(self, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
        """Check length, token, version and quota, run the handler off the event loop, word refusals."""

        async def answer(request: Request) -> Response:
            too_long = _too_long(request)
            if too_long is not None:
                return too_long
            response = await self._answer(handler, request)
            # "Limit Info Header": with every answer of the API, refusals too.
            used, allowed = self._org.calls_today, self._org.calls_max
            response.headers["Sforce-Limit-Info"] = f"api-usage={used}/{allowed}"
            return response

        return answer

    async def token(self, request: Request) -> Response:
        """Sign in, by any of the flows of `sessions.py`."""
        org = self._org
        try:
            form = dict(parse_qsl((await bodies.read(request)).decode("utf-8", "replace")))
            grant = org.sessions.sign_in(form, org.store.clock())
        except SalesforceError as refusal:
            return answers.refused(refusal, org)
        except OAuthError as no:
            told = {"error": no.error, "error_description": no.description}
            return answers.as_json(told, 400, org)
        origin = f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
        rotated = {"refresh_token": grant.refresh_token} if grant.refresh_token else {}
        signed_in = {
            **rotated,
            "access_token": grant.access_token,
            "signature": grant.signature,
            "scope": "api",
            "instance_url": origin,
            "id": f"{origin}/id/{org.org_id}/{org.integration_user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(grant.issued_at.timestamp() * 1000)),
        }
        return answers.as_json(signed_in, 200, org)

    async def not_played(self, request: Request) -> Response:
        """Say that this part of the API is not here."""
        where = f"{request.method} {request.url.path}"
        return answers.not_played(f"The Salesforce stand-in does not play {where}", self._org)

    async def _answer(self, handler: _Handler, request: Request) -> Response:
        try:
            self._admit(request)
            self._org.count_call()
            body = await bodies.read(request)
            result = await run_in_threadpool(handler, Call(request, body))
        except SalesforceError as refusal:
            return answers.refused(refusal, self._org, request.path_params["version"])
        except Unsupported as missing:
            return answers.not_played(str(missing), self._org)
        return result if isinstance(result, Response) else answers.as_json(result, 200, self._org)

    def _admit(self, request: Request) -> None:
        self._org.sessions.check(request.headers.get("authorization", ""))
        whole, _, part = request.path_params["version"].partition(".")
        if not whole.isdigit() or part != "0" or int(whole) > VERSION_NEWEST:
            raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
        if int(whole) < VERSION_OLDEST:
            raise SalesforceError(
                "UNSUPPORTED_API_VERSION", "The requested API version is retired", status=410
            )


def _too_long(request: Request) -> Response | None:
    """Refuse an address, or address and headers, of more bytes than the edge of Salesforce takes.

    What stands in front of the API answers: no JSON, nothing is counted.
    """
    query = request.scope["query_string"]
    address = len(request.scope["raw_path"]) + len(query) + bool(query)
    if address > HEAD_MAX:
        return PlainTextResponse("URI Too Long", 414)
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in request.headers.raw)
    if address + headers > HEAD_MAX:
        return PlainTextResponse("Request Header Fields Too Large", 431)
    return None

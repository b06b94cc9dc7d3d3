"""The HTTP door of the Dynamics 365 stand-in: sign-in and Web API behind the protection limits.

Sources: Microsoft identity platform, "OAuth 2.0 client credentials flow" and "OpenID Connect"
(discovery, token); Dataverse developer guide, "Compose HTTP requests and handle errors" (the root of
the API, headers, refusals) and "Service protection API limits". What is below the root is routed in
`service.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl
from uuid import NAMESPACE_URL, uuid5

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.dynamics365 import entra
from sandbox.dynamics365.calls import API, URL_MAX, Answer, Call, refusal
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.errors import WebApiError
from sandbox.dynamics365.protection import Protection
from sandbox.dynamics365.service import WebApi


async def _body(request: Request, most: int) -> bytes:
    """Read a body; one that is too long is read to its end, or its sender would see no answer."""
    body, length = bytearray(), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= most:
            body += chunk
    if length > most:
        raise HTTPException(413, "The request is too large.")
    return bytes(body)


def _require_short(request: Request) -> None:
    if len(str(request.url)) > URL_MAX:
        raise WebApiError(400, "0x80060888", "The address of the request is too long.")


def _response(answer: Answer) -> Response:
    headers = {"OData-Version": "4.0", "Cache-Control": "no-cache", **answer.headers}
    if isinstance(answer.body, str):
        headers.setdefault("Content-Type", "text/plain")
    elif answer.body is not None:
        headers.setdefault("Content-Type", "application/json; odata.metadata=minimal")
    return Response(answer.encoded(), answer.status, headers)


def build_app(org: DynamicsOrg) -> Starlette:
    """Build the app: identity provider and Web API on one address."""
    api, protection = WebApi(org), Protection(org.clock, org.limits)

    async def body_of(request: Request) -> bytes:
        return await _body(request, org.behaviour.body_max)

    def base(request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}"

    async def discovery(request: Request) -> Response:
        return JSONResponse(entra.discovery(base(request), request.path_params["tenant"]))

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await body_of(request)).decode(), keep_blank_values=True))
        status, answered = org.entra.answer(request.path_params["tenant"], form, str(request.url))
        return JSONResponse(answered, status)

    def signed_in(headers: dict[str, str]) -> str:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise WebApiError(401, "", "Authentication is required.")
        return org.caller(given)

    def answer(request: Request, body: bytes) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            _require_short(request)
            user_id = signed_in(headers)
            with protection.admitted() as (requests_left, seconds_left):
                call = Call(
                    method=request.method,
                    path=request.path_params["path"],
                    query=dict(request.query_params),
                    headers=headers,
                    body=body,
                    user_id=user_id,
                    root=f"{base(request)}{API}",
                )
                response = _response(api.handle(call))
        except WebApiError as error:
            refused = _response(refusal(error))
            if error.status == 401:
                authority = f"{base(request)}/{org.credentials['tenant_id']}/oauth2/authorize"
                refused.headers["WWW-Authenticate"] = (
                    f"Bearer authorization_uri={authority}, resource_id={base(request)}/"
                )
            return refused
        response.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] = str(requests_left)
        response.headers["x-ms-ratelimit-time-remaining-xrm-requests"] = f"{seconds_left:,.2f}"
        response.headers["x-ms-service-request-id"] = str(
            uuid5(NAMESPACE_URL, f"{org.org_id}:{requests_left}:{org.clock().isoformat()}")
        )
        return response

    async def web_api(request: Request) -> Response:
        return await run_in_threadpool(answer, request, await body_of(request))

    async def elsewhere(request: Request) -> Response:
        message = f"The stand-in does not implement {request.method} {request.url.path}."
        return _response(refusal(WebApiError(501, "0x80040315", message)))

    verbs = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    routes: list[tuple[str, Callable[[Request], Awaitable[Response]], list[str]]] = [
        ("/{tenant}/v2.0/.well-known/openid-configuration", discovery, ["GET"]),
        ("/{tenant}/oauth2/v2.0/token", token, ["POST"]),
        (API + "{path:path}", web_api, verbs),
        ("/{path:path}", elsewhere, verbs),
    ]
    return Starlette(routes=[Route(path, end, methods=how) for path, end, how in routes])

"""A Dynamics 365 stand-in without a server, and a clock to turn."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sandbox.dynamics365.calls import API, Answer, Call
from sandbox.dynamics365.engine import DynamicsOrg
from sandbox.dynamics365.service import WebApi
from sandbox.records import Event

CREDENTIALS = {
    "tenant_id": "11111111-2222-4333-8444-555555555555",
    "client_id": "app",
    "client_secret": "a secret",
    "webhook_secret": "another secret",
}
ROOT = f"https://org.example{API}"
REP = "Sales Rep East"


class Environment:
    """An org, its API, and a clock to turn."""

    def __init__(self) -> None:
        self.now = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
        self.org = DynamicsOrg(lambda: self.now, CREDENTIALS)
        self.api = WebApi(self.org)
        self.events: list[Event] = []
        self.org.store.on_event(self.events.append)

    def call(
        self,
        method: str,
        address: str,
        body: object = None,
        **headers: str,
    ) -> Answer:
        split = urlsplit(address.removeprefix(ROOT))
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        return self.api.handle(
            Call(
                method=method,
                path=unquote(split.path),
                query=dict(parse_qsl(split.query, keep_blank_values=True)),
                headers={name.replace("_", "-"): value for name, value in headers.items()},
                body=raw,
                user_id=self.org.integration_user_id,
                root=ROOT,
            )
        )

    def account(self, **fields: Any) -> str:
        return self.org.add("account", {"name": "Acme", **fields}, REP).id

    def deal(self, key: str | None = None, **fields: Any) -> str:
        named = {"name": "Deal", **({"dr_dealregid": key} if key else {}), **fields}
        return self.org.add("opportunity", named, REP).id


def body(answer: Answer) -> Any:
    return json.loads(answer.encoded())


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, body(answer)["error"]["code"]

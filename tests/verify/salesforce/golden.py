"""The keys of each kind of answer, as real orgs and the vendor's guides have them (`golden.json`).

A kind names where its keys were seen. `also` are keys of later versions than those fixtures are of.
What the stand-in answers must have all of `keys`, and nothing beyond both.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from sandbox.records import Json
from sandbox.salesforce.seed import SALES_REPS
from tests.verify.differences import Differs
from tests.verify.salesforce.environment import Environment

_DATA = "/services/data/v67.0"
_GOLDEN = Path(__file__).with_name("golden.json")
_DEAL: dict[str, Json] = {
    "Name": "A golden deal",
    "StageName": "Prospecting",
    "CloseDate": "2027-06-30",
}


def check(environment: Environment) -> None:
    """Ask for every kind of answer and compare its keys."""
    golden: dict[str, dict[str, Any]] = json.loads(_GOLDEN.read_text())
    with requests.Session() as session:
        asked = {**_sign_ins(environment, session), **_answers(environment, session)}
        if golden.keys() != asked.keys():
            raise Differs(f"asked and golden differ: {sorted(golden.keys() ^ asked.keys())}")
        for kind, ask in asked.items():
            seen = set(_paths(ask().json()))
            keys, also = set(golden[kind]["keys"]), set(golden[kind].get("also", ()))
            if missing := sorted(keys - seen):
                raise Differs(f"{kind} lacks {', '.join(missing)}")
            if unknown := sorted(seen - keys - also):
                raise Differs(f"{kind} has {', '.join(unknown)}, which Salesforce has not")


def _sign_ins(
    environment: Environment, session: requests.Session
) -> Mapping[str, Callable[[], requests.Response]]:
    credentials, org = environment.settings.credentials, environment.org
    app = {name: credentials[name] for name in ("client_id", "client_secret")}
    session.verify, session.trust_env = environment.settings.ca_file, False
    url = f"{environment.settings.base_url}/services/oauth2/token"

    def sign_in(grant: str, **more: str) -> requests.Response:
        return session.post(url, data={**app, "grant_type": grant, **more}, timeout=10)

    token = sign_in("client_credentials").json()["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"
    refresh_token = org.sessions.authorize(rotating=False)
    return {
        "a token": lambda: sign_in("client_credentials"),
        "a token for a refresh token": lambda: sign_in(
            "refresh_token", refresh_token=refresh_token
        ),
        "a sign-in that is refused": lambda: sign_in("refresh_token", refresh_token="none"),
    }


def _answers(
    environment: Environment, session: requests.Session
) -> Mapping[str, Callable[[], requests.Response]]:
    org, rep = environment.org, SALES_REPS[0]

    def call(
        method: str, path: str, payload: object = None, **params: str
    ) -> Callable[[], requests.Response]:
        url = environment.settings.base_url + _DATA + path
        small = {"Sforce-Query-Options": "batchSize=200"}
        return lambda: session.request(
            method, url, json=payload, params=params, headers=small, timeout=10
        )

    for number in range(201):
        org.add("Account", {"Name": f"Golden {number}"}, rep)
    deal, gone = (org.add("Opportunity", _DEAL, rep).id for _ in range(2))
    org.remove("Opportunity", gone, rep)
    for _ in range(2):
        org.add("Contact", {"LastName": "Buyer", "Erp_Number__c": "golden"}, rep)
    now = org.store.clock()
    span = {
        name: (now + timedelta(minutes=minutes)).isoformat()
        for name, minutes in (("start", -60), ("end", 2))
    }
    typed = {"attributes": {"type": "Opportunity"}, **_DEAL}
    row = f"/sobjects/Opportunity/{deal}"
    patch = {"method": "PATCH", "url": _DATA + row, "referenceId": "one", "body": {"Amount": 1}}
    job = call("POST", "/jobs/ingest", {"object": "Opportunity", "operation": "insert"})
    return {
        "the objects": call("GET", "/sobjects"),
        "an object": call("GET", "/sobjects/Opportunity/describe"),
        "a page of a query": call(
            "GET", "/query", q="SELECT Name FROM Account WHERE Name LIKE 'Golden %'"
        ),
        "the last page of a query": call(
            "GET", "/query", q="SELECT Name FROM Account WHERE Name = 'Golden 1'"
        ),
        "a query that is refused": call("GET", "/query", q="SELECT Name FROM Nothing"),
        "a record": call("GET", row, fields="Id,Name"),
        "a search": call("GET", "/search", q="FIND {golden} RETURNING Opportunity"),
        "a create": call("POST", "/sobjects/Opportunity", _DEAL),
        "a create that is refused": call("POST", "/sobjects/Opportunity", {"Name": "x"}),
        "an upsert": call("PATCH", f"/sobjects/Opportunity/Dealreg_Id__c/{uuid.uuid4()}", _DEAL),
        "an upsert of several": call("PATCH", "/sobjects/Contact/Erp_Number__c/golden", {}),
        "an unknown key": call("GET", "/sobjects/Opportunity/Nothing__c/x"),
        "what was updated": call("GET", "/sobjects/Opportunity/updated", **span),
        "what was deleted": call("GET", "/sobjects/Opportunity/deleted", **span),
        "many creates": call("POST", "/composite/sobjects", {"records": [typed]}),
        "many creates that are refused": call(
            "POST", "/composite/sobjects", {"records": [typed | {"Name": ""}]}
        ),
        "a composite": call("POST", "/composite", {"compositeRequest": [patch]}),
        "the records of a duplicate rule": lambda: _second_lead(environment, call),
        "the quota": call("GET", "/limits"),
        "a new bulk job": job,
        "a bulk job": call("GET", f"/jobs/ingest/{job().json()['id']}"),
    }


def _second_lead(
    environment: Environment, call: Callable[..., Callable[[], requests.Response]]
) -> requests.Response:
    lead = {"LastName": "Buyer", "Company": "Acme", "Email": f"{uuid.uuid4()}@acme.example"}
    create = call("POST", "/sobjects/Lead", lead)
    create()
    environment.org.rules.block_duplicates("Lead", "Email")
    try:
        return create()
    finally:
        environment.org.rules.clear()


def _paths(answer: Any, before: str = "") -> Iterator[str]:
    """Name every key by its path; `[]` stands for the entries of a list."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            path = f"{before}.{key}" if before else key
            yield path
            yield from _paths(value, path)
    elif isinstance(answer, list):
        for entry in answer:
            if isinstance(entry, dict):
                yield from _paths(entry, f"{before}[]")
            else:
                yield f"{before}[]"

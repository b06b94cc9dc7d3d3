"""The connector through a Prism proxy: every call and every answer held against OpenAPI files.

Prism passes everything on and tells in a header what did not fit. The files are one document
here, because a proxy takes one. They are stricter than HubSpot in the places of `ALLOWED`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.hubspot.connector import HubSpotConnector
from connectors.port import CreateItem, Refused, UpdateItem, Written
from registration_core.contracts import Condition, FieldSchema, FieldType, Value
from sandbox.serving import now
from tests.verify.differences import Differs, expect
from tests.verify.hubspot.portal import Portal

_HERE = Path(__file__).parent
_PROXY = _HERE / "node_modules/.bin/prism"
_STARTED_WITHIN_SECONDS = 60.0
_COMPANY = "associations.companies"
_CUSTOM = "2-41750338"

#: What the files demand and HubSpot does not; a value that is null is allowed for in the files.
ALLOWED = (
    # A sort may be an object, where the files say text.
    re.compile(r"Request body property sorts\.\d+ must be string"),
    # Errors leave out what would say nothing; the error of an unknown id has no category.
    re.compile(r"Response body( property errors\.\d+)? must have required property"),
    # v4 gives association ids as numbers.
    re.compile(r"toObjectId must be string"),
)


def check(portal: Portal) -> None:
    """Drive the connector through the proxy; whatever does not fit is a difference."""
    with tempfile.TemporaryDirectory() as folder, _proxy(portal, Path(folder)) as url:
        settings = replace(portal.settings, base_url=url, ca_file="", api_version="v3")
        connector = HubSpotConnector(settings, now)
        seen: list[str] = []
        _listen(connector, seen)
        _drive(connector, portal)
    expect(len(seen) > 15, True, "calls through the proxy")
    wrong = [each for each in dict.fromkeys(filter(None, seen)) if not _allowed(each)]
    if wrong:
        raise Differs("\n".join(wrong))


def _allowed(violation: str) -> bool:
    return any(pattern.search(violation) for pattern in ALLOWED)


def _listen(connector: HubSpotConnector, seen: list[str]) -> None:
    """Note what Prism says of each call, an empty text for nothing."""
    request = connector._gateway._request

    def heard(method: str, url: str, content: bytes | None, headers: Any) -> Any:
        raw = request(method, url, content, headers)
        told = json.loads(raw.headers.get("sl-violations", "[]"))
        seen.append("")
        path = url.partition("//")[2].partition("/")[2].partition("?")[0]
        seen.extend(f"{method} /{path}: {each.get('message')}" for each in told)
        return raw

    connector._gateway._request = heard  # type: ignore[method-assign]


def _drive(connector: HubSpotConnector, portal: Portal) -> None:
    """Make every call that the connector knows, the refused and the empty ones too."""
    company = portal.org.store.rows("companies")[0].id
    connector.describe("deals")
    fields = ("dealname", "amount", "closedate", "dealreg_id", _COMPANY)
    good, bad = str(uuid.uuid4()), str(uuid.uuid4())
    made, refused = connector.create(
        "deals", "dealreg_id", [_item(good, **{_COMPANY: company}), _item(bad, dealstage="none")]
    )
    assert isinstance(made, Written)
    assert isinstance(refused, Refused)
    connector.create("deals", "dealreg_id", [_item(good)])
    when = datetime(2027, 6, 30, tzinfo=UTC)
    changes: dict[str, Value] = {"closedate": when, "amount": None, _COMPANY: None}
    connector.update("deals", [UpdateItem(made.record_id, changes)])
    connector.update("deals", [UpdateItem("99999999999", {"dealname": "Nobody"})])
    connector.read("deals", [made.record_id, "99999999999"], fields)
    connector.find("deals", "dealreg_id", [good, bad], fields)
    connector.select("deals", [Condition("dealname", ("Prism",))], fields, 10)
    connector.count("companies", [Condition("house_account", (True,))])
    page = connector.changes("companies", ("name",), None)
    while page.more:
        page = connector.changes("companies", ("name",), page.cursor)
    connector.changes("companies", ("name",), page.cursor)
    connector.history("deals", [made.record_id], ["dealname"], datetime(2020, 1, 1, tzinfo=UTC))
    _drive_custom(connector, company)
    connector.create_fields(
        "deals",
        [
            FieldSchema("by_prism", FieldType.TEXT, unique=True),
            FieldSchema("prism_kind", FieldType.PICKLIST, options=("glass", "water")),
        ],
    )
    assert "by_prism" in connector.describe("deals", fresh=True).fields


def _drive_custom(connector: HubSpotConnector, company: str) -> None:
    """Make, move and read a custom object, whose types of association the account alone knows."""
    key = str(uuid.uuid4())
    fields: dict[str, Value] = {"dealreg_id": key, "registration_name": "Prism", _COMPANY: company}
    (made,) = connector.create(_CUSTOM, "dealreg_id", [CreateItem(key, fields)])
    assert isinstance(made, Written), made
    for far in (None, company):
        (moved,) = connector.update(_CUSTOM, [UpdateItem(made.record_id, {_COMPANY: far})])
        assert isinstance(moved, Written), moved
    found = connector.find(_CUSTOM, "dealreg_id", [key], ["registration_name", _COMPANY])
    expect(found[key].fields[_COMPANY], company, "the company of a custom object")


def _item(key: str, **fields: Value) -> CreateItem:
    named: dict[str, Value] = {
        "dealname": "Prism", "pipeline": "default", "dealstage": "appointmentscheduled",
        "dealreg_id": key,
    }  # fmt: skip
    return CreateItem(key, named | fields)


@contextmanager
def _proxy(portal: Portal, folder: Path) -> Iterator[str]:
    document = folder / "hubspot.json"
    document.write_text(json.dumps(_joined()))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(_PROXY), "proxy", str(document), portal.settings.base_url, "-p", str(port)]
    log = (folder / "prism.log").open("w")
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": portal.settings.ca_file}
    process = subprocess.Popen(
        [*command, "-h", "127.0.0.1"], env=environment, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        _await(port, process, folder / "prism.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + _STARTED_WITHIN_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise Differs(f"Prism did not start: {log.read_text()[-500:]}")


def _joined() -> dict[str, Any]:
    """Make one document of the files; each keeps its own models under a name of its own."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    for file in sorted((_HERE / "specs").glob("*.json")):
        area = re.sub(r"\W", "", file.stem.rpartition("-")[2])
        text = file.read_text().replace("#/components/schemas/", f"#/components/schemas/{area}_")
        document = json.loads(text, object_hook=_nullable)
        whole = whole or document
        paths |= document["paths"]
        components = document["components"]
        schemas |= {f"{area}_{name}": model for name, model in components["schemas"].items()}
    return {**whole, "paths": paths, "components": {**whole["components"], "schemas": schemas}}


def _nullable(part: dict[str, Any]) -> dict[str, Any]:
    """Let values of properties, and labels that are none, be null as they are on the wire."""
    values = part.get("additionalProperties")
    if isinstance(values, dict) and values.get("type") == "string":
        values["nullable"] = True
    label = part.get("label")
    if isinstance(label, dict) and label.get("type") == "string":
        label["nullable"] = True
    return part

"""What each route of the stand-in answers: a request that was admitted, turned into the engine's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.salesforce import answers, bodies, composite, rows, sosl
from sandbox.salesforce.bulk import BulkJobs
from sandbox.salesforce.collections import (
    create_records,
    delete_records,
    update_records,
    upsert_records,
)
from sandbox.salesforce.describe import describe_global, describe_object
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.objects import OBJECTS
from sandbox.salesforce.reading import PAGE_SIZE_MAX, Page
from sandbox.salesforce.schema import SalesforceObject

_BATCH_SIZE = re.compile(r"batchSize=(\d+)")


@dataclass(frozen=True)
class Call:
    """A request that was admitted, with its body."""

    request: Request
    body: bytes


class Handlers:
    """Handlers of one org; an answer that is no `Response` goes out as JSON with status 200."""

    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org
        self._jobs = BulkJobs(org)

    def limits(self, _call: Call) -> object:
        """Answer the daily quota."""
        allowed = self._org.calls_max
        used = self._org.calls_today
        return {"DailyApiRequests": {"Max": allowed, "Remaining": allowed - used}}

    def describe(self, call: Call) -> object:
        """Describe an object."""
        thing = self._object(call)
        types = self._org.rules.describe_record_types(thing)
        return describe_object(thing, call.request.path_params["version"], types)

    def describe_global(self, call: Call) -> object:
        """List the objects."""
        seen = [self._org.object_named(name) for name in OBJECTS]
        return describe_global([o for o in seen if o], call.request.path_params["version"])

    def create(self, call: Call) -> object:
        """Create one record."""
        by, headers = self._org.integration_user_id, call.request.headers
        return self._single(
            rows.create(self._org, self._object(call), bodies.json_of(call.body), by, headers)
        )

    def row(self, call: Call) -> object:
        """Read, change or delete one record."""
        org, thing, by = self._org, self._object(call), self._org.integration_user_id
        record_id, version = (call.request.path_params[n] for n in ("id", "version"))
        match call.request.method:
            case "PATCH":
                body, headers = bodies.json_of(call.body), call.request.headers
                return self._single(rows.change(org, thing, record_id, body, by, headers))
            case "DELETE":
                return self._single(rows.delete(org, thing, record_id, by))
        names = call.request.query_params.get("fields", "")
        return self._single(rows.read(org, thing, record_id, names, version))

    def by_key(self, call: Call) -> object:
        """Read (GET) or upsert (PATCH) one record by an external id."""
        org, thing, asked = self._org, self._object(call), call.request.path_params
        key, version = (asked["field"], asked["value"]), asked["version"]
        if call.request.method == "PATCH":
            return self._single(rows.upsert(org, thing, key, bodies.json_of(call.body), version))
        return self._single(rows.read_by_key(org, thing, key, version))

    def updated(self, call: Call) -> object:
        """List ids that changed within a span (sObject Get Updated)."""
        return self._org.reader.updated(self._object(call), *_span(call))

    def deleted(self, call: Call) -> object:
        """List ids that were deleted within a span (sObject Get Deleted)."""
        return self._org.reader.deleted(self._object(call), *_span(call))

    def query(self, call: Call) -> object:
        """Run a query without deleted records."""
        return self._query(call, deleted=False)

    def query_all(self, call: Call) -> object:
        """Run a query with deleted and merged-away records."""
        return self._query(call, deleted=True)

    def query_more(self, call: Call) -> object:
        """Answer the next page of a query."""
        page = self._org.reader.more(call.request.path_params["cursor"])
        return _page_json(page, call.request.path_params["version"])

    def search(self, call: Call) -> object:
        """Look words up in several objects."""
        asked = call.request.query_params.get("q", "")
        return sosl.search(self._org, asked, call.request.path_params["version"])

    def collections(self, call: Call) -> object:
        """Create (POST), update (PATCH) or delete (DELETE) up to 200 records."""
        if call.request.method == "DELETE":
            ids = call.request.query_params.get("ids", "")
            return delete_records(self._org, ids, self._org.integration_user_id)
        write = create_records if call.request.method == "POST" else update_records
        by, headers = self._org.integration_user_id, call.request.headers
        return write(self._org, bodies.json_of(call.body), by, headers)

    def composite(self, call: Call) -> object:
        """Carry out up to 25 requests."""
        return composite.run(self._org, bodies.json_of(call.body), self._org.integration_user_id)

    def retrieve(self, call: Call) -> object:
        """Read up to 2,000 records by id."""
        asked = bodies.json_of(call.body)
        if not isinstance(asked, dict) or not isinstance(asked.get("ids"), list):
            raise SalesforceError("JSON_PARSER_ERROR", "The request body has no list of ids")
        ids = [str(record_id) for record_id in asked["ids"]]
        names = [str(name) for name in asked.get("fields", [])]
        version = call.request.path_params["version"]
        return self._org.reader.retrieve(self._object(call), ids, names, version)

    def upsert_many(self, call: Call) -> object:
        """Upsert up to 200 records by an external id."""
        thing, field = self._object(call), call.request.path_params["field"]
        by = self._org.integration_user_id
        return upsert_records(self._org, thing.name, field, bodies.json_of(call.body), by)

    def open_job(self, call: Call) -> object:
        """Open a bulk ingest job."""
        return self._jobs.create_ingest(bodies.mapping_of(call.body))

    def open_query(self, call: Call) -> object:
        """Start a bulk query job."""
        version = call.request.path_params["version"]
        return self._jobs.create_query(bodies.mapping_of(call.body), version)

    def job(self, call: Call) -> object:
        """Tell how a job stands (GET), or close or abort it (PATCH)."""
        job_id = call.request.path_params["id"]
        if call.request.method == "PATCH":
            return self._jobs.close(job_id, str(bodies.mapping_of(call.body).get("state")))
        return self._jobs.told(job_id)

    def upload(self, call: Call) -> object:
        """Take a job's rows: 201 without a body."""
        self._jobs.upload(call.request.path_params["id"], call.body)
        return self._single((201, None))

    def job_rows(self, call: Call) -> object:
        """Answer a job's rows as CSV."""
        asked = call.request.path_params
        return self._csv(self._jobs.results(asked["id"], asked["kind"]), {})

    def query_rows(self, call: Call) -> object:
        """Answer a page of a query job as CSV, its locator in a header."""
        asked = call.request.query_params
        text, locator, count = self._jobs.query_results(
            call.request.path_params["id"],
            asked.get("locator", ""),
            int(asked.get("maxRecords", 50_000)),
        )
        headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(count)}
        return self._csv(text, headers)

    def _csv(self, text: str, headers: Mapping[str, str]) -> Response:
        dated = answers.date_header(self._org)
        return Response(text, 200, {**dated, **headers}, media_type="text/csv;charset=UTF-8")

    def _single(self, answer: tuple[int, Any]) -> Response:
        status, body = answer
        response = answers.as_json(body, status, self._org)
        if body is None:
            response.body = b""
            response.headers["Content-Length"] = "0"
        return response

    def _query(self, call: Call, *, deleted: bool) -> object:
        soql = call.request.query_params.get("q")
        if soql is None:
            raise Unsupported("only ?q= is played on the query resource")
        hint = _BATCH_SIZE.search(call.request.headers.get("sforce-query-options", ""))
        version = call.request.path_params["version"]
        page = self._org.reader.query(
            soql,
            deleted=deleted,
            page_size=int(hint[1]) if hint else PAGE_SIZE_MAX,
            version=version,
        )
        return _page_json(page, version)

    def _object(self, call: Call) -> SalesforceObject:
        thing = self._org.object_named(call.request.path_params["object"])
        if thing is None:
            raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
        return thing


def _page_json(page: Page, version: str) -> dict[str, Any]:
    done: dict[str, Any] = {"totalSize": page.total, "done": page.cursor is None}
    if page.cursor is not None:
        done["nextRecordsUrl"] = f"/services/data/v{version}/query/{page.cursor}"
    return {**done, "records": list(page.records)}


def _span(call: Call) -> tuple[datetime, datetime]:
    try:
        start, end = (
            datetime.fromisoformat(call.request.query_params[name]).astimezone(UTC)
            for name in ("start", "end")
        )
    except (KeyError, ValueError) as wrong:
        raise SalesforceError("INVALID_REPLICATION_DATE", "start and end are needed") from wrong
    return start, end

"""Bulk API 2.0: ingest and query jobs, worked on when they are first looked at.

Bulk API 2.0 Developer Guide, "Ingest Jobs" and "Query Jobs". A job goes from Open through
UploadComplete and InProgress to JobComplete; rows are answered one by one in CSV; a row that is
refused never fails its job. The connector loads records with it; jsforce loads and queries.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.records import Json, Row
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError, Unsupported
from sandbox.salesforce.ids import make_id
from sandbox.salesforce.rows import find_by_external_id
from sandbox.salesforce.schema import SalesforceField, SalesforceObject
from sandbox.salesforce.values import NUMBER_TYPES, wire_datetime

UPLOAD_MAX = 150 * 1024 * 1024
OPERATIONS = frozenset({"insert", "update", "upsert", "delete"})
#: What is told of a job that was worked on, and not of one that was only made.
_WORK = frozenset({"numberRecordsProcessed", "numberRecordsFailed", "errorMessage"})
_ENDS = {"LF": "\n", "CRLF": "\r\n"}


@dataclass
class Job:
    """One ingest or query job."""

    id: str
    object: str
    operation: str
    created_at: str
    key_field: str = ""
    line_ending: str = "LF"
    state: str = "Open"
    content: str = ""
    soql: str = ""
    columns: list[str] = field(default_factory=list)
    succeeded: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    message: str = ""
    #: Times it was looked at since it was closed; the second look finds it at work.
    looks: int = 0


class BulkJobs:
    """The jobs of one org."""

    def __init__(self, org: SalesforceOrg) -> None:
        self._org = org
        self._jobs: dict[str, Job] = {}

    def create_ingest(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Open a job (POST /jobs/ingest)."""
        operation = str(asked.get("operation", "")).lower()
        if operation not in OPERATIONS or asked.get("columnDelimiter", "COMMA") != "COMMA":
            raise Unsupported(f"bulk {operation} with this delimiter is not played")
        thing = self._org.object_named(str(asked.get("object")))
        if thing is None:
            raise SalesforceError("INVALIDENTITY", f"{asked.get('object')} is not supported")
        job = self._new(thing.name, operation)
        job.key_field = str(asked.get("externalIdFieldName") or "")
        job.line_ending = str(asked.get("lineEnding") or "LF")
        return {name: value for name, value in self.told(job.id).items() if name not in _WORK}

    def upload(self, job_id: str, content: bytes) -> None:
        """Take the rows of an open job (PUT /jobs/ingest/ID/batches), once."""
        job = self._job(job_id)
        if job.state != "Open" or job.content:
            raise SalesforceError("INVALIDJOBSTATE", "Cannot upload to a job that is not open")
        job.content = content.decode("utf-8-sig")

    def close(self, job_id: str, state: str) -> dict[str, Any]:
        """Say that all rows are there, or give a job up (PATCH /jobs/ingest/ID)."""
        job = self._job(job_id)
        if state == "Aborted":
            job.state = "Aborted"
        elif state == "UploadComplete" and job.state == "Open":
            job.state = "UploadComplete"
        else:
            raise SalesforceError("INVALIDJOBSTATE", f"Cannot go from {job.state} to {state}")
        return self.told(job_id)

    def create_query(self, asked: Mapping[str, Any], version: str) -> dict[str, Any]:
        """Start a query job (POST /jobs/query)."""
        operation = str(asked.get("operation"))
        if operation not in ("query", "queryAll"):
            raise SalesforceError("INVALIDOPERATION", f"{operation} is no query")
        job = self._new("", operation)
        job.soql, job.state = str(asked.get("query")), "UploadComplete"
        rows: list[dict[str, Any]] = []
        page = self._org.reader.query(job.soql, deleted=operation == "queryAll", version=version)
        rows += page.records
        while page.cursor is not None:
            page = self._org.reader.more(page.cursor)
            rows += page.records
        job.records = [{n: v for n, v in row.items() if n != "attributes"} for row in rows]
        return self.told(job.id)

    def told(self, job_id: str) -> dict[str, Any]:
        """Word a job (GET /jobs/…/ID); looking at a closed one works on it."""
        job = self._job(job_id)
        if job.state == "InProgress":
            self._finish(job)
        elif job.state == "UploadComplete" and job.looks:
            job.state = "InProgress"
        job.looks += job.state == "UploadComplete"
        return {
            "id": job.id,
            "operation": job.operation,
            "object": job.object,
            "createdById": self._org.integration_user_id,
            "createdDate": job.created_at,
            "systemModstamp": job.created_at,
            "state": job.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": 67.0,
            "contentUrl": f"services/data/v67.0/jobs/ingest/{job.id}/batches",
            "lineEnding": job.line_ending,
            "columnDelimiter": "COMMA",
            "numberRecordsProcessed": len(job.succeeded) + len(job.failed) + len(job.records),
            "numberRecordsFailed": len(job.failed),
            "errorMessage": job.message,
        }

    def results(self, job_id: str, kind: str) -> str:
        """Answer rows as CSV: successful, failed or unprocessed ones (any case of the name)."""
        job = self._job(job_id)
        match kind.lower():
            case "successfulresults":
                return _table(["sf__Id", "sf__Created", *job.columns], job.succeeded)
            case "failedresults":
                return _table(["sf__Id", "sf__Error", *job.columns], job.failed)
            case "unprocessedrecords":
                return _table(job.columns, [])
        raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)

    def query_results(self, job_id: str, locator: str, most: int) -> tuple[str, str, int]:
        """Answer a page of a query job: CSV, the next locator (`null` at the end), its rows."""
        job = self._job(job_id)
        start = int(locator or 0)
        page = job.records[start : start + most]
        following = str(start + most) if start + most < len(job.records) else "null"
        columns = list(job.records[0]) if job.records else []
        rows = [{n: _csv_value(v) for n, v in row.items()} for row in page]
        return _table(columns, rows), following, len(page)

    def _new(self, object_name: str, operation: str) -> Job:
        with self._org.store.exclusive():
            job_id = make_id("750", self._org.org_id[3:5], len(self._jobs) + 1)
            now = wire_datetime(self._org.store.clock())
            job = self._jobs[job_id] = Job(job_id, object_name, operation, now)
            return job

    def _job(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
        return job

    def _finish(self, job: Job) -> None:
        job.state = "JobComplete"
        if job.soql:
            return
        end = _ENDS[job.line_ending]
        rows = list(csv.DictReader(io.StringIO(job.content.replace(end, "\n"))))
        job.columns = list(rows[0]) if rows else []
        thing = self._org.object_named(job.object)
        assert thing is not None
        unknown = [n for n in job.columns if n.lower() != "id" and n not in thing.fields]
        if unknown:
            job.state = "Failed"
            job.message = f"InvalidBatch : Field name not found : {', '.join(unknown)}"
            return
        for row in rows:
            self._work(job, thing, row)

    def _work(self, job: Job, thing: SalesforceObject, row: dict[str, str]) -> None:
        try:
            written, created = self._write(job, thing, row)
        except SalesforceError as refusal:
            fields = ",".join(refusal.fields)
            told = f"{refusal.code}:{refusal.text}:{fields} --"
            job.failed.append({"sf__Id": "", "sf__Error": told, **row})
            return
        job.succeeded.append({"sf__Id": written, "sf__Created": str(created).lower(), **row})

    def _write(self, job: Job, thing: SalesforceObject, row: Mapping[str, str]) -> tuple[str, bool]:
        org, by = self._org, self._org.integration_user_id
        record_id = next((v for n, v in row.items() if n.lower() == "id"), "")
        values = {
            n: _value(thing.fields[n], text)
            for n, text in row.items()
            if n.lower() != "id" and text
        }
        actions: Mapping[str, Callable[[], Row]] = {
            "insert": lambda: org.insert(thing.name, values, by),
            "update": lambda: org.patch(thing.name, record_id, values, by),
            "delete": lambda: org.discard(thing.name, record_id, by),
        }
        if job.operation in actions:
            return actions[job.operation]().id, job.operation == "insert"
        found = find_by_external_id(org, thing, job.key_field, row.get(job.key_field, ""))
        if len(found) > 1:
            raise SalesforceError("DUPLICATE_EXTERNAL_ID", "more than one record has this key")
        if not found:
            return actions["insert"]().id, True
        return org.patch(thing.name, found[0].id, values, by).id, False


def _value(known: SalesforceField, text: str) -> Json:
    if text == "#N/A":
        return None
    if known.type == "boolean":
        return text.lower() in ("true", "1")
    if known.type in NUMBER_TYPES:
        return _number(known, text)
    return text


def _number(known: SalesforceField, text: str) -> Json:
    try:
        return float(text)
    except ValueError as wrong:
        raise SalesforceError(
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            f"{known.label}: value not of required type: {text}",
            (known.name,),
        ) from wrong


def _csv_value(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(columns: list[str], rows: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

"""Writes thousands of records in one Bulk API 2.0 job, each with its own outcome.

Bulk API 2.0 Developer Guide, "Ingest Jobs": a job is created, given its rows as CSV, closed, and
looked at until it is over; only then is a row known to be written or refused. Nothing is written
before the job is closed. An empty cell leaves a field alone and `#N/A` clears it.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.errors import ConnectorError, CrmUnavailable
from connectors.salesforce.schema import SalesforceSchema
from connectors.salesforce.transport import Transport
from connectors.salesforce.wire import Json, WireError

#: Most rows of one job; far below the 150 MB that one upload takes, whatever the rows hold.
LOAD_MAX = 10_000
#: Salesforce tries rows again by itself and works through a full queue: minutes, not seconds.
JOB_SECONDS_MAX = 1_800.0
_LOOK_SECONDS = (0.5, 1.0, 2.0, 5.0)
_CLEARED = "#N/A"
_OVER = frozenset({"JobComplete", "Failed", "Aborted"})
#: `REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --`
_ERROR = re.compile(r"(?P<code>[A-Z_]+):(?P<message>.*?)(?::(?P<fields>[\w,\s]*))?\s*--", re.DOTALL)

#: A row in the words of sObject Collections; `attributes` say what the job says.
Row = Mapping[str, Any]
#: A row's answer in the words of sObject Collections: `success`, `id`, `errors`.
Result = Mapping[str, Any]


class BulkWriter:
    """Writes rows of one object; made for each call, keeps nothing."""

    def __init__(
        self,
        transport: Transport,
        schema: SalesforceSchema,
        connection: str,
    ) -> None:
        self._transport = transport
        self._schema = schema
        self._connection = connection

    def write(self, operation: str, rows: Sequence[Row], identity: str) -> list[Result]:
        """Run one job (`insert` or `update`) and answer each row, in order.

        `identity` is the column that tells rows apart; no two rows share a value of it. Raises
        `CrmUnavailable(may_have_happened=True)` when the job was closed and its end is not known.
        """
        what = f"bulk {operation} {self._schema.name}"
        job = self._transport.write(
            "POST",
            "jobs/ingest",
            operation=what,
            payload={
                "object": self._schema.name,
                "operation": operation,
                "contentType": "CSV",
                "columnDelimiter": "COMMA",
                "lineEnding": "LF",
            },
        ).data
        path = f"jobs/ingest/{job['id']}"
        try:
            self._transport.write("PUT", f"{path}/batches", operation=what, payload=_csv(rows))
        except CrmUnavailable as lost:
            # An open job is never worked on, whether its rows arrived or not.
            raise CrmUnavailable(
                lost.message, connection=self._connection, operation=what
            ) from lost
        self._transport.write("PATCH", path, operation=what, payload={"state": "UploadComplete"})
        try:
            return self._results(path, rows, identity, what)
        except ConnectorError as lost:
            raise CrmUnavailable(
                f"{self._connection}: the end of a bulk job is not known. {lost.message}",
                may_have_happened=True,
                connection=self._connection,
                operation=what,
            ) from lost

    def _results(self, path: str, rows: Sequence[Row], identity: str, what: str) -> list[Result]:
        self._wait(path, what)
        told: dict[str, Result] = {}
        for row in self._table(f"{path}/successfulResults", what):
            told[_key(row[identity])] = {"success": True, "id": row["sf__Id"]}
        for row in self._table(f"{path}/failedResults", what):
            told[_key(row[identity])] = {"success": False, "errors": [_error(row["sf__Error"])]}
        # What is in neither list was not looked at: it can be sent again.
        aborted = {"statusCode": "SERVER_UNAVAILABLE", "message": "the bulk job ended before it"}
        missing: Result = {"success": False, "errors": [aborted]}
        return [told.get(_key(str(row[identity])), missing) for row in rows]

    def _wait(self, path: str, what: str) -> None:
        waited = 0.0
        for look in itertools.count():
            state = self._transport.read(path, operation=what).data["state"]
            if state in _OVER:
                return
            pause = _LOOK_SECONDS[min(look, len(_LOOK_SECONDS) - 1)]
            if waited + pause > JOB_SECONDS_MAX:
                break
            time.sleep(pause)
            waited += pause
        raise CrmUnavailable(
            f"{self._connection}: a bulk job was not over after {JOB_SECONDS_MAX:.0f} seconds.",
            connection=self._connection,
            operation=what,
        )

    def _table(self, path: str, what: str) -> Iterator[dict[str, str]]:
        text = self._transport.read(path, operation=what).data or ""
        yield from csv.DictReader(io.StringIO(text))


def require_cells(values: Mapping[str, Json]) -> None:
    """Raise `WireError` for the one text that a cell cannot hold."""
    for field, value in values.items():
        if value == _CLEARED:
            raise WireError(field, f"the text {_CLEARED} would clear it in a bulk job")


def _cell(value: Json) -> str:
    if value is None:
        return _CLEARED
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _csv(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(n for row in rows for n in row if n != "attributes"))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({n: _cell(value) for n, value in row.items() if n != "attributes"})
    return out.getvalue()


def _error(text: str) -> dict[str, Any]:
    found = _ERROR.fullmatch(text.strip())
    if found is None:
        return {"statusCode": "UNKNOWN_EXCEPTION", "message": text}
    fields = [name.strip() for name in (found["fields"] or "").split(",") if name.strip()]
    return {"statusCode": found["code"], "message": found["message"], "fields": fields}


def _key(text: str) -> str:
    """Salesforce compares keys without case."""
    return text.casefold()

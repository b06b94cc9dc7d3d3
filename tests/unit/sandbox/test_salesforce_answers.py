"""How the Salesforce stand-in words what it refuses: single records, and rows of a bulk job."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sandbox.salesforce import answers
from sandbox.salesforce.bulk import BulkJobs
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError


@pytest.fixture
def org() -> SalesforceOrg:
    """A seeded org in memory."""
    credentials = {"client_id": "app", "client_secret": "secret", "webhook_secret": "door"}
    made = SalesforceOrg(lambda: datetime(2026, 11, 24, 10, tzinfo=UTC), credentials)
    made.seed()
    return made


@pytest.mark.parametrize(
    ("version", "key"),
    [("51.0", "duplicateResut"), ("52.0", "duplicateResult"), ("67.0", "duplicateResult")],
)
def test_what_a_duplicate_rule_found_is_spelt_as_the_version_spells_it(
    org: SalesforceOrg, version: str, key: str
) -> None:
    refusal = SalesforceError("DUPLICATES_DETECTED", "Use one of these records?")
    refusal.duplicates = {"matchResults": []}

    (error,) = json.loads(bytes(answers.refused(refusal, org, version).body))

    assert error[key] == {"matchResults": []}
    assert len([name for name in error if name.startswith("duplicate")]) == 1


@pytest.mark.parametrize("amount", ["lots", "1,000", "nan", "1e400"])
def test_a_cell_of_a_bulk_job_that_is_no_number_fails_its_row_alone(
    org: SalesforceOrg, amount: str
) -> None:
    jobs = BulkJobs(org)
    job_id = jobs.create_ingest({"object": "Opportunity", "operation": "insert"})["id"]
    rows = "".join(f'A,Prospecting,2027-06-30,"{value}"\n' for value in (amount, "5"))
    jobs.upload(job_id, f"Name,StageName,CloseDate,Amount\n{rows}".encode())
    jobs.close(job_id, "UploadComplete")

    states = [jobs.told(job_id)["state"] for _ in range(2)]

    assert states[-1] == "JobComplete"
    assert jobs.told(job_id)["numberRecordsFailed"] == 1
    assert amount in jobs.results(job_id, "failedResults")
    assert '"5"' in jobs.results(job_id, "successfulResults")

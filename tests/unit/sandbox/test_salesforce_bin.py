"""The recycle bin of the Salesforce stand-in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.org import SandboxError
from sandbox.records import Json
from sandbox.salesforce.engine import SalesforceOrg
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.seed import SALES_REPS

REP = SALES_REPS[0]
DEAL: dict[str, Json] = {
    "Name": "A deal",
    "StageName": "Prospecting",
    "CloseDate": "2027-06-30",
    "Dealreg_Id__c": "2f1e7c1e-0000-7000-8000-000000000001",
}


def _org(path: Path | None = None) -> SalesforceOrg:
    credentials = {"client_id": "app", "client_secret": "secret", "webhook_secret": "door"}
    made = SalesforceOrg(lambda: datetime(2026, 11, 24, 10, tzinfo=UTC), credentials, path)
    made.seed()
    return made


def test_a_record_whose_key_was_taken_meanwhile_stays_in_the_bin() -> None:
    org = _org()
    first = org.add("Opportunity", DEAL, REP)
    org.remove("Opportunity", first.id, REP)
    second = org.add("Opportunity", DEAL, REP)

    with pytest.raises(SalesforceError, match="DUPLICATE_VALUE"):
        org.restore("Opportunity", first.id, REP)

    org.remove("Opportunity", second.id, REP)
    org.restore("Opportunity", first.id, REP)
    with pytest.raises(SalesforceError, match="DUPLICATE_VALUE"):
        org.add("Opportunity", DEAL, REP)


def test_only_what_is_in_the_bin_is_restored_or_purged() -> None:
    org = _org()
    deal = org.add("Opportunity", DEAL, REP)

    with pytest.raises(SalesforceError, match="UNDELETE_FAILED"):
        org.restore("Opportunity", deal.id, REP)
    with pytest.raises(SandboxError, match=deal.id):
        org.purge("Opportunity", deal.id)
    org.remove("Opportunity", deal.id, REP)
    org.purge("Opportunity", deal.id)
    with pytest.raises(SalesforceError, match="UNDELETE_FAILED"):
        org.restore("Opportunity", deal.id, REP)


def test_the_id_of_a_purged_record_is_given_to_no_other_also_after_a_restart(
    tmp_path: Path,
) -> None:
    org = _org(tmp_path / "salesforce.sqlite3")
    purged = org.add("Opportunity", DEAL, REP)
    org.remove("Opportunity", purged.id, REP)
    org.purge("Opportunity", purged.id)
    org.store.close()

    org = _org(tmp_path / "salesforce.sqlite3")
    later = org.add("Opportunity", DEAL, REP)

    assert later.id != purged.id
    assert org.store.get("Opportunity", purged.id, deleted=True) is None
    assert purged.id not in {row.id for row in org.store.rows("Opportunity", deleted=True)}
    org.store.close()

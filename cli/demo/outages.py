"""Steps 6 and 9: a CRM is away, and a CRM does the work but its answer is lost."""

from __future__ import annotations

from typing import Any

from cli.demo.crms import DYNAMICS, HUBSPOT, SALESFORCE
from cli.demo.deals import BOREALIS_ANALYTICS, TURNSTONE
from cli.demo.scene import Scene

#: Salesforce's resource for creating several records in one call.
_CREATES = "composite/sobjects/?$"


def crm_away(scene: Scene) -> None:
    """HubSpot is off: the registration is accepted, waits, and goes on by itself."""
    scene.type(f"sandbox fault {HUBSPOT} down", "HubSpot answers nothing")
    scene.submit("turnstone", TURNSTONE.submit())
    waiting = scene.await_(
        f"registration show {scene.number('turnstone')}",
        "accepted, its check incomplete because of hubspot",
        lambda: scene.crms.registration(scene.number("turnstone")),
        lambda found: found["check"] is not None,
        _waits,
    )
    unread = [r["connection"] for r in waiting["check"]["readings"] if not r["complete"]]
    state = waiting["registration"]["state"]
    scene.see(
        "its check",
        "only hubspot is missing, nothing is decided",
        f"missing: {', '.join(unread)}; {state}",
        held=unread == ["hubspot"] and state == "submitted",
    )
    places = scene.places("turnstone")
    scene.see("the three CRMs", "nothing is written", f"{len(places)} records", held=not places)
    scene.type(f"sandbox clear {HUBSPOT}", "HubSpot is back")
    scene.await_state("turnstone", "approved")
    accounts = {
        crm: scene.crms.account_id(crm, TURNSTONE.tax_id) for crm in (SALESFORCE, DYNAMICS, HUBSPOT)
    }
    scene.await_places(
        "turnstone",
        SALESFORCE,
        lambda place: place.account_id == accounts[place.crm],
        "nobody had to do anything",
    )


def _waits(found: Any) -> str:
    return f"{found['registration']['state']}, waits for {found['waits_for']}"


def answer_lost(scene: Scene) -> None:
    """A create in Salesforce succeeds and its answer is lost: no second record."""
    account = scene.crms.account_id(SALESFORCE, BOREALIS_ANALYTICS.tax_id)
    before = len(scene.crms.records(SALESFORCE, "Opportunity", AccountId=account))
    scene.type(
        f"sandbox fault {SALESFORCE} drop_answer --count 1 --method POST --path '{_CREATES}'",
        "the next create is done and not answered",
    )
    scene.submit("analytics", BOREALIS_ANALYTICS.submit())
    scene.await_places(
        "analytics",
        SALESFORCE,
        lambda place: place.amount == BOREALIS_ANALYTICS.amount,
        "all the same",
    )
    asked = scene.type(
        f"sandbox journal {SALESFORCE} --last 1000", "the create went unanswered"
    ).data
    lost = [r for r in asked if r["status"] is None and r["method"] == "POST"]
    scene.see(
        f"sandbox journal {SALESFORCE}",
        "one POST without an answer",
        len(lost),
        held=len(lost) == 1,
    )
    scene.await_(
        f"registration show {scene.number('analytics')}",
        "the record that was made is the one that is linked",
        lambda: [
            link["record_id"]
            for link in scene.crms.registration(scene.number("analytics"))["links"]
            if link["connection"] == "salesforce"
        ],
        lambda linked: (
            linked == [place.id for place in scene.places("analytics") if place.crm == SALESFORCE]
        ),
    )
    after = len(scene.crms.records(SALESFORCE, "Opportunity", AccountId=account))
    scene.see(
        "opportunities of the customer", "one more than before", f"{before}, then {after}",
        held=after == before + 1,
    )  # fmt: skip

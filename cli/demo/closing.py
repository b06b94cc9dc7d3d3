"""Step 10: a deal is won, reopened, and another one deleted; and the trail proves it all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from cli.demo.crms import DYNAMICS, HUBSPOT, SALESFORCE
from cli.demo.deals import BOREALIS, REP_EAST
from cli.demo.edits import edit_home
from cli.demo.scene import Scene
from cli.frame import Exit


def won_and_lost(scene: Scene) -> None:
    """Won in the home CRM, credited once, reopened; an opportunity is deleted and stays so."""
    number = scene.number("borealis")
    edit_home(scene, "borealis", "StageName='Closed Won'")
    found = scene.await_state("borealis", "closed_won")["registration"]
    scene.see(
        f"registration show {number}",
        "won amount and day are kept, the protection is released",
        f"{found['won_amount']} on {found['actual_close_on']}, {found['protection_state']}",
        held=Decimal(found["won_amount"]) == BOREALIS.amount
        and found["actual_close_on"] is not None
        and found["protection_state"] == "released",
    )
    _await_stage(scene, {SALESFORCE: "Closed Won", DYNAMICS: "won", HUBSPOT: "pm_won"})
    edit_home(scene, "borealis", "Description='Signed and filed'")
    scene.type("sync run salesforce", "the won deal is read once more")
    _see_events(scene, "record attribution", "the provisional credit is recorded once")
    edit_home(scene, "borealis", "StageName='Negotiation/Review'")
    reopened = scene.await_state("borealis", "approved")["registration"]
    _see_events(scene, "reverse attribution", "the reopen takes the credit back, once")
    scene.see(
        f"registration show {number}",
        "protected again",
        reopened["protection_state"],
        held=reopened["protection_state"] == "active",
    )
    _await_stage(
        scene,
        {SALESFORCE: "Negotiation/Review", DYNAMICS: "negotiating", HUBSPOT: "pm_negotiating"},
    )
    _deleted(scene)
    verified = scene.type("audit verify", "the audit trail verifies").data
    scene.see(
        "audit verify", "no break", f"{verified['events']} events", held=verified["ok"] is True
    )


def _await_stage(scene: Scene, stages: dict[str, str]) -> None:
    scene.await_places(
        "borealis", SALESFORCE, lambda place: place.stage == stages[place.crm], "the same stage"
    )


def _see_events(scene: Scene, action: str, expected: str) -> None:
    events = scene.crms.events(scene.number("borealis"), action)
    scene.see(
        f"audit show {scene.number('borealis')}",
        expected,
        ", ".join(str(event["what"]) for event in events) or "nothing",
        held=len(events) == 1,
    )


def _deleted(scene: Scene) -> None:
    number = scene.number("avocet")
    home = next(place for place in scene.places("avocet") if place.role == "home")
    scene.type(
        f"sandbox remove {SALESFORCE} Opportunity {home.id} --user '{REP_EAST}'",
        "deleted in Salesforce",
    )
    scene.await_(
        "link list",
        "its link is orphaned",
        lambda: _link_state(scene, home.id),
        lambda state: state == "orphaned",
    )
    status = scene.type(
        "status", "goldcrest and the second avocet wait for people", code=Exit.NEEDS_A_HUMAN
    ).data
    orphaned = {c["name"]: c["orphaned_links"] for c in status["connections"]}
    scene.see(
        "status", "one orphaned link in salesforce", orphaned, held=orphaned["salesforce"] == 1
    )
    scene.see("status", "no dead letter", status["dead_letters"], held=status["dead_letters"] == 0)
    scene.type(f"registration update {number} --amount 53500", "changed here afterwards")
    scene.await_(
        "the three CRMs",
        "the two mirrors follow, nothing is made again in Salesforce",
        lambda: scene.places("avocet"),
        lambda places: (
            sorted((p.role, p.amount) for p in places)
            == [("mirror", Decimal(53_500)), ("mirror", Decimal(53_500))]
        ),
        lambda places: "; ".join(f"{p.crm} {p.role} {p.amount}" for p in places),
    )
    scene.await_(
        "status",
        "nothing is left to push to salesforce",
        lambda: _due(scene),
        lambda due: due == 0,
    )
    again = scene.crms.records(SALESFORCE, "Opportunity", Dealreg_Id__c=scene.cast.ids["avocet"])
    scene.see("Salesforce", "not resurrected", f"{len(again)} opportunities", held=not again)


def _link_state(scene: Scene, record_id: str) -> Any:
    links = scene.crms.ask("link list")["links"]
    return next((link["state"] for link in links if link["record_id"] == record_id), "not linked")


def _due(scene: Scene) -> int:
    connections = scene.crms.ask("status")["connections"]
    return sum(c["outbox_due"] for c in connections if c["name"] == "salesforce")

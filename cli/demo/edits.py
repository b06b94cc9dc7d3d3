"""Steps 7 and 8: salespeople change deals in their CRM, and two people change one thing."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cli.demo.crms import DYNAMICS, HUBSPOT, SALESFORCE, Place
from cli.demo.deals import APPROVER, MERGANSER, REDPOLL, REP_EAST, WHEATEAR
from cli.demo.scene import Scene

#: `proposing` in the words of each CRM.
_PROPOSING = {
    SALESFORCE: "Proposal/Price Quote", DYNAMICS: "proposing", HUBSPOT: "pm_proposing",
}  # fmt: skip
_NEGOTIATING = {
    SALESFORCE: "Negotiation/Review", DYNAMICS: "negotiating", HUBSPOT: "pm_negotiating",
}  # fmt: skip


def salespeople(scene: Scene) -> None:
    """A rep's changes come by webhook, then by poll; a rep's own opportunity is linked."""
    scene.submit("wheatear", WHEATEAR.submit())
    scene.await_places(
        "wheatear", SALESFORCE, lambda p: p.amount == WHEATEAR.amount, "as submitted"
    )
    begun_at = datetime.now(UTC)
    _edit(scene, "wheatear", "StageName='Proposal/Price Quote' Amount=61500")
    _await_amount(scene, "wheatear", "61500", "the webhook brings it")
    seconds = _seconds_to_store(scene, "wheatear", begun_at)
    scene.see(
        "from the save in Salesforce to the commit here",
        f"at most {scene.cast.webhook_seconds:g} s",
        f"{seconds:.2f} s",
        held=seconds <= scene.cast.webhook_seconds,
    )
    _await_everywhere(scene, "wheatear", "61500", _PROPOSING)
    scene.type(f"sandbox webhooks {SALESFORCE} off", "Salesforce tells nothing any more")
    _edit(scene, "wheatear", "StageName='Negotiation/Review' Amount=63000")
    _await_amount(scene, "wheatear", "63000", "the scheduled poll finds it")
    _await_everywhere(scene, "wheatear", "63000", _NEGOTIATING)
    scene.type(f"sandbox webhooks {SALESFORCE} on", "and again")
    _own_opportunity(scene)
    _other_deal(scene)


def _own_opportunity(scene: Scene) -> None:
    """The rep opened the same deal a week ago: it is linked, and not one value of it changes."""
    account = scene.crms.account_id(SALESFORCE, REDPOLL.tax_id)
    (before,) = scene.crms.records(SALESFORCE, "Opportunity", AccountId=account)
    scene.submit("redpoll", REDPOLL.submit())
    found = scene.await_state("redpoll", "under_review")
    age = datetime.fromisoformat(found["registration"]["submitted_at"]) - datetime.fromisoformat(
        before["created_at"]
    )
    scene.see(
        f"the rep's {before['fields']['Name']}", "opened a week before", f"{age.days} days before",
        held=age.days == 7,
    )  # fmt: skip
    scene.type(
        f"approval approve {scene.number('redpoll')} --actor {APPROVER}", "approved on the evidence"
    )
    proposal = scene.await_proposal("redpoll", before["id"])
    scene.type(f"link accept {proposal} --actor {APPROVER}", "the record is this deal")
    amount = Decimal(str(before["fields"]["Amount"]))
    scene.await_places(
        "redpoll", SALESFORCE, lambda p: p.amount == amount and bool(p.partner), "the rep's amount"
    )
    (after,) = scene.crms.records(SALESFORCE, "Opportunity", AccountId=account)
    kept = ("Amount", "CurrencyIsoCode", "StageName", "OwnerId", "CloseDate", "Name")
    touched = [name for name in kept if after["fields"][name] != before["fields"][name]]
    partner = after["fields"]["Dealreg_Partner__c"]
    scene.see(
        "the rep's opportunity",
        "still the only one; amount, stage and owner untouched; the partner stamped",
        f"changed: {', '.join(touched) or 'nothing'}; partner {partner}",
        held=after["id"] == before["id"] and not touched and partner == "Brightfen IT",
    )


def _other_deal(scene: Scene) -> None:
    """The opportunity proposed in step 3 is another deal: now ours is created beside it."""
    account = scene.crms.account_id(SALESFORCE, MERGANSER.tax_id)
    (theirs,) = scene.crms.records(SALESFORCE, "Opportunity", AccountId=account)
    proposal = scene.await_proposal("merganser", theirs["id"])
    scene.type(f"link reject {proposal} --actor {APPROVER}", "the record is another deal")
    scene.await_places(
        "merganser", SALESFORCE, lambda p: p.amount == MERGANSER.amount, "of its own"
    )


def two_people(scene: Scene) -> None:
    """The amount is changed here and in Salesforce at once; a person settles it, and undoes it."""
    number = scene.number("wheatear")
    base = Decimal(scene.registration("wheatear")["amount"])
    scene.type(f"sandbox fault {SALESFORCE} down", "so that neither side sees the other in between")
    scene.type(f"registration update {number} --amount 71000", "changed here")
    _edit(scene, "wheatear", "Amount=69000")
    scene.type(f"sandbox clear {SALESFORCE}", "now both meet")
    found = _await_conflict(scene, "wheatear")
    sides = [Decimal(found[side]["amount"]) for side in ("base", "store", "remote")]
    scene.see(
        f"conflict show {found['id'][-8:]}",
        f"base {base}, ours 71000.00, theirs 69000.00",
        "base {}, ours {}, theirs {}".format(*sides),
        held=sides == [base, Decimal(71_000), Decimal(69_000)],
    )
    conflict = found["id"]
    line = f"conflict resolve {conflict} --set amount=70000 --actor {APPROVER}"
    scene.type(line, "settled in the middle")
    _await_amount(scene, "wheatear", "70000", "settled here")
    _await_everywhere(scene, "wheatear", "70000", _NEGOTIATING)
    _await_quiet(scene)
    scene.type(f"conflict undo {conflict} --actor {APPROVER}", "taken back")
    _await_sides(scene, "wheatear", ours="71000", theirs="69000")
    still = _await_conflict(scene, "wheatear")
    scene.see(
        "conflict list", "the same conflict is open again", f"{still['id'][-8:]} {still['state']}",
        held=still["id"] == conflict,
    )  # fmt: skip
    line = f"conflict resolve {conflict} --take theirs --actor {APPROVER}"
    scene.type(line, "settled for good: theirs")
    _await_amount(scene, "wheatear", "69000", "as in Salesforce")
    _await_everywhere(scene, "wheatear", "69000", _NEGOTIATING)


def edit_home(scene: Scene, deal: str, values: str) -> Any:
    """Change a deal's opportunity in Salesforce as a rep; returns the record as saved."""
    return _edit(scene, deal, values)


def _edit(scene: Scene, deal: str, values: str) -> Any:
    home = next(place for place in scene.places(deal) if place.role == "home")
    line = f"sandbox edit {SALESFORCE} Opportunity {home.id} {values} --user '{REP_EAST}'"
    return scene.type(line, f"{REP_EAST} saves it in Salesforce").data


def _await_amount(scene: Scene, deal: str, amount: str, why: str) -> None:
    scene.await_(
        f"registration show {scene.number(deal)}",
        f"amount {amount}: {why}",
        lambda: Decimal(scene.registration(deal)["amount"]),
        lambda found: found == Decimal(amount),
    )


def _await_everywhere(scene: Scene, deal: str, amount: str, stages: dict[str, str]) -> None:
    scene.await_places(
        deal,
        SALESFORCE,
        lambda p: p.amount == Decimal(amount) and p.stage == stages[p.crm],
        f"{amount} and the same stage",
    )


def _await_sides(scene: Scene, deal: str, ours: str, theirs: str) -> None:
    def holds(place: Place) -> bool:
        return place.amount == Decimal(theirs if place.role == "home" else ours)

    _await_amount(scene, deal, ours, "as before the resolution")
    scene.await_places(deal, SALESFORCE, holds, f"home {theirs} again, mirrors {ours}")


def _await_conflict(scene: Scene, deal: str) -> Any:
    number = scene.number(deal)
    found = scene.await_(
        "conflict list",
        "one open sync conflict about the amount",
        lambda: [c for c in scene.crms.ask("conflict list") if c["number"] == number],
        lambda conflicts: [c["group"] for c in conflicts] == ["amount"],
        lambda conflicts: ", ".join(f"{c['group']} {c['state']}" for c in conflicts) or "none",
    )
    return found[0]


def _await_quiet(scene: Scene) -> None:
    """Wait until the product has nothing more to push or pull."""
    scene.await_(
        "status",
        "nothing is due any more",
        lambda: scene.crms.ask("status")["connections"],
        lambda found: not any(c["outbox_due"] + c["inbox_due"] for c in found),
        lambda found: sum(c["outbox_due"] + c["inbox_due"] for c in found),
    )


def _seconds_to_store(scene: Scene, deal: str, begun_at: datetime) -> float:
    """Return the seconds to the commit here from just before the save; one machine, one clock.

    Not from the CRM's own stamp: Salesforce keeps whole seconds.
    """
    taken = scene.crms.events(scene.number(deal), "change in CRM")[-1]
    return (datetime.fromisoformat(taken["at"]) - begun_at).total_seconds()

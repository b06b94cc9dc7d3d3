"""Steps 3 to 5: what people decide, who may, and that nobody is protected twice."""

from __future__ import annotations

from typing import Any

from cli.demo.crms import SALESFORCE
from cli.demo.deals import (
    APPROVER,
    AVOCET_FIRST,
    AVOCET_SECOND,
    DUNLIN,
    GOLDCREST,
    MERGANSER,
    REP_EAST,
    SANDPIPER,
    SUBMITTER,
)
from cli.demo.scene import Scene
from cli.frame import Exit
from registration_core.findings import ReasonCode
from registration_core.partner_view import reason_text


def direct_accounts(scene: Scene) -> None:
    """Both direct accounts have an open opportunity: one registration is refused, one approved."""
    for deal in ("sandpiper", "merganser"):
        found = scene.await_state(deal, "under_review")
        kinds = sorted({finding["kind"] for finding in found["check"]["findings"]})
        scene.see(
            f"evidence for {deal}",
            "direct account, and an open opportunity",
            "; ".join(finding["summary"] for finding in found["check"]["findings"][:2]),
            held={"direct_account", "open_opportunity"} <= set(kinds),
        )
    number = scene.number("sandpiper")
    scene.type(
        f"approval approve {number} --actor {SUBMITTER}",
        "who submitted it may not decide on it",
        code=Exit.FAILED,
    )
    scene.type(
        f"approval reject {number} --reason VENDOR_ENGAGED --note 'our renewal' --actor {APPROVER}",
        "rejected with a reason code",
    )
    answer = scene.type(f"registration show {number} --as-partner", "the partner reads why")
    (theirs,) = scene.crms.records(SALESFORCE, "Opportunity", AccountId=_account(scene, SANDPIPER))
    hidden = [REP_EAST, "our renewal", theirs["id"], *map(str, theirs["fields"].values())]
    own = (SANDPIPER.customer, SANDPIPER.name, SANDPIPER.currency)
    leaks = [
        text for text in hidden if len(text) > 3 and text in answer.printed and text not in own
    ]
    scene.see(
        "what the partner reads",
        "the fixed text of the reason, and nothing of the opportunity",
        answer.data["message"] + (f" It tells {leaks}" if leaks else ""),
        held=answer.data["message"] == reason_text(ReasonCode.VENDOR_ENGAGED) and not leaks,
    )
    _approve_merganser(scene)


def _approve_merganser(scene: Scene) -> None:
    number = scene.number("merganser")
    scene.type(f"approval approve {number} --actor {APPROVER}", "approved by a person")
    account = _account(scene, MERGANSER)
    (deal,) = scene.crms.records(SALESFORCE, "Opportunity", AccountId=account)
    scene.await_proposal("merganser", deal["id"])
    count = len(scene.crms.records(SALESFORCE, "Opportunity", AccountId=account))
    scene.see(
        f"opportunities of {MERGANSER.customer}",
        "still one: ours is not created beside it",
        count,
        held=count == 1,
    )


def held_accounts(scene: Scene) -> None:
    """A house account and a do-not-call account wait for their owners, and for nobody else."""
    owners = {"goldcrest": "house-desk", "dunlin": "compliance-desk"}
    scene.submit("goldcrest", GOLDCREST.submit())
    scene.submit("dunlin", DUNLIN.submit())
    for deal in owners:
        scene.await_state(deal, "under_review")
    listed = scene.type("approval list", "both are held, with whom they wait for").data
    waiting = {row["number"]: row["waits_for"] for row in listed}
    for deal, owner in owners.items():
        number = scene.number(deal)
        scene.see(
            f"{deal} waits for", owner, waiting.get(number), held=waiting.get(number) == owner
        )
        scene.type(
            f"approval approve {number} --actor {APPROVER}",
            f"refused: only {owner} decides",
            code=Exit.FAILED,
        )
    scene.type(
        f"approval reject {scene.number('dunlin')} --reason COMPLIANCE --actor compliance-desk",
        "its owner decides",
    )
    places = [place for deal in owners for place in scene.places(deal)]
    scene.see("the three CRMs", "neither was written", f"{len(places)} records", held=not places)


def same_moment(scene: Scene) -> None:
    """Two partners register one customer at the same moment."""
    answers = scene.at_once(
        [AVOCET_FIRST.submit(), AVOCET_SECOND.submit()], "received, at the same moment"
    )
    pair = [answer.data["number"] for answer in answers]
    decided = scene.await_(
        "both registrations",
        "one approved and protected, the other under review",
        lambda: [scene.crms.registration(number) for number in pair],
        lambda both: sorted(map(_standing, both)) == ["approved active", "under_review none"],
        lambda both: ", ".join(map(_standing, both)),
    )
    winner = next(f for f in decided if f["registration"]["state"] == "approved")
    loser = next(f for f in decided if f is not winner)
    scene.know("avocet", winner["registration"]["number"])
    kinds = {finding["kind"] for finding in loser["check"]["findings"]}
    scene.see(
        "evidence for the other",
        "the first partner's claim",
        "; ".join(finding["summary"] for finding in loser["check"]["findings"]),
        held=bool(kinds & {"active_registration", "pending_registration"}),
    )
    standing = scene.type("protection list", "one protection for the customer").data
    mine = [row["number"] for row in standing if row["number"] in pair]
    scene.see("protection list", "exactly one of the two", mine, held=len(mine) == 1)
    scene.await_places("avocet", SALESFORCE, lambda place: bool(place.account_id), "linked")
    found = scene.crms.records(SALESFORCE, "Opportunity", AccountId=_account(scene, AVOCET_FIRST))
    scene.see(f"opportunities of {AVOCET_FIRST.customer}", "one", len(found), held=len(found) == 1)


def _standing(found: Any) -> str:
    registration = found["registration"]
    return f"{registration['state']} {registration['protection_state']}"


def _account(scene: Scene, deal: Any) -> str:
    return scene.crms.account_id(SALESFORCE, deal.tax_id)

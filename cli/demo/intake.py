"""Steps 1 and 2: partners and registrations come in, and a clean deal goes all the way."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from cli.demo.crms import DYNAMICS, HUBSPOT, SALESFORCE
from cli.demo.deals import (
    APPROVER,
    BOREALIS,
    KESTREL,
    MERGANSER,
    PARTNERS,
    SANDPIPER,
    SUBMITTER,
    Deal,
    closes_on,
)
from cli.demo.scene import Scene
from cli.frame import Exit

_HEADER = "partner,customer,country,tax_id,deal,product,amount,currency,close"
#: Rows that cannot land, and the column each is wrong in; they stand on lines 3, 5 and 6.
_BAD = (
    (3, "amount", "brightfen,Oddfellow Mills Ltd,GB,,Loom refit,platform,12k,GBP,{close}"),
    (5, "close", "aldermoor,Fenwick Tools Ltd,GB,,Tool crib,platform,22000,GBP,2027-02-30"),
    (6, "partner", "nobody,Larkrise Homes Ltd,GB,,Site cabins,platform,30000,GBP,{close}"),
)
_GOOD = {"kestrel": KESTREL, "sandpiper": SANDPIPER, "merganser": MERGANSER}


def registrations_arrive(scene: Scene) -> None:
    """Three partners; one registration typed, three imported, three refused with the reason."""
    scene.cast.pipeline_before = scene.crms.pipeline()
    for code, name, tier in PARTNERS:
        line = f"partner add {code} --name '{name}' --tier {tier} --email deals@{code}.example"
        scene.type(line, f"{name} is a {tier} partner")
    scene.submit("borealis", BOREALIS.submit())
    file = scene.cast.folder / "deals.csv"
    file.write_text("\n".join(_lines()) + "\n", encoding="utf-8")
    command = f"registration import {file} --actor {SUBMITTER}"
    first = scene.type(command, "good rows land, bad ones are told", code=Exit.FAILED).data
    for deal, landed in zip(_GOOD, first["registered"], strict=True):
        scene.know(deal, landed["number"])
    told = [(row["line"], row["field"]) for row in first["bad"]]
    scene.see(
        file.name,
        "lines 3, 5 and 6 refused with field, reason and fix",
        "; ".join(
            f"line {r['line']}, {r['field']}: {r['reason']}. {r['fix']}" for r in first["bad"]
        ),
        held=told == [(line, column) for line, column, _ in _BAD]
        and all(row["reason"] and row["fix"] for row in first["bad"]),
    )
    again = scene.type(command, "importing it again adds nothing", code=Exit.FAILED).data
    count = len(scene.type("registration list", "four registrations").data)
    scene.see(
        "registration list",
        "0 registered, 3 already there, 4 in all",
        f"{len(again['registered'])} registered, {len(again['already_there'])} already there, "
        f"{count} in all",
        held=(len(again["registered"]), len(again["already_there"]), count) == (0, 3, 4),
    )


def _lines() -> list[str]:
    bad = {line: text.format(close=closes_on()) for line, _, text in _BAD}
    good = iter(_GOOD.values())
    last = 1 + len(bad) + len(_GOOD)
    return [_HEADER, *(bad.get(line) or next(good).row() for line in range(2, last + 1))]


def clean_deal(scene: Scene) -> None:
    """A clean deal is checked, approved by the rule, protected and mirrored; so is a German one."""
    found = scene.await_state("borealis", "approved")
    check = found["check"]
    read = sorted(r["connection"] for r in check["readings"] if r["complete"])
    scene.see(
        "its conflict check",
        "complete, live from all three CRMs, no finding",
        f"{', '.join(read)}; {len(check['findings'])} findings",
        held=read == ["dynamics", "hubspot", "salesforce"]
        and check["complete"]
        and not check["findings"],
    )
    by = [event["actor"] for event in scene.crms.events(scene.number("borealis"), "approve")]
    protected = found["registration"]["protection_state"]
    scene.see(
        f"audit show {scene.number('borealis')}",
        "approved once, by the low-risk rule; protection active",
        f"approved by {', '.join(by)}; protection {protected}",
        held=by == ["dealreg"] and protected == "active",
    )
    _await_at_home(scene, "borealis", BOREALIS, SALESFORCE)
    scene.await_state("kestrel", "under_review")
    scene.type(
        f"approval approve {scene.number('kestrel')} --actor {APPROVER}",
        "EUR never passes the USD rule, so a person approves",
    )
    _await_at_home(scene, "kestrel", KESTREL, DYNAMICS)
    expected = {"USD": Decimal(BOREALIS.amount), "EUR": Decimal(KESTREL.amount)}
    see_pipeline_rose(scene, expected)


def _await_at_home(scene: Scene, name: str, deal: Deal, home: str) -> None:
    accounts = {
        crm: scene.crms.account_id(crm, deal.tax_id) for crm in (SALESFORCE, DYNAMICS, HUBSPOT)
    }
    scene.await_places(
        name,
        home,
        lambda place: place.account_id == accounts[place.crm] and place.amount == deal.amount,
        "each on the customer's own account",
    )


def see_pipeline_rose(scene: Scene, expected: Mapping[str, Decimal]) -> None:
    """See that the forecast of the three CRMs together rose by exactly this much since the start."""
    before, now = scene.cast.pipeline_before, scene.crms.pipeline()
    rise = {code: total - before.get(code, Decimal(0)) for code, total in now.items()}
    rise = {code: amount for code, amount in rise.items() if amount}
    scene.see(
        "open pipeline of the three CRMs",
        "rose once per deal: " + _amounts(expected),
        _amounts(rise),
        held=rise == dict(expected),
    )


def _amounts(amounts: Mapping[str, Decimal]) -> str:
    told = (f"{amount:+,.2f} {code}" for code, amount in sorted(amounts.items()))
    return ", ".join(told) or "nothing"

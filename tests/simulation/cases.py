"""A story as data: who does what and when, and what goes wrong; drawn from a seed, kept as JSON.

Swarm style: every seed switches a random subset of faults on, with random intensity, so that
rare combinations occur and quiet runs exist. Because a story is data, it can be shrunk.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

#: CRMs of a story; the first is home. What they are like is drawn from the seed.
CRMS = ("alpha", "beta")
#: Vendors by their habits: see `vendors.py`.
HABITS = ("stamps", "search", "delta")
#: Fields that users write unique values into.
TOKEN_FIELDS = ("Name", "Amount", "Close")
_STAGES = ("Q1", "Q0", "D", "P", "N")


@dataclass(frozen=True)
class Act:
    """Something a person does: at a time, or right at a call of the engine to a CRM (`ambush`)."""

    who: str  #: `alpha`, `beta` (CRM users), `desk` (store users), `admin`, `operator`
    verb: str
    at: float
    args: dict[str, Any]
    #: `crm operation nth before|after`; empty means at `at`.
    ambush: str = ""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, at the n-th call, message, transaction or pause of its kind."""

    kind: str
    where: str
    nth: int
    much: float = 0.0


@dataclass(frozen=True)
class Case:
    """One story."""

    seed: int
    habits: dict[str, str]
    wins: dict[str, str]
    workers: int
    deals: int
    seconds: float
    feed_page: int
    write_batch: int
    skew: dict[str, float]
    tick: float
    #: The first deals are approved and linked before the story begins.
    linked: bool
    acts: tuple[Act, ...]
    faults: tuple[Fault, ...]
    #: Clocks that tick side by side.
    clocks: int = 1
    #: Calls that a CRM allows until the faults end; a CRM without a number counts none.
    quotas: dict[str, int] = field(default_factory=dict)
    #: Edits after everything has come to rest, which must arrive in time; with or without notices.
    calm: tuple[Act, ...] = ()
    calm_is_deaf: bool = False

    def dump(self) -> str:
        """Return the story as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Self:
        """Read a story from JSON."""
        told = json.loads(text)
        told["acts"] = tuple(Act(**act) for act in told["acts"])
        told["faults"] = tuple(Fault(**fault) for fault in told["faults"])
        told["calm"] = tuple(Act(**act) for act in told.get("calm", ()))
        return cls(**told)


#: Kinds of faults, the places where each may strike, and how late at most (n-th).
_CALLS = ("read", "find", "create", "update", "history", "changes", "select", "count")
_WORK = ("push", "push", "pull", "poll", "check")
FAULT_KINDS: dict[str, tuple[tuple[str, ...], int, float]] = {
    "error_before": (_CALLS, 12, 0),
    "answer_lost": (("create", "update", "create", "update", "read"), 3, 0),
    "part_lost": (("create", "update"), 4, 0),
    "latency": (_CALLS, 10, 20.0),
    "stall": (("update", "create", "read", "update"), 6, 25.0),
    "throttled": (_CALLS, 12, 12.0),
    "token_expired": (_CALLS, 20, 0),
    "row_locked": (("update", "create"), 6, 3.0),
    "rows_refused": (("update", "create"), 4, 0),
    "feed_expired": (("changes",), 8, 0),
    "short_page": (("changes",), 10, 0),
    "notice_dropped": (("notice",), 12, 0),
    "notice_doubled": (("notice",), 12, 0),
    "notice_late": (("notice",), 12, 15.0),
    "nudge_dropped": (("queue",), 40, 0),
    "nudge_doubled": (("queue",), 40, 0),
    "queue_flushed": (("queue",), 40, 0),
    "notices_off": (("notice",), 1, 0),
    "killed": (tuple(f"worker {verb}" for verb in _WORK), 60, 0),
    "commit_lost": (tuple(f"store {verb}" for verb in _WORK), 40, 0),
    "poll_cut": (("store poll",), 45, 0),
    "commit_unknown": (tuple(f"store {verb}" for verb in _WORK), 40, 0),
}


def draw(seed: int, only: tuple[str, ...] = ()) -> Case:
    """Draw the story of a seed; `only` gives a profile: these faults are on, strongly."""
    rng = random.Random(f"dealreg {seed}")
    deals = rng.choice((1, 1, 1, 2))
    case = Case(
        seed=seed,
        habits=dict(zip(CRMS, _habits(rng), strict=True)),
        wins={
            group: rng.choice(("home", "home", "store", "manual"))
            for group in ("name", "amount", "close", "stage")
        },
        workers=rng.choice((1, 2, 3)),
        deals=deals,
        seconds=rng.choice((12.0, 20.0, 30.0)),
        feed_page=rng.choice((1, 2, 5, 50)),
        write_batch=rng.choice((1, 2, 50)),
        skew={name: rng.choice((0.0, 0.0, rng.uniform(-300, 300))) for name in CRMS},
        tick=rng.choice((4.0, 8.0)),
        linked=rng.random() < 0.7,
        acts=(),
        faults=(),
    )
    acts = [*_starts(rng, case), *_edits(rng, case), *_rare(rng, case), *_admin(rng, case)]
    faults = _faults(rng, only)
    told = replace(case, acts=tuple(sorted(acts, key=lambda a: a.at)), faults=tuple(faults))
    return told if seed % 3 else _richer(told)


def _richer(case: Case) -> Case:
    """Add what only some stories have, so that the others are told the sooner."""
    rng = random.Random(f"dealreg richer {case.seed}")
    crm = rng.choice(CRMS)
    rare = (
        (0.3, Act(crm, "automate", rng.uniform(0, 12), {"field": "Name", "value": "Deal n95"})),
        (0.2, Act(crm, "forget_unique", rng.uniform(0, 12), {"field": "Key"})),
        *((0.1, _administration(rng, case)) for _ in range(6)),
    )
    acts = [*case.acts, *(act for chance, act in rare if rng.random() < chance)]
    told = replace(
        case,
        clocks=rng.choice((1, 2)),
        quotas={name: rng.randint(40, 120) for name in CRMS if rng.random() < 0.25},
        calm=_calm(rng, case) if rng.random() < 0.4 else (),
        calm_is_deaf=rng.random() < 0.5,
    )
    acts += _operations(rng, case)
    return replace(told, acts=tuple(sorted(acts, key=lambda a: a.at)))


def _operations(rng: random.Random, case: Case) -> list[Act]:
    """What an operator does to a whole connection: undo its runs, stop it and let it go on."""
    acts = []
    for _ in range(rng.choice((0, 0, 1, 2))):
        args: dict[str, Any] = {"crm": rng.choice(CRMS), "back": rng.choice((0, 0, 1))}
        acts.append(Act("operator", "undo_run", rng.uniform(5, case.seconds), args))
    if rng.random() < 0.2:
        args = {"crm": rng.choice((*CRMS, "*")), "writes_only": rng.random() < 0.5}
        since = rng.uniform(1, case.seconds - 3)
        acts.append(Act("operator", "stop", since, args))
        acts.append(Act("operator", "resume", since + rng.uniform(1.5, 8), {"crm": args["crm"]}))
    return acts


def _calm(rng: random.Random, case: Case) -> tuple[Act, ...]:
    """Somebody edits one field of one deal when nothing else happens any more."""
    edited = rng.choice(TOKEN_FIELDS)
    value = _token(rng, edited, 14)
    for taken, own in (("n14", "n94"), ("74", "94"), ("-15", "-25")):  # a storm may write those
        value = value.replace(taken, own)
    args = {"deal": rng.randrange(case.deals), "field": edited, "value": value}
    return (Act(rng.choice((*CRMS, "desk")), "edit", rng.uniform(0, 3), args),)


def _habits(rng: random.Random) -> tuple[str, str]:
    first = rng.choice(HABITS)
    return first, rng.choice([habit for habit in HABITS if habit != first])


def _starts(rng: random.Random, case: Case) -> list[Act]:
    acts = []
    for deal in range(case.deals):
        rival = deal > 0 and rng.random() < 0.5
        args = {"deal": deal, "tax": "DE100" if rival or deal == 0 else "DE200"}
        args |= {"partner": "BETA" if rival else "ACME", "big": rng.random() < 0.15}
        at = -1.0 if case.linked and not rival else rng.uniform(0, 2)
        acts.append(Act("desk", "submit", at, args))
    return acts


def _edits(rng: random.Random, case: Case) -> list[Act]:
    """Edits that collide in time, with values nobody else writes; some strike right at a call."""
    moments = sorted(
        rng.uniform(1 if case.linked else 6, case.seconds - 3) for _ in range(rng.randint(1, 4))
    )
    storm = rng.random() < 0.15
    acts = []
    for place in range(rng.randint(12, 20) if storm else rng.randint(4, 12)):
        who = rng.choice(("alpha", "alpha", "beta", "desk"))
        field = rng.choice((*TOKEN_FIELDS, "Stage"))
        value = rng.choice(_STAGES) if field == "Stage" else _token(rng, field, place)
        args: dict[str, Any] = {"deal": rng.randrange(case.deals), "field": field, "value": value}
        if who != "desk" and rng.random() < 0.2:
            args["late"] = round(rng.uniform(0.5, 8), 3)
        at = max(0.1, rng.choice(moments) + rng.uniform(-1, 1) * rng.choice((0.05, 0.5, 3)))
        ambush = _ambush(rng, who) if rng.random() < 0.4 else ""
        acts.append(Act(who, "edit", at, args, ambush))
    if rng.random() < 0.6:
        stage = rng.choice(("D", "P"))
        args = {"deal": 0, "field": "Stage", "value": stage}
        acts.append(Act("alpha", "edit", rng.uniform(1, 12), args))
    return acts


def _token(rng: random.Random, field: str, place: int) -> str:
    if field == "Name":
        tail = ", and what else they may want of us next year" if rng.random() < 0.2 else ""
        return f"{'  ' if rng.random() < 0.2 else ''}Deal n{place}{tail}"
    if field == "Amount":
        return f"{6000 + 100 * place}.{rng.choice(('5', '25', '00'))}"
    return f"2026-{10 + place % 3}-{1 + place:02d}"


def _ambush(rng: random.Random, who: str) -> str:
    operation = rng.choice(("update", "update", "create", "read", "find", "history", "changes"))
    crm = rng.choice(CRMS) if who == "desk" or rng.random() < 0.2 else who
    return f"{crm} {operation} {rng.randint(1, 5)} {rng.choice(('before', 'after'))}"


def _rare(rng: random.Random, case: Case) -> list[Act]:
    """What happens to few deals: deletes, merges, rivals' opportunities, schema changes, closing."""

    def late() -> float:
        return rng.uniform(6, case.seconds)

    deal = rng.randrange(case.deals)
    crm = rng.choice(CRMS)
    rare = (
        (0.08, Act(crm, "delete", late(), {"deal": deal})),
        (0.06, Act(crm, "merge", late(), {"deal": deal})),
        (0.04, Act(crm, "restore", late(), {"deal": deal})),
        (0.12, Act("alpha", "opportunity", rng.uniform(0, 6), {"tax": "DE100"})),
        (0.06, Act(crm, "remove_option", late(), {"field": "Stage", "option": "D"})),
        (0.05, Act(crm, "remove_field", late(), {"field": rng.choice(("Partner", "Name"))})),
        (0.10, Act("alpha", "edit", late(), {"deal": deal, "field": "Stage", "value": "Won"})),
        (0.05, Act("alpha", "edit", late(), {"deal": deal, "field": "Stage", "value": "P"})),
        (0.08, Act(crm, "mark", rng.uniform(0, 8), {"tax": "DE100", "mark": "Direct"})),
        (0.06, Act(crm, "hide_canary", rng.uniform(0, 4), {"mark": "House"})),
        (0.08, Act("desk", "withdraw", late(), {"deal": deal})),
        (0.15, Act("desk", "approve", late(), {"deal": deal})),
        (
            0.08,
            Act(
                "desk",
                "choose_account",
                late(),
                {"deal": deal, "crm": crm, "approve": rng.random() < 0.5},
            ),
        ),
        (0.05, Act("desk", "edit", late(), {"deal": deal, "field": "Name", "value": "POISON n90"})),
        (0.10, Act("desk", "extend", late(), {"deal": deal})),
        (0.06, Act(crm, "clear", late(), {"deal": deal, "field": "Amount"})),
        (0.04, Act(crm, "mass_delete", late(), {})),
    )
    return [act for chance, act in rare if rng.random() < chance]


def _admin(rng: random.Random, case: Case) -> list[Act]:
    return [_administration(rng, case) for _ in range(rng.choice((0, 0, 1, 3)))]


def _administration(rng: random.Random, case: Case) -> Act:
    verb = rng.choice(("resolve", "resolve", "undo", "accept", "reject", "retry"))
    args = {"choice": rng.choice(("ours", "theirs"))}
    return Act("admin", verb, rng.uniform(8, case.seconds), args)


def _faults(rng: random.Random, only: tuple[str, ...]) -> list[Fault]:
    if rng.random() < 0.1 and not only:
        return []
    on = only or tuple(k for k in FAULT_KINDS if rng.random() < 0.3)
    faults = []
    for kind in on:
        places, latest, much = FAULT_KINDS[kind]
        for _ in range(rng.randint(1, 6 if only else 4)):
            place = rng.choice(places)
            if place in _CALLS:
                place = f"{rng.choice(CRMS)} {place}"
            faults.append(Fault(kind, place, rng.randint(1, latest), rng.uniform(0, much)))
    return faults

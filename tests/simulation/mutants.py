"""The engine's protections, each taken away by replacing one named production function.

A mutant that no story catches shows that a protection is not tested. Nothing in the product
knows of this: a replacement is put in by its import path, for one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from tests.simulation import without
from tests.simulation.cases import Case
from tests.simulation.vendors import POISON


@dataclass(frozen=True)
class Mutant:
    """One protection that is missing."""

    name: str
    #: What the harness should see break.
    breaks: str
    patches: Mapping[str, Any]
    #: Faults under which it shows soonest; empty means any story.
    profile: tuple[str, ...] = ()
    #: Stories in which it can show at all; others are not worth telling.
    needs: Callable[[Case], bool] = field(default=lambda case: True)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Take the protection away for a while."""
        with ExitStack() as stack:
            for path, replacement in self.patches.items():
                stack.enter_context(mock.patch(path, replacement))
            yield


def _with(*verbs: str) -> Callable[[Case], bool]:
    """Return a test for stories in which somebody does all of this."""
    return lambda case: set(verbs) <= {act.verb for act in case.acts}


def _writes(*values: str, who: str = "") -> Callable[[Case], bool]:
    """Return a test for stories in which somebody writes all of these values."""
    return lambda case: (
        set(values) <= {act.args.get("value") for act in case.acts if not who or act.who == who}
    )


def _habit(habit: str) -> Callable[[Case], bool]:
    return lambda case: habit in case.habits.values()


def _collides(case: Case) -> bool:
    """Somebody strikes between read and write of a CRM with preconditions, where others write too."""
    crm = next((name for name, habit in case.habits.items() if habit == "delta"), "")
    strikes = {
        act.args.get("field")
        for act in case.acts
        if act.who == crm and act.ambush.startswith(f"{crm} update") and "before" in act.ambush
    }
    others = {act.args.get("field") for act in case.acts if act.who not in (crm, "admin")}
    return case.linked and bool(strikes & others - {"Stage", None})


def _rivals(case: Case) -> bool:
    approved = {a.args["deal"] for a in case.acts if a.verb == "approve"}
    return 1 in approved and any(a.args.get("partner") == "BETA" for a in case.acts)


def _shared_batch(case: Case) -> bool:
    poison = any(POISON in str(act.args.get("value")) for act in case.acts)
    return case.deals > 1 and case.write_batch > 1 and poison


MUTANTS: tuple[Mutant, ...] = (
    Mutant("base ignored", "I1 I6", {"sync.plans.jobs.plan": without.base_ignored}),
    Mutant(
        "intents never settled",
        "I3",
        {"sync.outcomes.lost_answers.settle_pending": without.nothing},
        ("answer_lost", "part_lost"),
    ),
    Mutant(
        "create without look-up",
        "I3",
        {"sync.traffic.guard.GuardedConnector.find": without.empty},
        ("answer_lost", "part_lost", "killed"),
        needs=lambda case: not case.linked,
    ),
    Mutant(
        "linked without base", "I6", {"sync.outcomes.settling.add_link": without.link_without_base}
    ),
    Mutant(
        "no compare-and-set on the link",
        "I1 I6",
        {
            "sync.push.carry_out": without.carry_out_anyway,
            "sync.taking.carry_out": without.carry_out_anyway,
        },
    ),
    Mutant(
        "no precondition",
        "I2",
        {"sync.plans.contention.UpdateItem": without.without_version},
        needs=_collides,
    ),
    Mutant("no history audit", "I2", {"sync.outcomes.auditing._overwritten": without.nobody}),
    Mutant(
        "base not advanced", "I4", {"sync.outcomes.settling.intend": without.intend_without_base}
    ),
    Mutant(
        "cursor before rows, nothing read again",
        "I3",
        {"sync.runs._poll_object": without.cursor_first, "sync.runs._reread": without.none},
        ("poll_cut", "notices_off"),
        needs=lambda case: _habit("delta")(case) and case.linked and case.seconds == 30,
    ),
    Mutant(
        "polls note nothing, nothing read again",
        "I3",
        {"sync.runs._noteworthy": without.nobody, "sync.runs._reread": without.none},
        ("notices_off",),
    ),
    Mutant(
        "notices swallowed, polls note nothing",
        "I3",
        {
            "sync.ledger.inbox.note_read": without.read_up_to_now,
            "sync.runs._noteworthy": without.nobody,
            "sync.runs._reread": without.none,
        },
        ("latency",),
    ),
    Mutant(
        "changes swallowed, pulls ask for no push",
        "I3",
        {
            "sync.outcomes.settling.outbox_done": without.done_up_to_now,
            "sync.outcomes.dead_letters.was_refused": without.yes,
        },
    ),
    Mutant(
        "losers not kept on take",
        "I1",
        {"sync.plans.carrying.keep_conflict": without.keep_open_ones},
    ),
    Mutant(
        "losers not kept on restore",
        "I1",
        {"sync.plans.carrying.keep_conflict": without.keep_no_restores},
    ),
    Mutant(
        "orphans made again",
        "I9",
        {"sync.outcomes.losing.lose": without.make_again},
        needs=_with("delete"),
    ),
    Mutant(
        "no bisecting", "I11", {"sync.push.sent": without.whole_batch_refused}, needs=_shared_batch
    ),
    Mutant(
        "refused rows stay due",
        "I3",
        # A drain would send a refused row again and again until its last round: one is enough.
        {"sync.outcomes.settling._refused": without.nothing, "sync.push.ROUNDS_MAX": 1},
        needs=_writes(f"{POISON} n90"),
    ),
    Mutant(
        "not compared in canonical form", "I4", {"sync.plans.planning.canonical": without.as_it_is}
    ),
    Mutant(
        "refusals forgotten",
        "I3",
        {"registration_core.crm_changes.apply": without.apply_or_forget},
        needs=lambda case: _with("withdraw")(case) and _writes("Won")(case),
    ),
    Mutant(
        "approved on any check",
        "I8",
        {
            "registration_core.use_cases.require_usable": without.any_check,
            "sync.checking.require_usable": without.any_check,
        },
        needs=_with("approve"),
    ),
    Mutant(
        "approved on an old check",
        "I8",
        {
            "registration_core.use_cases.require_usable": without.any_age,
            "sync.checking.require_usable": without.any_age,
        },
        needs=lambda case: any(a.args.get("approve") for a in case.acts),
    ),
    Mutant(
        "no protection lock, no index",
        "law 7",
        {"registration_core.store.protection._free_slot": without.next_slot},
        needs=_rivals,
    ),
    Mutant(
        "options relabelled",
        "I4",
        {"sync.plans.jobs.plan": without.relabel},
        needs=_writes("Q0", who="alpha"),
    ),
    Mutant(
        "outcomes shifted",
        "I9 I11",
        {"sync.push._settle": without.shifted},
        needs=lambda case: case.deals > 1 and case.write_batch > 1,
    ),
    Mutant(
        "lost answers taken for success",
        "I6",
        {"sync.outcomes.lost_answers._looked_up": without.surely_done},
        ("answer_lost", "part_lost", "killed", "error_before"),
    ),
    Mutant(
        "delayed writes taken for users'",
        "I6",
        {"sync.plans.late.arrived": without.empty},
        ("stall", "answer_lost"),
        needs=lambda case: "delta" not in case.habits.values(),
    ),
    Mutant(
        "reps' opportunities not looked for",
        "law 5",
        {"sync.proposals.proposing.propose_fitting": without.empty},
        needs=lambda case: _with("opportunity")(case) and not case.linked,
    ),
    Mutant(
        "leases not fenced, links not compared",
        "I1 I6",
        {
            "sync.process.leases.require": without.nothing,
            "sync.process.leases.renew": without.yes,
            "sync.push.carry_out": without.carry_out_anyway,
            "sync.taking.carry_out": without.carry_out_anyway,
        },
        ("stall", "latency"),
    ),
    Mutant(
        "polls not scheduled",
        "I7",
        {"sync.process.schedule.claim": without.claimed_unless_a_poll},
        needs=lambda case: bool(case.calm) and case.calm_is_deaf and case.linked,
    ),
    Mutant(
        "work kept in the queue alone",
        "I3 I10",
        {
            "registration_core.store.work.request_push": without.push_later,
            "tests.simulation.stage.SimDatabase.begin": without.begin_and_push_later,
        },
    ),
    Mutant(
        "budget not kept",
        "I15",
        {"sync.traffic.budget.keep_reserve": without.nothing},
        needs=lambda case: 0 < min(case.quotas.values(), default=0) < 70,
    ),
    Mutant(
        "asked for quiet in vain",
        "I15",
        {"sync.traffic.connection_state._pause_seconds": without.none},
        ("throttled",),
    ),
    Mutant(
        "full speed after a quiet",
        "I15",
        {"sync.traffic.budget.calls_per_second": without.nothing},
        ("throttled",),
    ),
    Mutant(
        "a stop that nobody heeds",
        "I15",
        {"sync.traffic.switch.require_going": without.nothing},
        needs=_with("stop"),
    ),
    Mutant(
        "runs undone over what was changed since",
        "I1",
        {"sync.repair.undoing._touched": without.no_reason},
        needs=_with("undo_run"),
    ),
    Mutant(
        "one state for all connections",
        "I16",
        {"sync.traffic.connection_state.held": without.alphas},
    ),
    Mutant(
        "slots claimed blindly",
        "I4",
        {"sync.process.schedule._moved": without.moved_blindly},
        needs=lambda case: case.clocks > 1,
    ),
    Mutant(
        "no breaker",
        "I3 I4",
        {"sync.plans.planning._broken": lambda _situation, _group, merged, *_: merged},
        needs=lambda case: _with("automate")(case) and case.wins["name"] == "store",
    ),
    Mutant(
        "a field that vanished reads as empty",
        "I17",
        {
            "connectors.memory.MemoryConnector._known": without.nothing,
            "connectors.memory_org.MemoryOrg.as_remote": without.reads_empty,
            "sync.mappings.schema_watch.standing_still": without.empty,
        },
        needs=_with("remove_field"),
    ),
    Mutant(
        "audit events not chained",
        "law 12",
        {"registration_core.store.audit._end_of_chain": without.unchained},
    ),
)

__all__ = ["MUTANTS", "Mutant"]

"""The engine's protections, each taken away by replacing one named production function.

A mutant that no story catches shows that a protection is not tested. Nothing in the product
knows of this: a replacement is put in by its import path, for one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from sqlalchemy import delete

from connectors.errors import CallRejected
from connectors.port import Outcome, Refused, UpdateItem, Written
from mapping.translate import Translation
from registration_core import crm_changes
from registration_core.conflict_check import require_usable
from registration_core.contracts import Fields
from registration_core.fields import FieldGroup
from registration_core.store import repository
from registration_core.store.tables import OutboxRow
from sync import carrying, directory, planning, push, runs, settling
from sync.inbox import take_note
from sync.ledger.tables import CursorRow, InboxRow, LinkRow
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


def _base_ignored(situation: planning.Situation) -> planning.Plan:
    return planning.plan(replace(situation, base=None))


def _link_without_base(unit: Any, intent: Any, record_id: str, _base: Any) -> Any:
    return _add_link(unit, intent, record_id, {})


_add_link, _intend, _carry_out = settling.add_link, settling.intend, carrying.carry_out
_keep_conflict, _apply = carrying.keep_conflict, crm_changes.apply
_settle = push._settle


def _intend_without_base(unit: Any, connection: Any, planned: Any, link: Any, base: Any) -> Any:
    return _intend(unit, connection, planned, link, base if link is None else {})


def _carry_out_anyway(unit: Any, planned: Any, program: Any, **about: Any) -> Any:
    about["registration_version"] = repository.registration(
        unit.session, about["registration_id"]
    ).version
    about["link_version"] = unit.session.get_one(
        LinkRow, about["link_id"], populate_existing=True
    ).version
    return _carry_out(unit, planned, program, **about)


def _without_version(record_id: str, fields: Fields, _version: str | None) -> UpdateItem:
    return UpdateItem(record_id, fields)


def _cursor_first(runtime: Any, crm: Any, object_name: str, lease: Any) -> tuple[int, int]:
    mapping = runtime.mappings[crm.name]
    keys = {m.key for m in mapping.objects.values() if m.object == object_name}
    while True:
        with runtime.database.read() as session:
            row = session.get(CursorRow, (crm.name, object_name))
        cursor, version = (row.cursor, row.version) if row else (None, 0)
        page = crm.changes(object_name, sorted(keys), cursor)
        with runtime.database.begin() as unit:
            directory.move_cursor(unit, crm.name, object_name, page, version)
        with runtime.database.begin() as unit:
            noted = runs._noteworthy(unit, crm.name, object_name, page, keys, set())
            take_note(unit, crm.name, noted, "poll")
        if not page.more:
            return 0, 0


def _read_up_to_now(unit: Any, rows: Sequence[InboxRow]) -> None:
    for row in rows:
        now = unit.session.get_one(InboxRow, (row.connection, row.object, row.record_id))
        now.read = now.noticed


def _done_up_to_now(unit: Any, registration_id: str, connection: Any, wanted: int) -> None:
    row = unit.session.get(OutboxRow, (registration_id, connection), populate_existing=True)
    if row is not None:
        row.done, row.attempts, row.reason = row.wanted, 0, ""


def _keep_open_ones(unit: Any, link: Any, group: Any, conflict: Any, *rest: Any) -> None:
    if conflict is None or conflict.settled != "remote":
        _keep_conflict(unit, link, group, conflict, *rest)


def _keep_no_restores(unit: Any, link: Any, group: Any, conflict: Any, *rest: Any) -> None:
    if conflict is None or conflict.settled != "store":
        _keep_conflict(unit, link, group, conflict, *rest)


def _make_again(unit: Any, link: LinkRow, gone: Any) -> None:
    unit.session.execute(delete(LinkRow).where(LinkRow.id == link.id))
    row = unit.session.get(OutboxRow, (link.registration_id, link.connection))
    row.wanted += 1


def _whole_batch_refused(send: Callable[..., Any], items: Sequence[Any]) -> list[Outcome]:
    try:
        return list(send(items))
    except CallRejected as error:
        return [Refused(error.code, error.message) for _ in items]


def _as_it_is(mapping: Any, ours: Fields) -> Translation:
    names = {row.ours.name for group in mapping.groups.values() for row in group.rows}
    return Translation({name: value for name, value in ours.items() if name in names})


def _apply_or_forget(*args: Any, **kwargs: Any) -> crm_changes.Applied:
    return replace(_apply(*args, **kwargs), refused={})


def _any_check(*_args: Any) -> None:
    return


def _any_age(check: Any, registration: Any, program: Any, *rest: Any) -> None:
    require_usable(
        check, replace(registration, match_keys_changed_at=check.began_at), program, *rest
    )


def _next_slot(unit: Any, registration: Any, customer_id: str, slots: int) -> int:
    taken = repository.standing_claims(unit.session, customer_id, registration.product_line)
    return max((claim.slot for claim in taken), default=0) + 1


def _relabel(situation: planning.Situation) -> planning.Plan:
    planned = planning.plan(situation)
    touched = "Stage" in planned.write or FieldGroup.STAGE in planned.takes
    if (situation.remote or {}).get("Stage") == "Q0" and not touched:
        return replace(planned, write={**planned.write, "Stage": "Q1"})
    return planned


def _base_as_it_is(_job: Any, _record: Any, base: Fields | None) -> Fields | None:
    return base


def _shifted(runtime: Any, intents: Sequence[Any], outcomes: Sequence[Outcome]) -> None:
    _settle(runtime, intents, [*outcomes[1:], *outcomes[:1]])


def _surely_done(mapping: Any, intent: Any, record: Any) -> Outcome:
    return Written(str(intent.record_id))


def _nobody(*_args: Any, **_kwargs: Any) -> list[Any]:
    return []


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return


def _none(*_args: Any, **_kwargs: Any) -> int:
    return 0


def _never(*_args: Any, **_kwargs: Any) -> bool:
    return False


def _yes(*_args: Any, **_kwargs: Any) -> bool:
    return True


def _empty(*_args: Any, **_kwargs: Any) -> dict[str, Any]:
    return {}


MUTANTS: tuple[Mutant, ...] = (
    Mutant("base ignored", "I1 I6", {"sync.jobs.plan": _base_ignored}),
    Mutant(
        "intents never settled",
        "I3",
        {"sync.lost_answers.settle_pending": _nothing},
        ("answer_lost", "part_lost"),
    ),
    Mutant(
        "create without look-up",
        "I3",
        {"sync.guard.GuardedConnector.find": _empty},
        ("answer_lost", "part_lost", "killed"),
        needs=lambda case: not case.linked,
    ),
    Mutant("linked without base", "I6", {"sync.settling.add_link": _link_without_base}),
    Mutant(
        "no compare-and-set on the link",
        "I1 I6",
        {"sync.push.carry_out": _carry_out_anyway, "sync.taking.carry_out": _carry_out_anyway},
    ),
    Mutant("no precondition", "I2", {"sync.push.UpdateItem": _without_version}, needs=_collides),
    Mutant("no history audit", "I2", {"sync.auditing._overwritten": _nobody}),
    Mutant("base not advanced", "I4", {"sync.settling.intend": _intend_without_base}),
    Mutant(
        "cursor before rows, nothing read again",
        "I3",
        {"sync.runs._poll_object": _cursor_first, "sync.runs._reread": _none},
        ("poll_cut", "notices_off"),
        needs=lambda case: _habit("delta")(case) and case.linked and case.seconds == 30,
    ),
    Mutant(
        "polls note nothing, nothing read again",
        "I3",
        {"sync.runs._noteworthy": _nobody, "sync.runs._reread": _none},
        ("notices_off",),
    ),
    Mutant(
        "notices swallowed, polls note nothing",
        "I3",
        {
            "sync.inbox.note_read": _read_up_to_now,
            "sync.runs._noteworthy": _nobody,
            "sync.runs._reread": _none,
        },
        ("latency",),
    ),
    Mutant(
        "changes swallowed, pulls ask for no push",
        "I3",
        {"sync.settling.outbox_done": _done_up_to_now, "sync.dead_letters.was_refused": _yes},
    ),
    Mutant("losers not kept on take", "I1", {"sync.carrying.keep_conflict": _keep_open_ones}),
    Mutant("losers not kept on restore", "I1", {"sync.carrying.keep_conflict": _keep_no_restores}),
    Mutant("orphans made again", "I9", {"sync.settling.lose": _make_again}, needs=_with("delete")),
    Mutant("no bisecting", "I11", {"sync.push.sent": _whole_batch_refused}, needs=_shared_batch),
    Mutant(
        "refused rows stay due",
        "I3",
        {"sync.settling._refused": _nothing},
        needs=_writes(f"{POISON} n90"),
    ),
    Mutant("not compared in canonical form", "I4", {"sync.planning.canonical": _as_it_is}),
    Mutant(
        "refusals forgotten",
        "I3",
        {"registration_core.crm_changes.apply": _apply_or_forget},
        needs=lambda case: _with("withdraw")(case) and _writes("Won")(case),
    ),
    Mutant(
        "approved on any check",
        "I8",
        {
            "registration_core.use_cases.require_usable": _any_check,
            "sync.checking.require_usable": _any_check,
        },
        needs=_with("approve"),
    ),
    Mutant(
        "approved on an old check",
        "I8",
        {
            "registration_core.use_cases.require_usable": _any_age,
            "sync.checking.require_usable": _any_age,
        },
        needs=lambda case: any(a.args.get("approve") for a in case.acts),
    ),
    Mutant(
        "no protection lock, no index",
        "law 7",
        {"registration_core.store.protection._free_slot": _next_slot},
        needs=_rivals,
    ),
    Mutant(
        "options relabelled", "I4", {"sync.jobs.plan": _relabel}, needs=_writes("Q0", who="alpha")
    ),
    Mutant(
        "outcomes shifted",
        "I9 I11",
        {"sync.push._settle": _shifted},
        needs=lambda case: case.deals > 1 and case.write_batch > 1,
    ),
    Mutant(
        "lost answers taken for success",
        "I6",
        {"sync.lost_answers._looked_up": _surely_done},
        ("answer_lost", "part_lost", "killed", "error_before"),
    ),
    Mutant(
        "delayed writes taken for users'",
        "I6",
        {"sync.jobs._explained": _base_as_it_is},
        ("stall", "answer_lost"),
        needs=lambda case: "delta" not in case.habits.values(),
    ),
    Mutant(
        "reps' opportunities not looked for",
        "law 5",
        {"sync.linking.proposes": _never},
        needs=lambda case: _with("opportunity")(case) and not case.linked,
    ),
    Mutant(
        "leases not fenced, links not compared",
        "I1 I6",
        {
            "sync.leases.require": _nothing,
            "sync.leases.renew": _yes,
            "sync.push.carry_out": _carry_out_anyway,
            "sync.taking.carry_out": _carry_out_anyway,
        },
        ("stall", "latency"),
    ),
)

__all__ = ["MUTANTS", "Mutant"]

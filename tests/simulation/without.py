"""Stand-ins for the engine's protections, each of which does not protect: see `mutants.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import delete

from connectors.errors import CallRejected
from connectors.memory_org import MemoryOrg
from connectors.port import Outcome, Refused, RemoteRecord, UpdateItem, Written
from mapping.translate import Translation
from registration_core import crm_changes
from registration_core.conflict_check import require_usable
from registration_core.contracts import Fields
from registration_core.fields import FieldGroup
from registration_core.store import audit, repository, work
from registration_core.store.tables import OutboxRow
from sync import push, runs
from sync.accounts import directory
from sync.ledger.inbox import take_note
from sync.ledger.tables import CursorRow, InboxRow, LinkRow, ScheduleRow, SyncConflictRow
from sync.outcomes import settling
from sync.plans import carrying, planning
from sync.process import schedule
from sync.traffic import connection_state
from tests.simulation.stage import SimDatabase


def base_ignored(situation: planning.Situation) -> planning.Plan:
    return planning.plan(replace(situation, base=None))


def link_without_base(unit: Any, intent: Any, record_id: str, _base: Any) -> Any:
    return _add_link(unit, intent, record_id, {})


_add_link, _intend, _carry_out = settling.add_link, settling.intend, carrying.carry_out
_keep_conflict, _apply = carrying.keep_conflict, crm_changes.apply
_settle, _claim, _state_held = push._settle, schedule.claim, connection_state.held
_as_remote = MemoryOrg.as_remote
_end_of_chain, _request_push, _begin = audit._end_of_chain, work.request_push, SimDatabase.begin


def intend_without_base(
    unit: Any, connection: Any, planned: Any, link: Any, base: Any, *rest: Any
) -> Any:
    return _intend(unit, connection, planned, link, base if link is None else {}, *rest)


def carry_out_anyway(unit: Any, job: Any, *rest: Any, **about: Any) -> Any:
    registration = repository.registration(unit.session, job.registration.id)
    link = unit.session.get_one(LinkRow, job.link.id, populate_existing=True)
    return _carry_out(unit, replace(job, registration=registration, link=link), *rest, **about)


def without_version(record_id: str, fields: Fields, *_conditions: object) -> UpdateItem:
    return UpdateItem(record_id, fields)


def cursor_first(runtime: Any, crm: Any, object_name: str, lease: Any) -> tuple[int, int]:
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


def read_up_to_now(unit: Any, rows: Sequence[InboxRow]) -> None:
    for row in rows:
        now = unit.session.get_one(InboxRow, (row.connection, row.object, row.record_id))
        now.read = now.noticed


def done_up_to_now(unit: Any, registration_id: str, connection: Any, wanted: int) -> None:
    row = unit.session.get(OutboxRow, (registration_id, connection), populate_existing=True)
    if row is not None:
        row.done, row.attempts, row.reason = row.wanted, 0, ""


def keep_open_ones(unit: Any, link: Any, group: Any, conflict: Any, *rest: Any) -> None:
    if conflict is None or conflict.settled != "remote":
        _keep_conflict(unit, link, group, conflict, *rest)


def keep_no_restores(unit: Any, link: Any, group: Any, conflict: Any, *rest: Any) -> None:
    if conflict is None or conflict.settled != "store":
        _keep_conflict(unit, link, group, conflict, *rest)


def make_again(unit: Any, link: LinkRow, gone: Any) -> None:
    unit.session.execute(delete(SyncConflictRow).where(SyncConflictRow.link_id == link.id))
    unit.session.execute(delete(LinkRow).where(LinkRow.id == link.id))
    row = unit.session.get(OutboxRow, (link.registration_id, link.connection))
    row.wanted += 1


def whole_batch_refused(send: Callable[..., Any], items: Sequence[Any]) -> list[Outcome]:
    try:
        return list(send(items))
    except CallRejected as error:
        return [Refused(error.code, error.message) for _ in items]


def as_it_is(mapping: Any, ours: Fields) -> Translation:
    names = {row.ours.name for group in mapping.groups.values() for row in group.rows}
    return Translation({name: value for name, value in ours.items() if name in names})


def apply_or_forget(*args: Any, **kwargs: Any) -> crm_changes.Applied:
    return replace(_apply(*args, **kwargs), refused={})


def any_check(*_args: Any, **_kwargs: Any) -> None:
    return


def any_age(check: Any, registration: Any, program: Any, *rest: Any, **kwargs: Any) -> None:
    require_usable(
        check, replace(registration, match_keys_changed_at=check.began_at), program, *rest, **kwargs
    )


def next_slot(unit: Any, registration: Any, slots: int, check: Any) -> int:
    held = registration.customer_id
    taken = repository.standing_claims(unit.session, held, registration.product_line)
    return max((claim.slot for claim in taken), default=0) + 1


def relabel(situation: planning.Situation) -> planning.Plan:
    planned = planning.plan(situation)
    touched = "Stage" in planned.write or FieldGroup.STAGE in planned.takes
    if (situation.remote or {}).get("Stage") == "Q0" and not touched:
        return replace(planned, write={**planned.write, "Stage": "Q1"})
    return planned


def shifted(runtime: Any, intents: Sequence[Any], outcomes: Sequence[Outcome]) -> None:
    _settle(runtime, intents, [*outcomes[1:], *outcomes[:1]])


def surely_done(mapping: Any, intent: Any, record: Any) -> Outcome:
    return Written(str(intent.record_id))


def moved_blindly(unit: Any, name: str, _seen: Any, following: Any) -> bool:
    row = unit.session.get(ScheduleRow, name) or ScheduleRow(name=name)
    row.next_at = following
    unit.session.add(row)
    return True


def claimed_unless_a_poll(runtime: Any, name: str, every_seconds: int, **more: Any) -> bool:
    return not name.startswith("poll:") and _claim(runtime, name, every_seconds, **more)


def alphas(unit: Any, _connection: str) -> Any:
    return _state_held(unit, "alpha")


def unchained(unit: Any, subject: str) -> tuple[int, str]:
    last, _ = _end_of_chain(unit, subject)
    return last, "0" * 64


def push_later(unit: Any, registration: Any, *, only: Any = None) -> None:
    unit.__dict__.setdefault("later", []).append((registration, only))


@contextmanager
def begin_and_push_later(self: SimDatabase, *args: Any) -> Iterator[Any]:
    with _begin(self, *args) as unit:
        yield unit
    for registration, only in unit.__dict__.get("later", ()):
        if self.stage.rng.random() < 0.3:
            continue  # it was kept in the queue alone, and the queue is gone
        with _begin(self, *args) as second:
            _request_push(second, registration, only=only)


def reads_empty(org: MemoryOrg, object_name: str, record: Any, fields: Any) -> RemoteRecord:
    there = [name for name in fields if name in org.schemas[object_name].fields]
    found = _as_remote(org, object_name, record, there)
    return replace(found, fields={**dict.fromkeys(fields), **found.fields})


def nobody(*_args: Any, **_kwargs: Any) -> list[Any]:
    return []


def nothing(*_args: Any, **_kwargs: Any) -> None:
    return


def none(*_args: Any, **_kwargs: Any) -> int:
    return 0


def yes(*_args: Any, **_kwargs: Any) -> bool:
    return True


def empty(*_args: Any, **_kwargs: Any) -> dict[str, Any]:
    return {}


def no_reason(*_args: Any, **_kwargs: Any) -> str:
    return ""

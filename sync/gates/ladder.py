"""The go-live ladder: how far a connection goes, rung by rung, each climbed by a person.

`off → observe → link → canary → push`. The configuration says how far a connection may go; where
it stands is a row of the store. A production org starts no higher than `observe`, whatever the
configuration allows; a sandbox starts at the top. The ladder gates writes to the CRM: changes of
the CRM are taken in on every rung but `off`.

An object of a connection may be held back below it, at `observe` or `link`: its records are neither
made nor changed, and what stands beside a deal is then found where it is there and not made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from registration_core.contracts import ConnectionName, Mode
from registration_core.errors import DomainRefusal, InvalidInput
from registration_core.model import Actor
from registration_core.store import audit, repository
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import OutboxRow
from sync.ledger.gates import RungRow
from sync.mappings import schema_watch
from sync.plans.jobs import Planned
from sync.process.runtime import Runtime

LADDER = tuple(Mode)


@dataclass(frozen=True)
class Rung:
    """Where a connection stands."""

    connection: ConnectionName
    mode: Mode
    #: As far as the configuration lets it go.
    highest: Mode
    #: Registrations that mode `canary` writes, and how many it may choose in all.
    canary: tuple[str, ...] = ()
    canary_most: int = 0
    changed_by: str = ""
    changed_at: datetime | None = None
    #: Objects that somebody holds back below `push`, in the CRM's own names.
    held_back: Mapping[str, Mode] = field(default_factory=dict)

    @property
    def links(self) -> bool:
        """Whether existing records are linked and proposed here."""
        return self.mode not in (Mode.OFF, Mode.OBSERVE)

    def at(self, object_name: str) -> Mode:
        """Where an object stands: no further than its connection."""
        return _lower(self.mode, self.held_back.get(object_name, Mode.PUSH))

    def links_on(self, object_name: str) -> bool:
        """Whether existing records of an object are linked and proposed here."""
        return self.at(object_name) not in (Mode.OFF, Mode.OBSERVE)


@dataclass(frozen=True)
class ObjectReport:
    """What would be done to one object of a connection, and what people did since."""

    object: str
    mode: Mode
    #: Records that would be made, and that would be changed.
    would_create: int = 0
    would_update: int = 0
    #: Fields that would have been written, by what people did with them since.
    people_did_the_same: int = 0
    people_did_otherwise: int = 0
    nobody_touched: int = 0


@dataclass(frozen=True)
class Report:
    """What a promotion is decided on."""

    objects: tuple[ObjectReport, ...]
    linked: int
    proposals_waiting: int
    open_conflicts: int
    held_items: int
    dead_letters: int


def rung(runtime: Runtime, connection: ConnectionName) -> Rung:
    """Read where a connection stands."""
    with runtime.database.read() as session:
        return rungs(runtime, session, [connection])[connection]


def rungs(
    runtime: Runtime, session: Session, names: Sequence[ConnectionName]
) -> Mapping[ConnectionName, Rung]:
    """Read where several connections stand; an unusable one is `off`."""
    rows: defaultdict[str, dict[str, RungRow]] = defaultdict(dict)
    for row in session.scalars(select(RungRow)):
        rows[row.connection][row.object] = row
    return {name: _rung(runtime, name, rows[name]) for name in names}


def _rung(runtime: Runtime, name: ConnectionName, rows: Mapping[str, RungRow]) -> Rung:
    highest, row = runtime.modes.get(name, Mode.OFF), rows.get(_REGISTRATIONS)
    modes = {each: Mode(its.mode) for each, its in rows.items() if each != _REGISTRATIONS}
    held_back = {each: mode for each, mode in modes.items() if mode is not Mode.PUSH}
    if row is None:
        start = _lower(runtime.start_modes.get(name, highest), highest)
        return Rung(name, start, highest, held_back=held_back)
    mode = _lower(Mode(row.mode), highest)
    return Rung(
        name, mode, highest, tuple(row.canary), row.canary_most, row.changed_by, row.changed_at,
        held_back,
    )  # fmt: skip


def _lower(one: Mode, other: Mode) -> Mode:
    return min(one, other, key=LADDER.index)


def split(
    runtime: Runtime, stands: Rung, planned: Sequence[Planned]
) -> tuple[list[Planned], list[Planned]]:
    """Split plans into those that are carried out where they stand and those only recorded."""
    back = [p for p in planned if p.job.mapping.object in stands.held_back]
    let = [p for p in planned if p.job.mapping.object not in stands.held_back]
    if stands.mode is Mode.PUSH:
        return let, back
    if stands.mode is not Mode.CANARY:
        return [], list(planned)
    chosen = set(stands.canary)
    writing = [p.job.registration.id for p in let if p.plan.write]
    free = stands.canary_most - len(chosen)
    new = [i for i in writing if i not in chosen][: max(free, 0)]
    if new:
        with runtime.database.begin() as unit:
            row = unit.session.get_one(
                RungRow, (stands.connection, _REGISTRATIONS), with_for_update=True
            )
            fits = max(row.canary_most - len(row.canary), 0)
            row.canary = [*row.canary, *[i for i in new if i not in row.canary][:fits]]
            chosen = set(row.canary)
    going = [p for p in let if p.job.registration.id in chosen]
    return going, [*back, *(p for p in let if p.job.registration.id not in chosen)]


def objects(runtime: Runtime, connection: ConnectionName) -> list[str]:
    """Return the objects that are written to, in the CRM's own names: of deals and beside them."""
    mapping = runtime.mappings[connection]
    own = mapping.objects.values()
    beside = [each.made for one in own for each in one.companions.values()]
    return sorted({each.object for each in (*own, *beside)})


def promote(
    runtime: Runtime,
    connection: str,
    actor: Actor,
    *,
    found: Report,
    to: Mode | None = None,
    canary: Sequence[str] = (),
    canary_most: int = 0,
    object_name: str = "",
) -> Rung:
    """Let a connection go one rung further, or as far as `to`; keeps the report it is based on.

    `found` is what it is decided on. Mode `canary` writes the registrations with these numbers,
    and as many more, as they come, as `canary_most` says. With `object_name` only that object is
    moved, which stands no further than its connection.

    Raises:
        DomainRefusal: It stands there already, or the configuration does not let it go so far.
        InvalidInput: Mode `canary` without registrations; an object that has no such rung.
    """
    stands = rung(runtime, runtime.connector(connection).name)
    if object_name:
        return _move_object(runtime, stands, object_name, actor, to, asdict(found), up=True)
    wanted = to or LADDER[min(LADDER.index(stands.mode) + 1, len(LADDER) - 1)]
    if LADDER.index(wanted) <= LADDER.index(stands.mode) and wanted is not Mode.CANARY:
        raise DomainRefusal(
            f"{connection} is at {stands.mode} already.",
            hint=f"To go back, type: dealreg connection demote {connection} --to {wanted}",
        )
    if LADDER.index(wanted) > LADDER.index(stands.highest):
        raise DomainRefusal(
            f"connections.yaml lets {connection} go as far as {stands.highest}.",
            hint=f"Set modes.registrations of {connection} to {wanted} there first.",
        )
    if wanted is Mode.CANARY and not canary and not canary_most:
        raise InvalidInput(
            "Mode canary writes a few registrations: which?",
            hint="Add --registration NUMBER (repeatable) or --records N.",
        )
    with runtime.database.begin(actor) as unit:
        ids = [repository.registration(unit.session, number).id for number in canary]
        move(unit, stands, wanted, ids, len(ids) + canary_most, asdict(found))
    return rung(runtime, stands.connection)


def demote(
    runtime: Runtime,
    connection: str,
    actor: Actor,
    *,
    to: Mode | None = None,
    object_name: str = "",
) -> Rung:
    """Take a connection one rung back, or as far as `to`; in force with the next batch.

    With `object_name` that object alone is held back.
    """
    stands = rung(runtime, runtime.connector(connection).name)
    if object_name:
        return _move_object(runtime, stands, object_name, actor, to, {}, up=False)
    wanted = to or LADDER[max(LADDER.index(stands.mode) - 1, 0)]
    if LADDER.index(wanted) >= LADDER.index(stands.mode):
        raise DomainRefusal(
            f"{connection} is at {stands.mode}, which is no further than {wanted}.",
            hint=f"To go on, type: dealreg connection promote {connection}",
        )
    with runtime.database.begin(actor) as unit:
        move(unit, stands, wanted, stands.canary, stands.canary_most, {})
    return rung(runtime, stands.connection)


def _move_object(
    runtime: Runtime,
    stands: Rung,
    object_name: str,
    actor: Actor,
    to: Mode | None,
    found: Mapping[str, object],
    *,
    up: bool,
) -> Rung:
    name = stands.connection
    known = objects(runtime, name)
    if object_name not in known:
        raise InvalidInput(
            f"{name} writes to no object {object_name}.", hint=f"Mapped are {', '.join(known)}."
        )
    now = stands.held_back.get(object_name, Mode.PUSH)
    step = _OF_OBJECTS.index(now) + (1 if up else -1)
    wanted = to or _OF_OBJECTS[min(max(step, 0), len(_OF_OBJECTS) - 1)]
    if wanted not in _OF_OBJECTS:
        raise InvalidInput(
            f"An object is off with its connection, and has no canary of its own: {wanted}.",
            hint=f"One of: {', '.join(_OF_OBJECTS)}.",
        )
    if wanted is now or (LADDER.index(wanted) > LADDER.index(now)) is not up:
        verb = "demote" if up else "promote"
        raise DomainRefusal(
            f"{object_name} of {name} is at {now}.",
            hint=f"The other way: dealreg connection {verb} {name} --object {object_name}",
        )
    with runtime.database.begin(actor) as unit:
        move(unit, stands, wanted, (), 0, found, object_name)
        if up:
            schema_watch.go_on(unit, name, object_name)
    return rung(runtime, name)


#: Stands for a connection as a whole where its objects have rungs of their own.
_REGISTRATIONS = "registrations"
#: Where an object may stand by itself; a canary is of registrations, with all that is beside them.
_OF_OBJECTS = (Mode.OBSERVE, Mode.LINK, Mode.PUSH)


def move(
    unit: UnitOfWork,
    stands: Rung,
    mode: Mode,
    canary: Sequence[str],
    canary_most: int,
    found: Mapping[str, object],
    object_name: str = "",
) -> None:
    """Put a connection, or one object of it, on a rung in the caller's transaction.

    With what that was decided on.
    """
    connection, place = stands.connection, object_name or _REGISTRATIONS
    unit.hold(f"rung:{connection}")
    row = unit.session.get(RungRow, (connection, place)) or RungRow(
        connection=connection, object=place
    )
    row.mode, row.canary, row.canary_most = mode.value, list(canary), canary_most
    row.report, row.changed_by, row.changed_at = dict(found), str(unit.actor), unit.now
    unit.session.add(row)
    # What was only recorded is planned again, and ends as the new rung says.
    unit.session.execute(
        update(OutboxRow)
        .where(OutboxRow.connection == connection, OutboxRow.state == "observed")
        .values(state="open", reason="", due_at=unit.now)
    )
    before = stands.held_back.get(object_name, Mode.PUSH) if object_name else stands.mode
    up = LADDER.index(mode) > LADDER.index(before)
    audit.record(
        unit, f"connection:{connection}", "promote" if up else "demote",
        {"object": object_name, "from": before.value, "to": mode.value, "canary": list(canary),
         "canary_most": canary_most, "report": dict(found)},
    )  # fmt: skip
    unit.nudges |= {f"push:{connection}", f"pull:{connection}"}

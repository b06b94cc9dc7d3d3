"""The org behind a pretended CRM: its habits of stamping and showing, and the truth about every write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.memory_org import PERSON, MemoryOrg, Stored
from connectors.port import Gone, Refused
from registration_core.contracts import Fields, ObjectSchema, Value
from tests.simulation.stage import Stage
from tests.simulation.truth import TOKENS, SyncWrite, token

#: Longest that a commit or an index may lag, and how far the feeds therefore look back.
LATEST_SECONDS = 9.0


class SimOrg(MemoryOrg):
    """The org behind a pretended CRM; tells the truth about every write."""

    def __init__(
        self, name: str, stage: Stage, habit: str, objects: Sequence[ObjectSchema]
    ) -> None:
        self.name, self.stage, self.habit = name, stage, habit
        self.stamp_at: datetime | None = None
        #: When the newest change of a record can be found by feed and query, in virtual seconds.
        self.found_at: dict[str, float] = {}
        #: Rows that an open transaction of a user holds, until when.
        self.held_until: dict[str, float] = {}
        #: Called with (object, record id) after each change, to send a webhook.
        self.on_change: Callable[[str, str], None] = lambda object_name, record_id: None
        #: Values that an automation puts over whatever we write to a field.
        self.automations: dict[str, Value] = {}
        self._whole: ObjectSchema | None = None
        super().__init__(self._time, objects, org_id=f"org-{name}")

    def _time(self) -> datetime:
        if self.stamp_at is not None:
            return self.stamp_at
        now = self.stage.now() + timedelta(seconds=self.stage.case.skew[self.name])
        return now.replace(microsecond=0) if self.habit == "stamps" else now

    @contextmanager
    def stamped(self, at: datetime) -> Iterator[None]:
        """Write with an earlier stamp, as a transaction that began then."""
        self.stamp_at = at
        try:
            yield
        finally:
            self.stamp_at = None

    def merge(self, object_name: str, loser_id: str, winner_id: str, user: str = PERSON) -> None:
        """Merge as a user; HubSpot gives the survivor what it lacks, our key among it."""
        with self.lock:
            loser, winner = self.record(object_name, loser_id), self.record(object_name, winner_id)
            assert loser is not None
            assert winner is not None
            if self.habit == "search":
                empty = [name for name, value in winner.fields.items() if value is None]
                winner.fields.update({name: loser.fields[name] for name in empty})
            super().merge(object_name, loser_id, winner_id, user)

    def break_schema(self, field: str, option: str | None) -> None:
        """Take a field of the deal away, or one option of it, as an admin of the CRM."""
        self.stage.truth.probes["mapped field or option gone"] += 1
        self.mend_schema()
        deal = self.schemas["Deal"]
        kept = {name: each for name, each in deal.fields.items() if name != field}
        if option is not None:
            options = tuple(o for o in deal.fields[field].options or () if o != option)
            kept[field] = replace(deal.fields[field], options=options)
        self.schemas["Deal"], self._whole = replace(deal, fields=kept), deal

    def forget_unique(self, field: str) -> None:
        """Take the uniqueness of a field of the deal away, as an admin of the CRM."""
        self.stage.truth.probes["key not unique any more"] += 1
        self.mend_schema()
        deal = self.schemas["Deal"]
        loose = replace(deal.fields[field], unique=False)
        self.schemas["Deal"], self._whole = (
            replace(deal, fields={**deal.fields, field: loose}),
            deal,
        )

    def mend_schema(self) -> None:
        """Put the schema back as it was."""
        if self._whole is not None:
            self.schemas["Deal"], self._whole = self._whole, None
            for record in self.records("Deal", gone=True):
                record.fields.update(dict.fromkeys(self.schemas["Deal"].fields) | record.fields)

    def insert(self, object_name: str, fields: Fields, user: str) -> Stored | Refused:
        made = super().insert(object_name, fields, user)
        if isinstance(made, Stored):
            self._changed(object_name, made.record_id)
            if user == self.us:
                key = str(made.fields.get("Key"))
                self.stage.truth.made[self.name, key].append(made.record_id)
                self.stage.truth.made_at.setdefault((self.name, key), self.stage.called_at())
                self.stage.scheduler.note(f"{self.name} created {made.record_id}")
        return made

    def patch(self, object_name: str, record: Stored, fields: Fields, user: str) -> Refused | None:
        before = dict(record.fields)
        refused = super().patch(object_name, record, fields, user)
        if refused is None:
            self._changed(object_name, record.record_id)
            if object_name == "Deal":
                self._tell(record, before, fields, user)
                self._automate(record, fields, user)
        return refused

    def _automate(self, record: Stored, fields: Fields, user: str) -> None:
        put = {n: v for n, v in self.automations.items() if n in fields and fields[n] != v}
        if user == self.us and put:
            self.stage.truth.probes["an automation undid a write"] += 1
            undone = ((self.name, token(TOKENS[n], v)) for n, v in put.items())
            self.stage.truth.automated.update(undone)
            self.patch("Deal", record, put, "automation")

    def _bury(self, object_name: str, gone: Gone, user: str) -> None:
        record = self.record(object_name, gone.record_id)
        super()._bury(object_name, gone, user)
        self._changed(object_name, gone.record_id)
        if record is not None and object_name == "Deal":
            self.stage.truth.given_up |= {token(o, record.fields[t]) for t, o in TOKENS.items()}

    def _changed(self, object_name: str, record_id: str) -> None:
        lag = self.stage.rng.uniform(0, LATEST_SECONDS) if self.habit == "search" else 0.0
        self.found_at[record_id] = self.stage.scheduler.seconds + lag
        self.on_change(object_name, record_id)

    def _tell(self, record: Stored, before: Fields, fields: Fields, user: str) -> None:
        """Note who wrote what over what."""
        truth, place = self.stage.truth, f"{self.name} {record.record_id}"
        moved = [name for name in fields if record.fields[name] != before[name]]
        shown = {name: str(record.fields[name]) for name in fields}
        self.stage.scheduler.note(f"{self.name} {user} wrote {record.record_id} {shown}")
        if user == self.us:
            truth.changed[place] += len(moved)
            if not self.stage.was_delayed():  # another worker has written it meanwhile
                truth.idle[place] += len(fields) - len(moved)
            had_read = truth.last_read.get(f"{place} Stage") == token("Stage", before["Stage"])
            alike = {before["Stage"], record.fields["Stage"]} == {"Q0", "Q1"}
            if alike and "Stage" in moved and had_read and not self.stage.was_delayed():
                truth.relabelled.append(place)
        for name in moved:
            if name not in TOKENS:
                continue
            ours = TOKENS[name]
            what, over = token(ours, record.fields[name]), token(ours, before[name])
            if user == self.us:
                had_read = truth.last_read.get(f"{place} {ours}") == over
                write = SyncWrite(
                    self.name, record.record_id, what, over, had_read, self.stage.was_delayed()
                )
                truth.sync_writes.append(write)
                if not had_read:
                    truth.probes["lost update in check-then-write"] += 1
            else:
                truth.wrote(place, what, over)
                if not what[1] or what in truth.automatic:
                    truth.given_up.add(over)

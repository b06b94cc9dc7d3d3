"""What people do in a story: CRM users and admins, the desk at the store, admins and operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from connectors.memory_org import Stored
from registration_core import protecting, use_cases
from registration_core.contracts import ConnectionName, Value
from registration_core.errors import DealregError
from registration_core.model import Customer
from registration_core.store import repository
from registration_core.store.database import StoreUnavailable
from registration_core.submission import Submission
from sync import checking
from sync.conflicts import resolving
from sync.ledger.tables import IntentRow, LinkProposalRow, SyncConflictRow, SyncRunRow
from sync.links import linking
from sync.repair import undoing
from sync.traffic import switch
from tests import world
from tests.simulation.cases import Act
from tests.simulation.org import SimOrg
from tests.simulation.truth import TOKENS, token, value_of

if TYPE_CHECKING:
    from tests.simulation.play import Play

#: Customers by tax id.
CUSTOMERS = {"DE100": "Nordhafen Logistik GmbH", "DE200": "Aurelia Optik AG"}


class People:
    """Carries out the acts of a story."""

    def __init__(self, play: Play) -> None:
        self._play = play

    def person(self, acts: list[Act]) -> Callable[[], None]:
        """Return the day of one person: every act at its time."""

        def live() -> None:
            for act in acts:
                wait = act.at - self._play.stage.scheduler.seconds
                self._play.stage.scheduler.pause(max(0.0, wait))
                self.perform(act)

        return live

    def perform(self, act: Act) -> None:
        """Do what somebody does; what the store or the CRM refuses is refused to that person."""
        doing = {
            "admin": self._administer,
            "desk": self._at_the_desk,
            "operator": self._operate,
        }.get(act.who, self._in_the_crm)
        try:
            doing(act)
        except (DealregError, ValueError) as refusal:
            self._play.stage.scheduler.note(f"{act.who} {act.verb} was refused: {refusal}")
        except DBAPIError as error:
            self._play.unexpected.append(f"{act.who} {act.verb}: {error}")

    def record_of(self, name: str, deal: int) -> Stored | None:
        """Return the live record of a deal in a CRM."""
        key = self._play.ids.get(deal)
        return self._play.orgs[name].holder("Deal", "Key", key) if key else None

    def _in_the_crm(self, act: Act) -> None:
        org, args = self._play.orgs[act.who], act.args
        if act.verb in ("edit", "clear"):
            record = self.record_of(act.who, args["deal"])
            if record is not None:
                value = value_of(args["field"], args["value"]) if act.verb == "edit" else None
                self._edit(org, record, {args["field"]: value}, args.get("late", 0.0))
        elif act.verb in ("delete", "merge", "restore"):
            self._bury(org, act)
        elif act.verb == "mass_delete":
            for record in org.records("Deal"):
                org.remove("Deal", record.record_id, "rep")
            self._play.stage.truth.emptied_at[act.who] = self._play.stage.scheduler.seconds
        elif act.verb == "opportunity":
            account = org.holder("Account", "Tax", args["tax"])
            assert account is not None
            opened: dict[str, Value] = {
                "Name": "A rep's own",
                "Account": account.record_id,
                "Closed": False,
            }
            self._play.stage.truth.opened_at[act.who] = self._play.stage.scheduler.seconds
            org.add("Deal", {**opened, "Amount": Decimal(9900), "Stage": "D", "Currency": "EUR"})
        else:
            self._administer_crm(org, act)
        self._play.stage.scheduler.note(f"{act.who} {act.verb} {args}")

    def _edit(self, org: SimOrg, record: Stored, values: Mapping[str, Value], late: float) -> None:
        stamp, seconds = org.clock(), self._play.stage.scheduler.seconds
        if org.held_until.get(record.record_id, 0.0) > seconds:
            return  # another user's transaction holds the row
        if late and org.habit == "stamps" and not self._play.stage.scheduler.is_quiet:
            org.held_until[record.record_id] = seconds + late
            self._play.stage.scheduler.pause(late)
        with org.stamped(stamp):
            org.edit("Deal", record.record_id, values, "rep")

    def _automate(self, org: SimOrg, field: str, value: Value) -> None:
        org.automations[field] = value
        self._play.stage.truth.automatic.add(token(TOKENS[field], value))

    def _bury(self, org: SimOrg, act: Act) -> None:
        if act.verb == "restore":
            for record in org.records("Deal", gone=True):
                if record.gone is not None and record.gone.absence == "deleted":
                    org.restore("Deal", record.record_id, "rep")
            return
        found = self.record_of(act.who, act.args["deal"])
        if found is None:
            return
        if act.verb == "merge":
            winner = org.add("Deal", {"Name": "Survivor of a merge", "Closed": False}, "rep")
            org.merge("Deal", found.record_id, winner, "rep")
        else:
            org.remove("Deal", found.record_id, "rep")

    def _administer_crm(self, org: SimOrg, act: Act) -> None:
        """Change the schema or the account lists, as an admin of the CRM."""
        if act.verb == "mark":
            account = org.holder("Account", "Tax", act.args["tax"])
            assert account is not None
            org.edit("Account", account.record_id, {act.args["mark"]: True}, "rep")
            key = org.name, act.args["tax"]
            self._play.stage.truth.marked_at.setdefault(key, self._play.stage.scheduler.seconds)
        elif act.verb == "hide_canary":
            for record in org.records("Account"):
                if record.fields[act.args["mark"]] and "Canary" in str(record.fields["Name"]):
                    org.remove("Account", record.record_id, "rep")
        elif act.verb == "automate":
            self._automate(org, act.args["field"], act.args["value"])
        elif act.verb == "forget_unique":
            org.forget_unique(act.args["field"])
        elif not self._play.healing:  # their own late edit may have kept them until all was mended
            org.break_schema(act.args["field"], act.args.get("option"))

    def _at_the_desk(self, act: Act) -> None:
        if act.verb == "submit":
            self._submit(act)
            return
        key = self._play.ids.get(act.args["deal"])
        if key is None:
            return
        if act.verb == "approve":
            checking.approve(self._play.runtime, key, world.BEN)
        elif act.verb == "choose_account":
            self._choose_account(act, key)
        elif act.verb == "edit":
            self._update(act, key)
        else:
            with self._play.database.begin(world.ANN) as unit:
                if act.verb == "withdraw":
                    use_cases.withdraw(unit, key)
                else:
                    protecting.extend(unit, key, 10, "asked for")
        self._play.stage.scheduler.note(f"desk {act.verb} {act.args}")

    def _choose_account(self, act: Act, key: str) -> None:
        crm = act.args["crm"]
        account = self._play.orgs[crm].holder("Account", "Tax", "DE200")
        assert account is not None
        with self._play.database.begin(world.ANN) as unit:
            use_cases.choose_account(unit, key, ConnectionName(crm), account.record_id)
        if act.args["approve"]:
            checking.approve(self._play.runtime, key, world.BEN)

    def _submit(self, act: Act) -> None:
        deal, tax = act.args["deal"], act.args["tax"]
        submission = Submission(
            partner_code=act.args["partner"],
            customer=Customer(CUSTOMERS[tax], "DE", tax_id=tax),
            deal_name=f"Deal {deal}",
            product_line="platform",
            amount=Decimal(200_000 if act.args["big"] else 5000),
            currency="EUR",
            expected_close_on=date(2026, 9, 20 + deal),
            token=f"deal {deal}",
        )
        program = self._play.runtime.program("default")
        for _ in range(4):  # a partner's system sends again until it has an answer
            try:
                with self._play.database.begin(world.ANN) as unit:
                    made, _ = use_cases.submit(unit, submission, program)
                self._play.ids[deal] = made.id
            except StoreUnavailable:
                self._play.stage.scheduler.pause(2.0)
            else:
                self._play.stage.scheduler.note(f"desk submit {deal} {made.number}")
                return

    def _update(self, act: Act, key: str) -> None:
        field = act.args["field"]
        ours = TOKENS.get(field, "sales_stage")
        value = value_of(field, act.args["value"])
        if field == "Stage":
            value = {
                "Q1": "qualifying",
                "Q0": "qualifying",
                "D": "developing",
                "P": "proposing",
            }.get(str(value), "negotiating")
        program = self._play.runtime.program("default")
        with self._play.database.begin(world.ANN) as unit:
            before = repository.registration(unit.session, key, lock=True)
            after = use_cases.update(unit, key, {ours: value}, program)
        if field in TOKENS:
            was, now = (token(ours, getattr(each, ours)) for each in (before, after))
            self._play.stage.truth.wrote(f"store {act.args['deal']}", now, was)

    def _administer(self, act: Act) -> None:
        if act.verb in ("resolve", "undo"):
            state = "open" if act.verb == "resolve" else "resolved"
            with self._play.database.read() as session:
                row = session.scalars(
                    select(SyncConflictRow).where(SyncConflictRow.state == state)
                ).first()
            if row is not None and act.verb == "resolve":
                resolving.resolve(self._play.runtime, row.id, act.args["choice"], world.BEN)
            elif row is not None:
                resolving.undo(self._play.runtime, row.id, world.BEN)
        elif act.verb in ("accept", "reject"):
            with self._play.database.read() as session:
                found = session.scalars(
                    select(LinkProposalRow.id).where(LinkProposalRow.state == "proposed")
                ).first()
            if found is not None:
                decide = linking.accept if act.verb == "accept" else linking.reject
                decide(self._play.runtime, found, world.BEN)
        else:
            self._play.retry_letters()
        self._play.stage.scheduler.note(f"admin {act.verb} {act.args}")

    def _operate(self, act: Act) -> None:
        play, crm = self._play, act.args["crm"]
        if act.verb == "undo_run":
            with play.database.read() as session:
                wrote = select(IntentRow.run_id).where(
                    IntentRow.operation == "update", IntentRow.state == "done"
                )
                found = session.scalars(
                    select(SyncRunRow.id)
                    .where(SyncRunRow.connection == crm, SyncRunRow.id.in_(wrote))
                    .order_by(SyncRunRow.started_at.desc(), SyncRunRow.id)
                    .offset(act.args["back"])
                ).first()
            if found is not None:
                undoing.undo(play.runtime, found, world.BEN, dry_run=False)
        elif act.verb == "stop":
            only = act.args["writes_only"]
            switch.stop(play.database, world.BEN, crm, writes_only=only)
            play.stage.truth.stopped_at[crm] = play.stage.scheduler.seconds, only
        else:
            play.stage.truth.stopped_at.pop(crm, None)
            switch.resume(play.database, world.BEN, crm)
        play.stage.scheduler.note(f"operator {act.verb} {act.args}")

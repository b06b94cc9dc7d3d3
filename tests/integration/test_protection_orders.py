"""Random verbs in a random order: what must hold of claims holds after each of them."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from registration_core import crm_changes, protecting, use_cases
from registration_core.errors import DomainRefusal
from registration_core.fields import FieldGroup
from registration_core.matching import MatchKey
from registration_core.model import (
    ProtectionState,
    Registration,
)
from registration_core.store import customers, protection, repository
from registration_core.store.database import Database
from tests import servers
from tests.factories import (
    APPROVER,
    SALESFORCE,
    Clock,
    add_partners,
    approve,
    customer,
    program,
    stored,
    submit,
)
from tests.integration.claims import require_consistent

PARTNERS = ("P1", "P2", "P3")


class Deals(RuleBasedStateMachine):
    """Random verbs on random scopes, one after the other; the invariants hold after each."""

    #: Set by the test: a migrated file to copy.
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=servers.fast_directory())
        path = Path(self.folder.name) / "store.sqlite3"
        shutil.copyfile(self.template, path)
        self.clock = Clock()
        self.store = Database(f"sqlite:///{path}", self.clock, random.Random(5))
        add_partners(self.store, *PARTNERS)
        self.made: list[Registration] = []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(
        code=st.sampled_from(PARTNERS),
        name=st.sampled_from(["avocet", "pipit"]),
        line=st.sampled_from(["platform", "support", "training"]),
        tax_id=st.sampled_from(["", "11-1", "22-2"]),
    )
    def submit(self, code: str, name: str, line: str, tax_id: str) -> None:
        who = customer(name=name, website=f"{name}.example", tax_id=tax_id)
        token = f"t{len(self.made)}"
        closes = (self.clock.now.date()).replace(year=self.clock.now.year + 1, day=1)
        self.made.append(
            submit(
                self.store, code, customer=who, product_line=line, token=token,
                expected_close_on=closes,
            )
        )  # fmt: skip

    @precondition(lambda self: self.made)
    @rule(data=st.data(), verb=st.sampled_from(["approve", "approve", "withdraw", "extend"]))
    def decide(self, data: st.DataObject, verb: str) -> None:
        about = data.draw(st.sampled_from(self.made))
        with contextlib.suppress(DomainRefusal), self.store.begin(APPROVER) as unit:
            if verb == "approve":
                approve(unit, about)
            elif verb == "withdraw":
                use_cases.withdraw(unit, about.id)
            else:
                protecting.extend(unit, about.id, 30, "evidence")

    @precondition(lambda self: self.made)
    @rule(data=st.data(), stage=st.sampled_from(["won", "lost", "developing"]))
    def move_stage(self, data: st.DataObject, stage: str) -> None:
        about = data.draw(st.sampled_from(self.made))
        with self.store.begin() as unit:
            protection.hold_lock(unit)
            held = repository.registration(unit.session, about.id, lock=True)
            if held.protection_state is not ProtectionState.NONE:
                crm_changes.apply(
                    unit, held, SALESFORCE, {FieldGroup.STAGE: {"sales_stage": stage}}, program()
                )

    @precondition(lambda self: self.made)
    @rule(data=st.data(), tax_id=st.sampled_from(["111", "222"]))
    def learn(self, data: st.DataObject, tax_id: str) -> None:
        about = stored(self.store, data.draw(st.sampled_from(self.made)))
        with self.store.begin() as unit:
            protection.hold_lock(unit)
            customers.learn(unit, about.customer_id, {MatchKey("tax_id", tax_id)})

    @rule(days=st.sampled_from([1, 40, 100]))
    def wait(self, days: int) -> None:
        self.clock.advance(days=days)
        with self.store.begin() as unit:
            protecting.expire_due(unit)

    @invariant()
    def consistent(self) -> None:
        require_consistent(self.store)


def test_no_order_of_verbs_protects_more_than_the_slots(sqlite_template: Path) -> None:
    Deals.template = sqlite_template
    run_state_machine_as_test(
        Deals, settings=settings(max_examples=20, stateful_step_count=30, deadline=None)
    )

"""A partner learns nothing of anybody else: canaries planted everywhere, and none comes out."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from registration_core import crm_changes, disputing, protecting, recording, use_cases
from registration_core.announcing import Audience, Topic
from registration_core.contracts import ConnectionName
from registration_core.errors import DomainRefusal
from registration_core.fields import FieldGroup
from registration_core.findings import FindingKind, ReasonCode
from registration_core.matching import MatchKey
from registration_core.model import (
    SYSTEM,
    Actor,
    Band,
    ConflictCheck,
    Customer,
    DisputeState,
    Finding,
    ProtectionState,
    Reading,
    Registration,
    RegistrationState,
)
from registration_core.partner_view import REASONS, partner_view, reason_text
from registration_core.program import ListKind, Role
from registration_core.store import audit, customers, protection, repository
from registration_core.store.announcements import AnnouncementRow
from registration_core.store.database import Database
from registration_core.store.tables import AuditEventRow
from sync.announcing.wording import worded
from tests.factories import (
    APPROVER,
    CONNECTIONS,
    HUBSPOT,
    NOW,
    SALESFORCE,
    SUBMITTER,
    account,
    add_partners,
    approve,
    approved,
    check,
    customer,
    program,
    registration,
    submit,
)

SECRET = "CANARY"
#: The phone of others' customer, which cannot be a canary by its letters.
PHONE = "+1 919 555 0188"
STATES = st.sampled_from(list(RegistrationState))


def _secret(what: str) -> str:
    return f"{SECRET}-{what}"


@given(
    state=STATES,
    protection_state=st.sampled_from(list(ProtectionState)),
    dispute=st.sampled_from(list(DisputeState)),
    reason=st.none() | st.sampled_from(list(ReasonCode)),
    sequence=st.integers(10**9, 10**10),
)
def test_a_partner_sees_their_own_words_and_fixed_texts_alone(
    state: RegistrationState,
    protection_state: ProtectionState,
    dispute: DisputeState,
    reason: ReasonCode | None,
    sequence: int,
) -> None:
    held = registration(
        state=state, protection_state=protection_state, dispute_state=dispute,
        reason_code=reason.value if reason else None,
        partner_message=reason_text(reason) if reason else None,
        receipt_seq=sequence, customer_id=_secret("customer"), partner_id=_secret("partner"),
        submitted_by=_secret("submitter"), description=_secret("description"),
        loss_reason=_secret("loss"), won_amount=Decimal(87654321),
        accounts={SALESFORCE: _secret("account")}, owners={SALESFORCE: _secret("owner")},
        roles={ConnectionName(_secret("connection")): Role.HOME},
        converted_at=NOW, decided_at=NOW, actual_close_on=date(2039, 9, 9),
        contact_name=_secret("contact"), custom={"segment": _secret("custom")},
    )  # fmt: skip
    shown = str(asdict(partner_view(held)))
    assert SECRET not in shown
    assert str(sequence) not in shown
    assert "87654321" not in shown
    assert "2039" not in shown


def test_every_state_and_reason_has_words_that_name_no_list_and_nobody() -> None:
    texts = [reason_text(code) for code in ReasonCode]
    texts += [partner_view(registration(state=state)).state for state in RegistrationState]
    assert set(REASONS) == set(ReasonCode)
    forbidden = ("house", "do not call", "do-not-call", "direct account", "score", "rival", "owner")
    for text in texts:
        assert text
        assert not [word for word in forbidden if word in text.casefold()]


def _loaded_check(about: Registration, rival: Registration) -> ConflictCheck:
    """A check in which everything that must not leak is named."""
    findings = [
        Finding(
            kind, Band.REVIEW, (_secret("key"),), _secret("summary"), SALESFORCE,
            _secret("record"), rival.id, decides="",
            evidence={"number": rival.number, "owner": _secret("owner"), "list": _secret("list")},
        )
        for kind in FindingKind
    ]  # fmt: skip
    return check(
        about, findings, accounts={SALESFORCE: _secret("account"), HUBSPOT: _secret("company")},
        readings=tuple(Reading(name, True, NOW, _secret("reading")) for name in CONNECTIONS),
    )  # fmt: skip


def _partner_side(database: Database, about: Registration) -> str:
    """Everything that the partner of a registration could be shown of it."""
    with database.read() as session:
        held = repository.registration(session, about.id)
        events = audit.events(session, recording.subject_of(about))
        told = session.scalars(
            select(AnnouncementRow).where(
                AnnouncementRow.registration_id == about.id,
                AnnouncementRow.audience == Audience.PARTNER,
            )
        ).all()
    assert told
    letters = [(row.facts, worded(Topic(row.topic), Audience.PARTNER, row.facts)) for row in told]
    shown = [asdict(partner_view(held)), *(event["partner"] for event in events), letters]
    return json.dumps(shown, default=str)


@pytest.fixture
def rival(database: Database) -> Registration:
    """Another partner's protected registration of the customer, known by every secret name."""
    add_partners(database, "P1")
    with database.begin() as unit:
        use_cases.add_partner(
            unit, code=_secret("code"), name=_secret("rival"), tier=_secret("tier"), email=""
        )
        repository.put_accounts(
            unit.session,
            [account(name=_secret("account"), record_id=_secret("account"), owner=_secret("owner"),
                     lists=frozenset(ListKind), tax_id="84-1190277")],
        )  # fmt: skip
    return approved(
        database, _secret("code"), product_line="support",
        customer=Customer(
            name=_secret("legal name"), country="US", tax_id="84-1190277",
            aliases=(_secret("alias"),), email_domains=(f"{_secret('domain')}.example",),
            region=_secret("region"), city=_secret("city"), postcode=_secret("postcode"),
            phone=PHONE, parent=_secret("parent"),
        ),
        deal_name=_secret("deal"), description=_secret("description"),
    )  # fmt: skip


def test_no_verb_shows_a_partner_anything_of_the_others(
    database: Database, rival: Registration
) -> None:
    made = submit(database, product_line="support", customer=customer(tax_id="84-1190277"))
    assert made.customer_id == rival.customer_id
    spy = Actor(_secret("approver"), host=_secret("host"))
    with database.begin(SYSTEM) as unit:
        use_cases.review(unit, made, _secret("because"))
    with database.begin(spy) as unit:
        loaded = _loaded_check(made, rival)
        repository.add_check(unit.session, loaded)
        use_cases.choose_account(unit, made.id, HUBSPOT, _secret("company"))
    with database.begin(spy) as unit:
        use_cases.approve(unit, made.id, _loaded_check(made, rival), program())
        protecting.extend(unit, made.id, 5, _secret("reason"))
        protecting.expire_due(unit, warn_days=300)
    with database.begin() as unit:
        protection.hold_lock(unit)
        held = repository.registration(unit.session, made.id, lock=True)
        disputing.open_dispute(unit, held, _secret("dispute"))
        held = repository.registration(unit.session, made.id, lock=True)
        applied = crm_changes.apply(
            unit, held, SALESFORCE,
            {FieldGroup.OWNER: {"owner": _secret("owner")},
             FieldGroup.ACCOUNT: {"account": _secret("account")},
             FieldGroup.STAGE: {"sales_stage": "lost", "loss_reason": _secret("loss")}},
            program(),
        )  # fmt: skip
        assert applied.refused == {}
        crm_changes.convert(unit, applied.registration, _secret("convert"))
    shown = _partner_side(database, made)
    assert SECRET not in shown
    assert PHONE not in shown
    assert rival.number not in shown
    with database.read() as session:
        everything = "".join(session.scalars(select(AuditEventRow.body)))
    assert SECRET in everything, "the canaries were really there"


def test_a_rejection_shows_a_partner_nothing_of_the_others(
    database: Database, rival: Registration
) -> None:
    made = submit(database, product_line="support", customer=customer(tax_id="84-1190277"))
    for reason in ReasonCode:
        with database.begin(Actor(_secret("approver"))) as unit:
            repository.add_check(unit.session, _loaded_check(made, rival))
            use_cases.reject(unit, made.id, reason, note=_secret("note"))
        shown = _partner_side(database, made)
        assert SECRET not in shown
        assert PHONE not in shown
        made = submit(
            database, product_line="support", token=reason.value,
            customer=customer(tax_id="84-1190277"),
        )  # fmt: skip


def test_a_contested_protection_says_nothing_of_the_other_side(
    database: Database, rival: Registration
) -> None:
    made = approved(database, product_line="support", customer=customer(name="Typed otherwise"))
    with database.begin() as unit:
        protection.hold_lock(unit)
        customers.learn(unit, made.customer_id, {MatchKey("tax_id", "841190277")})
    assert partner_view(_held(database, made)).message == ""
    shown = _partner_side(database, made)
    assert "being reviewed" in shown
    assert SECRET not in shown
    assert made.number not in _partner_side(database, rival)


def _held(database: Database, about: Registration) -> Registration:
    with database.read() as session:
        return repository.registration(session, about.id)


def test_a_submit_answers_the_same_whether_the_customer_is_taken_or_not(
    database: Database, rival: Registration
) -> None:
    taken = submit(database, product_line="support", customer=customer(tax_id="84-1190277"))
    free = submit(database, product_line="support", customer=customer(tax_id="55-5"), token="t2")
    views = [replace(partner_view(r), number="", described=customer()) for r in (taken, free)]
    assert views[0] == views[1]
    internal = []
    for about in (taken, free):
        with database.read() as session:
            (event,) = audit.events(session, recording.subject_of(about))
        internal.append(set(event["partner"]))
    assert internal[0] == internal[1] == {"number", "customer"}


def test_a_clash_that_is_told_to_an_approver_names_no_other_registration(
    database: Database, rival: Registration
) -> None:
    add_partners(database, "P2")
    approved(database, "P2", product_line="support", customer=customer(tax_id="84-1190277"))
    made = submit(database, product_line="support", customer=customer(tax_id="84-1190277"))
    with pytest.raises(DomainRefusal) as refused, database.begin(APPROVER) as unit:
        approve(unit, made)
    assert rival.number not in str(refused.value)
    assert SECRET not in str(refused.value)
    with database.begin(SUBMITTER) as unit:
        use_cases.withdraw(unit, made.id)

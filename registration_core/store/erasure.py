"""Erase a person from the store: every text of theirs, in every table, with the audit still sound.

Names, addresses and phones spread: into checks, payloads, before-images, dead letters, bodies of
webhooks. Rather than know each place, every text column of every table is searched. The audit
trail holds digests of personal values under keys of their own; value and key are deleted, and the
chain still verifies. Match keys are digests without a key, which a phone could be guessed from:
those of whom it was erased are made anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    String,
    Text,
    column,
    func,
    or_,
    select,
    table,
    type_coerce,
    update,
)
from sqlalchemy.sql.schema import Table
from sqlalchemy.types import TypeDecorator

from registration_core.errors import InvalidInput
from registration_core.matching import fold_name, of_account
from registration_core.model import Account, Customer, RegistrationState
from registration_core.store import audit, match_index
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import (
    AccountRow,
    AuditEventRow,
    AuditPersonalRow,
    Base,
    CustomerKeyRow,
    RegistrationRow,
)
from registration_core.submission import phone_end

#: What stands where a text was.
ERASED = "[erased]"
#: Shorter texts would tear holes into the texts of others.
SHORTEST = 5
#: The chain itself holds no personal value; what it holds is never changed.
_CHAIN = AuditEventRow.__tablename__
#: What means something in a pattern of SQL, and how it is written to mean itself.
_SPECIAL, _ESCAPED = re.compile("[/%_]"), r"/\g<0>"
#: What may stand between two digits of a phone number.
_BETWEEN = r"[\s()./-]{0,3}"


@dataclass(frozen=True)
class _Wanted:
    """What is erased: patterns for SQL that may find too much, and the one that decides."""

    like: tuple[str, ...]
    pattern: re.Pattern[str]

    def held_in(self, where: SQLColumnExpression[str]) -> ColumnElement[bool]:
        """Return the condition that a column may hold what is erased."""
        return or_(*(func.lower(where).like(like, escape="/") for like in self.like))


def erase(unit: UnitOfWork, texts: Sequence[str]) -> Mapping[str, int]:
    """Erase these texts, such as an e-mail address, a full name and a phone; returns rows by table.

    Upper and lower case are one, and so are the ways to write a phone number. Erase the person in
    the CRMs first: what still stands there is read again. Idempotent; that something was erased is in
    the audit trail, without the texts.

    Raises:
        InvalidInput: A text is shorter than `SHORTEST` characters.
    """
    wanted = _wanted([text.strip() for text in texts])
    registrations, accounts = _registrations(unit, wanted), _accounts(unit, wanted)
    rows = {each.name: _table(unit, each, wanted) for each in Base.metadata.sorted_tables}
    unit.session.expire_all()
    _make_keys_anew(unit, registrations, accounts)
    touched = {name: count for name, count in rows.items() if count}
    audit.record(unit, "erasures", "erase a person", {"rows": touched})
    return touched


def _wanted(texts: Sequence[str]) -> _Wanted:
    likes, patterns = list[str](), list[str]()
    for text in texts:
        if len(text) < SHORTEST:
            raise InvalidInput(
                f"{text!r} is too short to be erased everywhere.",
                hint=f"Give a text of {SHORTEST} characters or more, such as an e-mail address.",
            )
        # As it stands in a column of text, and as JSON writes it.
        for form in {text, json.dumps(text, ensure_ascii=False)[1:-1]}:
            likes.append(f"%{_SPECIAL.sub(_ESCAPED, form.lower())}%")
            patterns.append(re.escape(form))
        if fold_name(text):  # as match keys have it, behind a country
            likes.append(f"%|{_SPECIAL.sub(_ESCAPED, fold_name(text))}%")
            patterns.append(rf'\|{re.escape(fold_name(text))}(?="|$)')
        if phone_end(text):
            likes.append(f"%{'%'.join(phone_end(text))}%")
            patterns.append(_phone(text))
    # The longest first: a phone number with all that belongs to it, rather than its end.
    return _Wanted(
        tuple(likes), re.compile("|".join(sorted(patterns, key=len, reverse=True)), re.IGNORECASE)
    )


def _phone(text: str) -> str:
    """Return a pattern for a phone number in whatever way it is written, with its prefix or without."""
    end, digits = phone_end(text), re.sub(r"\D", "", re.split(r"(?i)e?xt?", text)[0])
    before = "".join(f"(?:{digit}{_BETWEEN})?" for digit in digits[: -len(end)])
    country = rf"(?:(?:\+|00)\d{{1,3}}{_BETWEEN})?"
    return rf"(?<!\d){country}[+(0]*{_BETWEEN}{before}{_BETWEEN.join(end)}(?!\d)"


def _table(unit: UnitOfWork, found: Table, wanted: _Wanted) -> int:
    if found.name == _CHAIN:
        return 0
    if found.name == AuditPersonalRow.__tablename__:
        return _delete(unit, AuditPersonalRow, wanted)
    if found.name == CustomerKeyRow.__tablename__:
        return _delete(unit, CustomerKeyRow, wanted)
    keys, texts = [c.name for c in found.primary_key.columns], _texts(found)
    if not texts:
        return 0
    # Untyped, so that JSON is read and written as the text that it is.
    raw = table(found.name, *(column(name) for name in (*keys, *texts)))
    rows = unit.session.execute(
        select(raw).where(or_(*(wanted.held_in(raw.c[name]) for name in texts)))
    )
    changed = 0
    for row in rows.mappings().all():
        held = {name: row[name] for name in texts if row[name] is not None}
        values = {name: wanted.pattern.sub(ERASED, text) for name, text in held.items()}
        if values != held:
            same = [raw.c[name] == row[name] for name in keys]
            unit.session.execute(update(raw).where(*same).values(values))
            changed += 1
    return changed


def _delete(
    unit: UnitOfWork, rows: type[AuditPersonalRow | CustomerKeyRow], wanted: _Wanted
) -> int:
    """Delete the rows whose value goes: the rest of such a row is about that value alone."""
    held: list[AuditPersonalRow | CustomerKeyRow] = [
        *unit.session.scalars(select(rows).where(wanted.held_in(rows.value)))
    ]
    gone = [row for row in held if wanted.pattern.search(row.value)]
    for row in gone:
        unit.session.delete(row)
    unit.session.flush()
    return len(gone)


def _registrations(unit: UnitOfWork, wanted: _Wanted) -> dict[int, Customer]:
    """Return the customers of live registrations that may hold what is erased, by receipt."""
    live = [state.value for state in RegistrationState if state.live]
    rows = unit.session.execute(
        select(RegistrationRow.receipt_seq, RegistrationRow.customer).where(
            RegistrationRow.state.in_(live),
            wanted.held_in(type_coerce(RegistrationRow.customer, Text)),
        )
    )
    return {row.receipt_seq: row.customer for row in rows}


def _accounts(unit: UnitOfWork, wanted: _Wanted) -> dict[int, Account]:
    """Return the accounts of the directory that may hold what is erased, by ref."""
    texts = (AccountRow.name, AccountRow.phone, AccountRow.aliases)
    held = select(AccountRow.ref).where(or_(*map(wanted.held_in, texts)))
    return match_index.accounts_by_ref(unit.session, unit.session.scalars(held).all())


def _make_keys_anew(
    unit: UnitOfWork, registrations: Mapping[int, Customer], accounts: Mapping[int, Account]
) -> None:
    session = unit.session
    for receipt, before in registrations.items():
        after = session.scalar(
            select(RegistrationRow.customer).where(RegistrationRow.receipt_seq == receipt)
        )
        match_index.keep_registration(session, receipt, before, after)
    now = match_index.accounts_by_ref(session, list(accounts))
    match_index.keep(
        session, ((ref, of_account(accounts[ref]), of_account(after)) for ref, after in now.items())
    )


def _texts(found: Table) -> list[str]:
    """Return the columns that may hold free text; what refers to something stays as it is."""
    fixed = {c.name for c in found.columns if c.primary_key or c.foreign_keys}
    kinds = {c.name: c.type for c in found.columns if c.name not in fixed}
    inner = {
        name: kind.impl_instance if isinstance(kind, TypeDecorator) else kind
        for name, kind in kinds.items()
    }
    return [name for name, kind in inner.items() if isinstance(kind, (String, Text))]

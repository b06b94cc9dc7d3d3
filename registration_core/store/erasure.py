"""Erase a person from the store: every text of theirs, in every table, with the audit still sound.

Names and addresses of contacts spread: into checks, payloads, before-images, dead letters, bodies
of webhooks. Rather than know each place, every text column of every table is searched. The audit
trail holds digests of personal values under keys of their own; value and key are deleted, and the
chain still verifies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, String, Text, column, delete, func, or_, select, table, update
from sqlalchemy.sql.schema import Table
from sqlalchemy.types import TypeDecorator

from registration_core.errors import InvalidInput
from registration_core.store import audit
from registration_core.store.database import UnitOfWork
from registration_core.store.tables import AuditEventRow, AuditPersonalRow, Base

#: What stands where a text was.
ERASED = "[erased]"
#: Shorter texts would tear holes into the texts of others.
SHORTEST = 5
#: The chain itself holds no personal value; what it holds is never changed.
_CHAIN = AuditEventRow.__tablename__


def erase(unit: UnitOfWork, texts: Sequence[str]) -> Mapping[str, int]:
    """Erase these texts, such as an e-mail address and a full name; returns rows by table.

    Upper and lower case are one. Erase the person in the CRMs first: what still stands there is
    read again. Idempotent; that something was erased is in the audit trail, without the texts.

    Raises:
        InvalidInput: A text is shorter than `SHORTEST` characters.
    """
    wanted = [text.strip() for text in texts]
    for text in wanted:
        if len(text) < SHORTEST:
            raise InvalidInput(
                f"{text!r} is too short to be erased everywhere.",
                hint=f"Give a text of {SHORTEST} characters or more, such as an e-mail address.",
            )
    # As it stands in a column of text, and as JSON writes it.
    forms = sorted({*wanted, *(json.dumps(text, ensure_ascii=False)[1:-1] for text in wanted)})
    rows = {each.name: _table(unit, each, forms) for each in Base.metadata.sorted_tables}
    touched = {name: count for name, count in rows.items() if count}
    audit.record(unit, "erasures", "erase a person", {"rows": touched})
    return touched


def _table(unit: UnitOfWork, found: Table, forms: Sequence[str]) -> int:
    if found.name == _CHAIN:
        return 0
    if found.name == AuditPersonalRow.__tablename__:
        where = _holds(found.c.value, forms)
        gone = delete(AuditPersonalRow).where(where).returning(AuditPersonalRow.seq)
        return len(unit.session.execute(gone).all())
    keys, texts = [c.name for c in found.primary_key.columns], _texts(found)
    if not texts:
        return 0
    # Untyped, so that JSON is read and written as the text that it is.
    raw = table(found.name, *(column(name) for name in (*keys, *texts)))
    rows = unit.session.execute(
        select(raw).where(or_(*(_holds(raw.c[name], forms) for name in texts)))
    )
    pattern = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE)
    changed = 0
    for row in rows.mappings().all():
        values = {name: pattern.sub(ERASED, row[name]) for name in texts if row[name] is not None}
        same = [raw.c[name] == row[name] for name in keys]
        unit.session.execute(update(raw).where(*same).values(values))
        changed += 1
    return changed


def _texts(found: Table) -> list[str]:
    """Return the columns that may hold free text; what refers to something stays as it is."""
    fixed = {c.name for c in found.columns if c.primary_key or c.foreign_keys}
    kinds = {c.name: c.type for c in found.columns if c.name not in fixed}
    inner = {
        name: kind.impl_instance if isinstance(kind, TypeDecorator) else kind
        for name, kind in kinds.items()
    }
    return [name for name, kind in inner.items() if isinstance(kind, (String, Text))]


def _holds(where: ColumnElement[str], forms: Sequence[str]) -> ColumnElement[bool]:
    return or_(*(func.lower(where).contains(form.lower(), autoescape=True) for form in forms))

"""Where the companions of records are looked for: by our key, an e-mail address, in the directory.

Reads the CRM and writes nothing to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.port import CrmConnector
from mapping.schema import (
    ACCOUNT,
    ADDRESS,
    CONTACT,
    CONTACT_EMAIL,
    PARTNER,
    PARTNER_MARKS,
    Companion,
)
from registration_core.contracts import Condition
from registration_core.model import Band
from sync.accounts import candidates, directory
from sync.plans.jobs import Planned
from sync.process.runtime import Runtime

#: A registration's id and the name of one of its companions.
Place = tuple[str, str]
#: Most contacts or partners that one call looks for, and most that may have one address or code.
ASKED_MAX, OF_ONE_VALUE_MAX = 50, 4


@dataclass(frozen=True)
class Seen:
    """Records that may be a companion."""

    ids: tuple[str, ...]
    #: Whether an only one is it.
    sure: bool = True
    #: It carries our key: it was made here.
    ours: bool = False


def place(planned: Planned) -> Place:
    """Return which companion of which registration a plan makes."""
    name = planned.companion.name if planned.companion else ""
    return planned.job.registration.id, name


def there(runtime: Runtime, crm: CrmConnector, wanted: Sequence[Planned]) -> dict[Place, Seen]:
    """Look companions up: by our key, then contacts by e-mail, accounts as a check finds them."""
    seen = _with_our_key(runtime, crm, wanted)
    left = [p for p in wanted if place(p) not in seen]
    accounts = [p for p in left if p.companion and p.companion.name == ACCOUNT]
    contacts = [p for p in left if p.companion and p.companion.name == CONTACT]
    partners = [p for p in left if p.companion and p.companion.name == PARTNER]
    found = _marked(crm, contacts, CONTACT_EMAIL) | _by_mark(crm, partners)
    return seen | _accounts(runtime, crm, accounts) | found


def users(crm: CrmConnector, wanted: Sequence[Planned]) -> dict[Place, Seen]:
    """Look users up by the e-mail addresses that were planned for them, in one call."""
    addresses = {place(p): str(p.plan.write.get(ADDRESS) or "") for p in wanted}
    asked = list(dict.fromkeys(address for address in addresses.values() if address))
    found = crm.users(asked) if asked else {}
    return {where: Seen(found.get(address, ())) for where, address in addresses.items()}


def _with_our_key(
    runtime: Runtime, crm: CrmConnector, wanted: Sequence[Planned]
) -> dict[Place, Seen]:
    """Find what we made; accounts are in the directory from here on, whatever its feed lags."""
    seen: dict[Place, Seen] = {}
    for object_name, key in dict.fromkeys(
        (p.job.mapping.object, p.job.mapping.key) for p in wanted
    ):
        few = [p for p in wanted if (p.job.mapping.object, p.job.mapping.key) == (object_name, key)]
        accounts = object_name == runtime.mappings[crm.name].accounts.object
        reads = [key, *(directory.account_reads(runtime, crm.name) if accounts else ())]
        found = crm.find(object_name, key, list(dict.fromkeys(p.key for p in few)), reads)
        for p in few:
            if p.key in found:
                seen[place(p)] = Seen((found[p.key].record_id,), ours=True)
        if accounts and found:
            made = [directory.account_of(runtime, crm.name, record) for record in found.values()]
            with runtime.database.begin() as unit:
                directory.take(unit, crm.name, made, [])
    return seen


def _accounts(runtime: Runtime, crm: CrmConnector, wanted: Sequence[Planned]) -> dict[Place, Seen]:
    """Find customers' accounts in the directory, brought up to date before."""
    if not wanted:
        return {}
    directory.refresh(runtime, crm.name)
    seen: dict[Place, Seen] = {}
    with runtime.database.read() as session:
        for p in wanted:
            customer = candidates.wanted_of(session, p.job.registration)
            here = [a for a in candidates.likely(session, customer) if a.connection == crm.name]
            may_be = [
                (account.record_id, match.band)
                for account, match in candidates.matched(here, customer)
                if match.relation in candidates.MAY_BE
            ]
            strong = tuple(record_id for record_id, band in may_be if band is Band.STRONG)
            ids = strong or tuple(record_id for record_id, _ in may_be)
            seen[place(p)] = Seen(ids, sure=bool(strong))
    return seen


def _by_mark(crm: CrmConnector, partners: Sequence[Planned]) -> dict[Place, Seen]:
    """Find partners by code, or by name where their code is not written."""
    seen: dict[Place, Seen] = {}
    for mark in PARTNER_MARKS:
        seen |= _marked(
            crm, [p for p in partners if p.companion and p.companion.mark == mark], mark
        )
    return seen


def _marked(crm: CrmConnector, wanted: Sequence[Planned], mark: str) -> dict[Place, Seen]:
    """Find records by what one field of ours is written to: a contact's address, a partner's code."""
    seen: dict[Place, Seen] = {}
    for start in range(0, len(wanted), ASKED_MAX):
        few = wanted[start : start + ASKED_MAX]
        companion = few[0].companion
        assert companion is not None
        values = {place(p): _value(p, mark) for p in few}
        records, complete = _with_values(crm, companion, mark, list(values.values()))
        for where, value in values.items():
            ids = tuple(record_id for record_id, at in records if at == value.casefold())
            seen[where] = Seen(ids, sure=complete)
    return seen


def _with_values(
    crm: CrmConnector, companion: Companion, mark: str, values: Sequence[str]
) -> tuple[list[tuple[str, str]], bool]:
    """Read records with one of these values, and whether that is all of them.

    Where the CRM keeps the field unique, it is asked past its search, whose index may lag.
    """
    made, field = companion.made, str(companion.field_of(mark))
    asked = list(dict.fromkeys(values))
    if crm.describe(made.object).fields[field].unique:
        records = tuple(crm.find(made.object, field, asked, [field]).values())
        complete = True
    else:
        where = (Condition(field, tuple(asked)),)
        found = crm.select(made.object, where, [field], ASKED_MAX * OF_ONE_VALUE_MAX)
        records, complete = found.records, found.complete
    return [(each.record_id, str(each.fields[field]).casefold()) for each in records], complete


def _value(planned: Planned, mark: str) -> str:
    """What is looked for; an e-mail address whatever its case, the rest as it is written."""
    if mark == CONTACT_EMAIL:
        return planned.job.registration.contact_email.casefold()
    companion = planned.companion
    assert companion is not None
    return str(planned.plan.write.get(str(companion.field_of(mark))) or "")

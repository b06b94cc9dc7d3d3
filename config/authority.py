"""Who may change each field group, and who wins, where a program does not say otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from registration_core.fields import FieldGroup
from registration_core.program import HOME, MANUAL, MIRRORS, STORE, Authority, Phase

AuthorityTable = Mapping[FieldGroup, Mapping[Phase, Authority]]

_STORE_ALONE = Authority(frozenset({STORE}), STORE)
_HOME_ALONE = Authority(frozenset({HOME}), HOME)
_STORE_AND_HOME = Authority(frozenset({STORE, HOME}), HOME)
_CRMS = Authority(frozenset({HOME, MIRRORS}), HOME)
_EVERYONE = Authority(frozenset({STORE, HOME, MIRRORS}), HOME)
_EVERYONE_BY_HAND = Authority(frozenset({STORE, HOME, MIRRORS}), MANUAL)

#: Groups that only a decision here may change. A program cannot give them away: an edit in a
#: CRM would then pass by the review.
STORE_ONLY = frozenset(
    {FieldGroup.IDENTITY, FieldGroup.REGISTRATION, FieldGroup.PROTECTION, FieldGroup.PARTNER}
)


def _always(authority: Authority) -> dict[Phase, Authority]:
    return {Phase.REGISTERED: authority, Phase.CONVERTED: authority}


def _handed_over(converted: Authority) -> dict[Phase, Authority]:
    return {Phase.REGISTERED: _STORE_ALONE, Phase.CONVERTED: converted}


#: The shipped defaults. Two amounts are never settled by a rule: people settle money.
DEFAULT_AUTHORITY: AuthorityTable = {
    FieldGroup.IDENTITY: _always(_STORE_ALONE),
    FieldGroup.REGISTRATION: _always(_STORE_ALONE),
    FieldGroup.PROTECTION: _always(_STORE_ALONE),
    FieldGroup.PARTNER: _always(_STORE_ALONE),
    FieldGroup.DETAILS: _always(_STORE_ALONE),
    FieldGroup.NAME: _always(_EVERYONE),
    FieldGroup.OWNER: _always(_HOME_ALONE),
    FieldGroup.ACCOUNT: _always(_STORE_AND_HOME),
    FieldGroup.STAGE: _handed_over(_CRMS),
    FieldGroup.CLOSE: _handed_over(_CRMS),
    FieldGroup.AMOUNT: _handed_over(_EVERYONE_BY_HAND),
}

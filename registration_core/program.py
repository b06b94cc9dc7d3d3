"""A deal registration program's rules as a value: who is asked, who is protected, who may write.

Read from `programs/*.yaml` by `config`; everything here is pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from registration_core.contracts import Condition, ConnectionName, FieldType
from registration_core.fields import FieldGroup
from registration_core.findings import USUAL_RULES, FindingKind, FindingRule

#: Writers and winners that are not a connection's name.
STORE, HOME, MIRRORS, MANUAL = "store", "home", "mirrors", "manual"


class Role(StrEnum):
    """What a connection is to one registration."""

    #: Its opportunity is the forecast one; exactly one per registration, frozen at approval.
    HOME = "home"
    #: Carries our fields, both ways, on an object kept out of the forecast.
    MIRROR = "mirror"
    #: Read for checks, never written.
    CHECK_ONLY = "check_only"


class Phase(StrEnum):
    """Before or after a user of the home CRM has taken the deal over."""

    REGISTERED = "registered"
    CONVERTED = "converted"


@dataclass(frozen=True)
class Authority:
    """Who may change a field group, and who wins when two did.

    `writers` holds `store`, `home`, `mirrors` or a connection's name; `wins` is `store`, `home`,
    a connection's name, or `manual`: the conflict stays open for a person.
    """

    writers: frozenset[str]
    wins: str

    def may_write(self, connection: ConnectionName, role: Role) -> bool:
        """Whether a change made in this connection is taken."""
        side = HOME if role is Role.HOME else MIRRORS
        return side in self.writers or connection in self.writers

    @property
    def store_may_write(self) -> bool:
        """Whether a change made here is pushed."""
        return STORE in self.writers

    def wins_against_store(self, connection: ConnectionName, role: Role) -> bool | None:
        """True if the connection's value wins, False if the store's, None if a person decides."""
        if self.wins == MANUAL:
            return None
        if self.wins == STORE:
            return False
        return (self.wins == HOME and role is Role.HOME) or self.wins == connection


class Exclusivity(StrEnum):
    """How many partners one product line protects for one customer."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"
    OPEN = "open"


@dataclass(frozen=True)
class ProductLine:
    """A leaf of the product catalogue with its protection rule."""

    code: str
    label: str
    exclusivity: Exclusivity
    #: Slots of a shared line; 1 for exclusive, 0 for open.
    slots: int


class ListKind(StrEnum):
    """The lists a customer may be on."""

    DIRECT = "direct"
    HOUSE = "house"
    DO_NOT_CALL = "do_not_call"
    #: Strategic accounts that are worked by a named team.
    NAMED = "named"
    #: Nobody may sell to them.
    EMBARGO = "embargo"
    #: They have bought from us.
    CUSTOMER = "customer"


#: They hold for everybody from their first day; any other list only for what comes in after it.
PROHIBITIONS = (ListKind.DO_NOT_CALL, ListKind.EMBARGO)
#: Lists that every program has to say how to read; the others where a program has them.
REQUIRED_LISTS = (ListKind.DIRECT, ListKind.HOUSE, ListKind.DO_NOT_CALL)


@dataclass(frozen=True)
class AccountList:
    """One list in one connection: the predicate that says who is on it, and its canaries."""

    kind: ListKind
    connection: ConnectionName
    where: tuple[Condition, ...]
    #: Tax ids of accounts that must always be seen on the list, one a territory.
    canary_tax_ids: tuple[str, ...]
    #: Fields of the account that say who decides, and why it is on the list; empty for none.
    owner_field: str = ""
    reason_field: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields of an account that have to be read to know all this of it."""
        asked = (*(c.field for c in self.where), self.owner_field, self.reason_field)
        return tuple(name for name in asked if name)


@dataclass(frozen=True)
class ListTerms:
    """What a program says of a list as a whole; counts where an entry does not say it itself."""

    #: Who decides on registrations for its accounts (operating-system user); empty: any approver.
    owner: str = ""
    reason: str = ""
    #: Days after an account came onto the list during which registrations are received as before.
    notice_days: int = 0


@dataclass(frozen=True)
class LowRiskRule:
    """What may be approved without a person: complete fresh check, no finding, and this.

    Amounts are never converted: a deal in another currency than the rule's does not fit.
    """

    amount_at_most: Decimal
    currency: str
    partner_tiers: frozenset[str]


@dataclass(frozen=True)
class HomeRule:
    """Which connection is home for registrations of these territories; first fit wins."""

    connection: ConnectionName
    #: Customer countries (ISO 3166-1 alpha-2); empty means everywhere.
    countries: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CustomField:
    """A field that only this program has."""

    name: str
    type: FieldType
    label: str
    required: bool = False
    options: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Program:
    """The rules of one program, at one version (a digest of the rules, defaults included)."""

    name: str
    version: str
    homes: tuple[HomeRule, ...]
    mirrors: tuple[ConnectionName, ...]
    check_only: tuple[ConnectionName, ...]
    #: Connections that must be read completely and freshly before an approval; never empty.
    required_connections: tuple[ConnectionName, ...]
    #: Oldest evidence that still counts, by connection (all of `connections`), in seconds.
    freshness_seconds: Mapping[ConnectionName, int]
    product_lines: Mapping[str, ProductLine]
    lists: tuple[AccountList, ...]
    #: By list, where the program says anything of it.
    list_terms: Mapping[ListKind, ListTerms]
    protection_days: int
    currencies: frozenset[str]
    #: Smallest deal that may be registered, in whichever of `currencies` it is, unconverted.
    amount_at_least: Decimal
    low_risk: LowRiskRule | None
    authority: Mapping[FieldGroup, Mapping[Phase, Authority]]
    custom_fields: Mapping[str, CustomField] = field(default_factory=dict)
    #: What follows from each kind of finding; complete.
    findings: Mapping[FindingKind, FindingRule] = field(default_factory=lambda: USUAL_RULES)
    #: Untouched for longer than this, an opportunity is stale and a direct account dormant.
    activity_days: int = 180
    #: For how long a won deal makes an existing customer.
    customer_days: int = 730
    #: Custom field that tells of a published tender: yes or no, or when it was published.
    tender_field: str = ""
    #: A list below this share of its last complete count makes the check incomplete.
    list_shrink_limit: Decimal = Decimal("0.8")

    @property
    def connections(self) -> tuple[ConnectionName, ...]:
        """Every connection that has a part in the program, sorted."""
        homes = (rule.connection for rule in self.homes)
        return tuple(sorted({*homes, *self.mirrors, *self.check_only}))

    def home_for(self, country: str) -> ConnectionName:
        """Return the home connection for a customer's country; the last rule fits everywhere."""
        return next(r.connection for r in self.homes if not r.countries or country in r.countries)

    def roles_for(self, country: str) -> dict[ConnectionName, Role]:
        """Return the role of every connection of the program for a customer's country."""
        home = self.home_for(country)
        roles = dict.fromkeys(self.check_only, Role.CHECK_ONLY)
        roles |= dict.fromkeys(self.mirrors, Role.MIRROR)
        return roles | {home: Role.HOME}

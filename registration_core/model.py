"""The deal and everything around it, as frozen values with aware UTC times.

A registration has four axes that are never folded into one status: registration state,
protection state, sales stage, dispute state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from registration_core.contracts import ConnectionName, Fields, Value
from registration_core.fields import SalesStage
from registration_core.findings import Decision, FindingKind
from registration_core.program import PROHIBITIONS, ListKind, ListTerms, Phase, Role


class RegistrationState(StrEnum):
    """Where the request of the partner stands; changed by `lifecycle` alone."""

    SUBMITTED = "submitted"
    UNDER_REVIEW = "under_review"
    MORE_INFO_NEEDED = "more_info_needed"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CLOSED_WON = "closed_won"
    CLOSED_LOST = "closed_lost"

    @property
    def live(self) -> bool:
        """Whether the registration is pending or approved, so that others have to know of it."""
        return self in (
            RegistrationState.SUBMITTED,
            RegistrationState.UNDER_REVIEW,
            RegistrationState.MORE_INFO_NEEDED,
            RegistrationState.APPROVED,
        )


class ProtectionState(StrEnum):
    """Whether the partner is protected against others."""

    NONE = "none"
    ACTIVE = "active"
    EXPIRING = "expiring"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    RELEASED = "released"
    #: Two claims came to overlap by a merge of customers; both stand until decided.
    CONTESTED = "contested"

    @property
    def standing(self) -> bool:
        """Whether the claim keeps others out."""
        return self in (
            ProtectionState.ACTIVE,
            ProtectionState.EXPIRING,
            ProtectionState.SUSPENDED,
            ProtectionState.CONTESTED,
        )


class DisputeState(StrEnum):
    """Whether somebody contests the decision."""

    NONE = "none"
    OPEN = "open"
    DECIDED = "decided"


@dataclass(frozen=True)
class Actor:
    """Who acts. `verified` stays False until sign-in exists: `--actor` is only a claim."""

    name: str
    host: str = ""
    verified: bool = False
    #: The operating-system user behind `name`, where that is known.
    os_user: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.host}" if self.host else self.name


#: The program itself, for automatic steps.
SYSTEM = Actor(name="dealreg", verified=True)


@dataclass(frozen=True)
class Partner:
    """A company that registers deals."""

    id: str
    code: str
    name: str
    tier: str
    email: str
    active: bool
    created_at: datetime


@dataclass(frozen=True)
class Customer:
    """An organisation as somebody described it; evidence, never overwritten by a CRM.

    The matcher compares it as `matching.Organisation`. All but the name may be empty.
    """

    name: str
    #: ISO 3166-1 alpha-2; the matcher takes the country's English name too.
    country: str = ""
    aliases: tuple[str, ...] = ()
    website: str = ""
    #: Domains of its people's e-mail addresses.
    email_domains: tuple[str, ...] = ()
    region: str = ""
    city: str = ""
    postcode: str = ""
    phone: str = ""
    tax_id: str = ""
    duns: str = ""
    #: The parent company's name; between accounts its id there.
    parent: str = ""


@dataclass(frozen=True)
class MatchKey:
    """One exact key: `tax_id`, `duns`, `domain` or `name_country`, and its folded value."""

    kind: str
    value: str


@dataclass(frozen=True)
class Registration:
    """One deal registration."""

    id: str
    #: Public number; random, so that it reveals no sequence.
    number: str
    program: str
    partner_id: str
    submitted_by: str
    customer: Customer
    #: The resolved customer this registration is about.
    customer_id: str
    deal_name: str
    product_line: str
    amount: Decimal
    currency: str
    expected_close_on: date
    description: str
    state: RegistrationState
    sales_stage: SalesStage
    protection_state: ProtectionState
    dispute_state: DisputeState
    submitted_at: datetime
    #: Order of receipt over the whole store, allocated at submit.
    receipt_seq: int
    #: Last change of what the conflict check matches on; a check must begin after it.
    match_keys_changed_at: datetime
    created_at: datetime
    updated_at: datetime
    #: Raised by one with every change.
    version: int
    reason_code: str | None = None
    partner_message: str | None = None
    decided_at: datetime | None = None
    protection_starts_on: date | None = None
    protection_ends_on: date | None = None
    #: When a user of the home CRM took the deal over.
    converted_at: datetime | None = None
    actual_close_on: date | None = None
    won_amount: Decimal | None = None
    loss_reason: str | None = None
    contact_name: str = ""
    contact_email: str = ""
    #: Role of each connection, decided by the program at submit and frozen at approval.
    roles: Mapping[ConnectionName, Role] = field(default_factory=dict)
    #: Account (and later owner) in each CRM: the CRM's own ids, by connection.
    accounts: Mapping[ConnectionName, str] = field(default_factory=dict)
    owners: Mapping[ConnectionName, str] = field(default_factory=dict)
    custom: Mapping[str, Value] = field(default_factory=dict)
    #: Deal name, amount, currency and expected close as they were last given here, for the
    #: partner: what a user of a CRM types instead is the vendor's own.
    registered: Fields = field(default_factory=dict)

    @property
    def home(self) -> ConnectionName:
        """The connection whose opportunity is the forecast one."""
        return next(name for name, role in self.roles.items() if role is Role.HOME)

    @property
    def phase(self) -> Phase:
        """Whether the home CRM has taken the deal over."""
        return Phase.CONVERTED if self.converted_at else Phase.REGISTERED


@dataclass(frozen=True)
class ListWords:
    """What a CRM itself says of an account on a list, in fields that the program names."""

    kind: ListKind
    owner: str
    reason: str


@dataclass(frozen=True)
class Account:
    """An account of a CRM as the account directory keeps it."""

    connection: ConnectionName
    object: str
    record_id: str
    name: str
    country: str
    city: str
    domain: str
    tax_id: str
    duns: str
    owner: str
    lists: frozenset[ListKind]
    #: The CRM's clock when it was read.
    read_at: datetime
    postcode: str = ""
    phone: str = ""
    #: Record id of the parent account in the same CRM.
    parent: str = ""
    #: Further names and domains, one a line.
    aliases: str = ""
    other_domains: str = ""
    #: By list, where the CRM says anything.
    list_words: tuple[ListWords, ...] = ()

    def entry(self, kind: ListKind, valid_from: date | None) -> ListEntry:
        """Return its entry of a list of its CRM; None for nobody knows since when."""
        words = next((said for said in self.list_words if said.kind is kind), None)
        return ListEntry(
            id="", kind=kind, customer=Customer(
                self.name, self.country, tuple(self.aliases.splitlines()), self.domain,
                tuple(self.other_domains.splitlines()), city=self.city, postcode=self.postcode,
                phone=self.phone, tax_id=self.tax_id, duns=self.duns,
            ),
            owner=words.owner if words else "", reason=words.reason if words else "",
            valid_from=valid_from, valid_until=None, notice_days=None,
            connection=self.connection, record_id=self.record_id,
        )  # fmt: skip


#: Where entries of account lists from files stand in the account directory; no connection can be
#: called so.
LIST_FILE = ConnectionName("list file")


@dataclass(frozen=True)
class ListEntry:
    """One account on a list, from a file or by a CRM's predicate, and from when it holds."""

    id: str
    kind: ListKind
    #: Who it is; of an account of a CRM, as it was read when it came onto the list.
    customer: Customer
    #: Who decides on registrations for it, and why it is listed; empty for what the list says.
    owner: str
    reason: str
    #: None: it was on the list already when that was first read.
    valid_from: date | None
    #: Last day; None for good.
    valid_until: date | None
    #: Days after `valid_from` during which registrations are still received as before; None for
    #: what the list says.
    notice_days: int | None
    #: Where it stands in the account directory.
    connection: ConnectionName = LIST_FILE
    record_id: str = ""

    def by(self, terms: ListTerms) -> ListEntry:
        """Return it with what it does not say itself, as its list says it."""
        days = terms.notice_days if self.notice_days is None else self.notice_days
        return replace(
            self, owner=self.owner or terms.owner, reason=self.reason or terms.reason,
            notice_days=days,
        )  # fmt: skip

    @property
    def counts_from(self) -> date:
        """The first day on which it holds: for prohibitions today, else for what is received then.

        A prohibition knows no notice period.
        """
        if self.valid_from is None:
            return date.min
        days = 0 if self.kind in PROHIBITIONS else self.notice_days or 0
        return self.valid_from + timedelta(days=days)

    def holds_for(self, received_on: date, today: date) -> bool:
        """Whether it counts against a registration that was received on a day.

        Prohibitions hold for all from their first day to their last. Any other reservation holds
        only for what was received after its notice period: never backwards.
        """
        about = today if self.kind in PROHIBITIONS else received_on
        return self.counts_from <= about and self._not_over(about)

    def comes_later(self, received_on: date) -> bool:
        """Whether it is a reservation that a registration of a day was received before."""
        reserves = self.kind not in PROHIBITIONS
        return reserves and received_on < self.counts_from and self._not_over(received_on)

    def _not_over(self, about: date) -> bool:
        return self.valid_until is None or about <= self.valid_until


class Band(StrEnum):
    """How sure a match is."""

    STRONG = "strong"
    REVIEW = "review"


#: Evidence of a finding that does not count: only what is received from this day on is held for it.
CAME_LATER = "counts from"


@dataclass(frozen=True)
class Finding:
    """Somebody else's possible claim on the customer, with the evidence for it."""

    kind: FindingKind
    band: Band
    #: What matched: `tax_id`, `duns`, `domain`, `name_country`.
    matched_on: tuple[str, ...]
    #: Internal wording; never shown to a partner.
    summary: str
    connection: ConnectionName | None = None
    record_id: str | None = None
    registration_id: str | None = None
    #: Who has to decide because of this finding; empty for any approver.
    decides: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    #: What the program says that follows, and the reason of a rejection for it.
    decision: Decision = Decision.REVIEW
    reason: str = ""

    @property
    def claim(self) -> FindingKind:
        """What is claimed: of the customer, or of a relative where the finding is of the family."""
        return FindingKind(self.evidence.get("claim", self.kind))

    @property
    def came_later(self) -> bool:
        """Whether it is a reservation that the registration was received before: shown, no more."""
        return CAME_LATER in self.evidence


@dataclass(frozen=True)
class Reading:
    """What one connection answered to a check."""

    connection: ConnectionName
    complete: bool
    #: The CRM's clock up to which it is certain; None if it was not read.
    as_of: datetime | None
    reason: str = ""
    #: People may accept stale evidence, but not an unread connection or a shrunken list.
    overridable: bool = False
    #: Whether the program asks for it; else it is read too, and a failure only shows.
    required: bool = True


@dataclass(frozen=True)
class ConflictCheck:
    """What was asked and answered before a decision."""

    id: str
    registration_id: str
    began_at: datetime
    finished_at: datetime
    policy_version: str
    matcher_version: str
    #: `account_lists.state` when the lists were looked through; None where it was not kept.
    lists_seen: int | None
    readings: tuple[Reading, ...]
    findings: tuple[Finding, ...]
    accounts: Mapping[ConnectionName, str] = field(default_factory=dict)
    #: Whom it asked about, as the customer was described then; None where that was not kept.
    customer: Customer | None = None
    #: Exact keys of that customer, typed or learned from its accounts and other registrations.
    keys: tuple[MatchKey, ...] = ()

    @property
    def incomplete(self) -> tuple[Reading, ...]:
        """The required connections that were not read completely; empty for a complete check."""
        return tuple(r for r in self.readings if r.required and not r.complete)

"""An organisation as the matcher compares it: a CRM account, or a registration's customer."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property

from rapidfuzz.utils import default_process

from registration_core.contracts import ConnectionName
from registration_core.matching import lexicon
from registration_core.matching.domains import domain_of, owned_domain
from registration_core.matching.folding import fold_id
from registration_core.matching.names import NAME_MAX, Name, read_name
from registration_core.model import Account, Customer
from registration_core.program import ListKind

_NOT_DIGIT = re.compile(r"\D")
_NOT_PLAIN = re.compile(r"[\W_]+")
#: Numbers are compared by their last digits: some write the country and trunk prefix, some do not.
_PHONE_DIGITS = 8


@dataclass(frozen=True)
class Organisation(Customer):
    """What is known of an organisation, read once in the forms that are compared."""

    #: How the caller names it; returned with a match.
    id: str = ""

    @cached_property
    def names(self) -> tuple[Name, ...]:
        """The name and every alias, taken apart; what each names within itself comes last."""
        read = [read_name(text or "") for text in (self.name, *self.aliases)]
        return (*(n for each in read for n in each[:1]), *(n for each in read for n in each[1:]))

    @cached_property
    def parent_names(self) -> frozenset[str]:
        """The parent's name in its comparable form, and any that it names within itself."""
        return frozenset(name.joined for name in read_name(self.parent or ""))

    @cached_property
    def glance(self) -> str:
        """The name in plain letters without what many names begin with, for a first look."""
        words = default_process(lexicon.ascii_of(self.name or "")[:NAME_MAX]).split()
        while len(words) > 1 and (words[0] in lexicon.STOP or words[0] in lexicon.PREFIX_FORMS):
            del words[0]
        return " ".join(words)

    @cached_property
    def brand(self) -> str:
        """The first word of the glance but for a place with which many names begin."""
        words = self.glance.split()
        return next((word for word in words if not lexicon.is_frequent_place(word)), "")

    @cached_property
    def run_on(self) -> str:
        """The glance from its brand on, without spaces."""
        return self.glance[self.glance.find(self.brand) :].replace(" ", "")

    @cached_property
    def domains(self) -> frozenset[str]:
        """The domains that somebody registered; shared ones are left out."""
        typed = (self.website, *self.email_domains)
        return frozenset(filter(None, (owned_domain(text or "") for text in typed)))

    @cached_property
    def country_code(self) -> str:
        """The country in one spelling; '' if not known."""
        text = plain(self.country)
        return lexicon.COUNTRIES.get(text, text)

    @cached_property
    def plain_region(self) -> str:
        """The region without case, accents, spaces and punctuation."""
        return plain(self.region)

    @cached_property
    def plain_city(self) -> str:
        """The city without case, accents, spaces and punctuation."""
        return plain(self.city)

    @cached_property
    def plain_postcode(self) -> str:
        """The postcode without case, accents, spaces and punctuation."""
        return plain(self.postcode)

    @cached_property
    def tax(self) -> str:
        """The tax id without punctuation and its own country prefix; '' if not known."""
        folded = fold_id(self.tax_id or "")
        prefix = self.country_code.upper()
        return folded.removeprefix(prefix) if prefix else folded

    @cached_property
    def duns_number(self) -> str:
        """The DUNS number, nine digits; '' if not known."""
        folded = fold_id(self.duns or "")
        return folded.zfill(9) if folded else ""

    @cached_property
    def phone_end(self) -> str:
        """The last digits of the phone number; '' if it is too short to tell."""
        digits = _NOT_DIGIT.sub("", re.split(r"(?i)\bext|x", self.phone or "")[0])
        return digits[-_PHONE_DIGITS:] if len(digits) >= 7 else ""


def plain(text: str) -> str:
    """Return text without case, accents, spaces and punctuation."""
    if not text:
        return ""
    return _NOT_PLAIN.sub("", lexicon.ascii_of(text)).lower()


def of_account(account: Account) -> Organisation:
    """Return a CRM account as the matcher compares it; its id is the CRM's record id."""
    return Organisation(
        id=account.record_id,
        name=account.name,
        website=account.domain,
        country=account.country,
        city=account.city,
        postcode=account.postcode,
        phone=account.phone,
        tax_id=account.tax_id,
        duns=account.duns,
        aliases=tuple(account.aliases.splitlines()),
        email_domains=tuple(account.other_domains.splitlines()),
    )


def of_customer(customer: Customer) -> Organisation:
    """Return a customer as the matcher compares it."""
    return Organisation(**{name: getattr(customer, name) for name in _SAID})


def account_of_customer(
    customer: Customer,
    *,
    connection: ConnectionName,
    object_name: str,
    record_id: str,
    read_at: datetime,
    owner: str = "",
    lists: frozenset[ListKind] = frozenset(),
) -> Account:
    """Return a customer as the account directory keeps it; its parent is a name there, so left out."""
    return Account(
        connection=connection, object=object_name, record_id=record_id, name=customer.name,
        country=customer.country, city=customer.city, domain=domain_of(customer.website)[:255],
        tax_id=customer.tax_id, duns=customer.duns, owner=owner, lists=lists, read_at=read_at,
        postcode=customer.postcode, phone=customer.phone, aliases="\n".join(customer.aliases),
        other_domains="\n".join(filter(None, map(domain_of, customer.email_domains))),
    )  # fmt: skip


#: What may be said of a customer.
_SAID = tuple(f.name for f in fields(Customer))

"""Made-up registrations on real listed companies: the same one, a subsidiary, or one not there.

Names, domains, cities and postcodes are real; phones, identifiers, subsidiaries and all
disturbances are made up, so a real CRM will differ. The seed decides everything.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from benchmarks import disturb, matching_data
from registration_core.matching import lexicon
from registration_core.matching.organisation import Organisation

_PLACES = ("France", "Deutschland", "UK", "Italia", "Polska", "Asia Pacific", "India", "Canada",
           "Mexico", "Brasil", "Japan", "Nordic", "Benelux", "Middle East")  # fmt: skip
_PARTS = ("Logistics", "Finance", "Services", "Properties", "Health", "Digital", "Energy",
          "Manufacturing", "Retail", "Ventures", "Research", "Software")  # fmt: skip
_FORMS = ("GmbH", "Ltd", "S.A.S.", "B.V.", "LLC", "S.p.A.", "A/S", "K.K.", "Pty Ltd", "Inc.")
_COUNTRIES = ("Germany", "United Kingdom", "France", "Netherlands", "United States", "Italy")
_FREE_MAIL = ("gmail.com", "outlook.com", "yahoo.com", "gmx.de", "qq.com")


@dataclass(frozen=True)
class Registration:
    """A customer as a partner typed it, and the account it is about."""

    customer: Organisation
    #: `same`, `related` or `absent`.
    truth: str
    account_id: str


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def make(seed: int, registrations: int = 4000) -> tuple[list[Organisation], list[Registration]]:
    """Return the accounts of a CRM and registrations against them: 60 % same, 15 % related."""
    rng = random.Random(seed)
    whole = [
        Organisation(
            id=row["account_id"], name=row["name"], website=row["domain"], country=row["country"],
            region=row["state"], city=row["city"], postcode=row["postcode"],
            phone=f"+{_digits(rng, 11)}", tax_id=_digits(rng, 9), duns=_digits(rng, 9),
        )
        for row in matching_data.rows("accounts_listed.csv")
    ]  # fmt: skip
    rng.shuffle(whole)
    known, absent = whole[: len(whole) * 4 // 5], whole[len(whole) * 4 // 5 :]
    accounts = [_as_kept(org, rng) for org in known]
    made = [
        *(
            Registration(_as_typed(org, rng), "same", org.id)
            for org in rng.sample(known, registrations * 3 // 5)
        ),
        *(
            Registration(_as_typed(_subsidiary(org, rng), rng, 0.3), "related", org.id)
            for org in rng.sample(known, registrations * 3 // 20)
        ),
        *(
            Registration(_as_typed(org, rng), "absent", "")
            for org in rng.sample(absent, registrations // 4)
        ),
    ]
    return accounts, made


def _as_kept(org: Organisation, rng: random.Random) -> Organisation:
    """A CRM account: some fields were never filled in, and some names are short."""
    return replace(
        org,
        name=disturb.name(org.name, rng) if rng.random() < 0.2 else org.name,
        website=org.website if rng.random() < 0.75 else "",
        city=org.city if rng.random() < 0.85 else "",
        postcode=org.postcode if rng.random() < 0.7 else "",
        phone=org.phone if rng.random() < 0.6 else "",
        tax_id=org.tax_id if rng.random() < 0.4 else "",
        duns=org.duns if rng.random() < 0.4 else "",
    )


def _as_typed(org: Organisation, rng: random.Random, changed: float = 0.75) -> Organisation:
    """A customer as a partner types it: the name changed, few of the other fields known."""
    mail = org.website if rng.random() < 0.8 else rng.choice(_FREE_MAIL)
    return replace(
        org,
        id="",
        name=disturb.name(org.name, rng) if rng.random() < changed else org.name,
        website=rng.choice(("", "www.", "https://www.")) + org.website
        if org.website and rng.random() < 0.5
        else "",
        email_domains=(mail,) if rng.random() < 0.4 else (),
        city=org.city if rng.random() < 0.6 else "",
        postcode=org.postcode if rng.random() < 0.3 else "",
        region="",
        country=org.country if rng.random() < 0.97 else rng.choice(_COUNTRIES),
        phone=org.phone[:-4] + (org.phone[-4:] if rng.random() < 0.8 else _digits(rng, 4))
        if rng.random() < 0.35
        else "",
        tax_id=org.tax_id if rng.random() < 0.15 else "",
        duns=org.duns if rng.random() < 0.1 else "",
    )


def _subsidiary(org: Organisation, rng: random.Random) -> Organisation:
    """A company of the group: its brand, a place or a line of business, another legal form."""
    words = disturb.without_form(disturb.without_form(org.name)).split()
    common = words[0].lower() in lexicon.FREQUENCIES or len(words[0]) < 4
    brand = " ".join(words if rng.random() < 0.6 else words[: 2 if common else 1])
    kind = rng.random()
    part = rng.choice(_PLACES) if kind < 0.5 else rng.choice(_PARTS)
    label, _, suffix = org.website.partition(".")
    website = rng.choice((org.website, f"{label}-{part.split()[0].lower()}.{suffix}", ""))
    return Organisation(
        id=org.id, name=f"{brand} {part} {rng.choice(_FORMS)}", website=website,
        country=rng.choice((org.country, *_COUNTRIES)), city=rng.choice((org.city, "", "Springfield")),
        phone=f"+{_digits(rng, 11)}", tax_id=_digits(rng, 9), duns=_digits(rng, 9),
    )  # fmt: skip

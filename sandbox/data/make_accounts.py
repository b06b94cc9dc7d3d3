"""Make `accounts.json`, the accounts every stand-in starts with; run it again to get the same file.

All companies are invented: names are joined from syllables, domains end in `.example`, and
telephone numbers come from ranges set aside for fiction. A row holds `key`, `name`, `domain`,
`country` (ISO 3166 alpha-2), `city`, `postcode`, `phone`, `tax_id`, `duns`, `class`
(`prospect | direct | house | do_not_call`), `crms` (where the account exists) and `parent` (key of
an earlier row in at least the same CRMs); what is not known is null.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path

SEED = 20260
BACKGROUND = 200
CRMS = ("salesforce", "dynamics365", "hubspot")
TARGET = Path(__file__).with_name("accounts.json")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


STARTS = _words(
    "Aldin Bram Cald Eller Fen Garth Hask Ingel Jorv Kelm Lusk Marl Neth Orm Pell Quern Rav "
    "Sked Thorn Ulver Vang Wyn Yarrow Zell"
)
ENDS = _words("beck bridge croft dale feld gate holt ley mark moor stead thwaite vik wick")
TRADES = {
    "en": _words(
        "Logistics Foods Biosciences Robotics Software Packaging Instruments Energy Health "
        "Capital Marine Textiles Analytics Plastics Water Rail"
    ),
    "de": _words("Maschinenbau Logistik Chemie Werkzeuge Lebensmittel Verpackung Messtechnik"),
    "fr": _words("Logistique Énergie Industries Emballage Santé Agroalimentaire"),
    "nl": _words("Logistiek Voeding Techniek Verpakking"),
    "nordic": _words("Energi Marin Logistikk Teknik Bygg"),
}


@dataclass(frozen=True)
class Place:
    """Where a company can be: language of its trade, legal forms, cities, shapes of its numbers."""

    country: str
    trades: str
    forms: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    #: `#` stands for a digit.
    phone: str | None
    tax: str


PLACES = (
    Place(
        "US",
        "en",
        ("Inc.", "LLC", "Corp.", "Co."),
        (("Columbus", "43215"), ("Portland", "97205"), ("Austin", "78701"), ("Boise", "83702")),
        "+1 614 555 01##",
        "##-#######",
    ),
    Place(
        "GB",
        "en",
        ("Ltd", "Limited", "plc", "LLP"),
        (("Leeds", "LS1 4AP"), ("Bristol", "BS1 5TR"), ("Sheffield", "S1 2HE")),
        "+44 113 496 0###",
        "GB#########",
    ),
    Place(
        "DE",
        "de",
        ("GmbH", "AG", "GmbH & Co. KG"),
        (("Nürnberg", "90402"), ("Köln", "50667"), ("Leipzig", "04109")),
        "+49 30 23125 ###",
        "DE#########",
    ),
    Place(
        "FR",
        "fr",
        ("SAS", "SARL", "S.A."),
        (("Lyon", "69002"), ("Nantes", "44000"), ("Besançon", "25000")),
        "+33 1 99 00 ## ##",
        "FR###########",
    ),
    Place(
        "NL",
        "nl",
        ("B.V.", "N.V."),
        (("Utrecht", "3511 AD"), ("Eindhoven", "5611 AZ")),
        None,
        "NL#########B01",
    ),
    Place(
        "SE",
        "nordic",
        ("AB",),
        (("Göteborg", "411 06"), ("Malmö", "211 20")),
        "+46 8 465 004 ##",
        "SE##########01",
    ),
    Place(
        "NO", "nordic", ("AS", "ASA"), (("Bergen", "5003"), ("Tromsø", "9008")), None, "NO#########"
    ),
    Place(
        "IE",
        "en",
        ("Ltd", "DAC"),
        (("Cork", "T12 W8KP"), ("Galway", "H91 E2K3")),
        "+353 20 915 ####",
        "IE#######W",
    ),
    Place(
        "CA",
        "en",
        ("Inc.", "Ltd."),
        (("Hamilton", "L8P 1A1"), ("Québec", "G1R 2S9")),
        "+1 418 555 01##",
        "#########RC0001",
    ),
    Place(
        "AU",
        "en",
        ("Pty Ltd",),
        (("Geelong", "3220"), ("Hobart", "7000")),
        "+61 3 5550 ####",
        "## ### ### ###",
    ),
)

# key, name, country, city, postcode, phone, tax_id: relied on by examples and tests.
FIXED = (
    (
        "borealis",
        "Borealis Cold Storage Inc.",
        "US",
        "Duluth",
        "55802",
        "+1 218 555 0141",
        "47-2210986",
    ),
    (
        "kestrel",
        "Kestrel Maschinenbau GmbH",
        "DE",
        "Augsburg",
        "86150",
        "+49 30 23125 417",
        "DE811234567",
    ),
    (
        "sandpiper",
        "Sandpiper Foods Ltd",
        "GB",
        "Norwich",
        "NR1 3JU",
        "+44 1632 960 118",
        "GB219876543",
    ),
    (
        "merganser",
        "Merganser Retail Group plc",
        "GB",
        "Leicester",
        "LE1 5YA",
        "+44 1632 960 274",
        "GB310442917",
    ),
    (
        "goldcrest",
        "Goldcrest Aerospace Corp.",
        "US",
        "Wichita",
        "67202",
        "+1 316 555 0177",
        "52-7781203",
    ),
    ("dunlin", "Dunlin Health Trust", "GB", "Exeter", "EX1 1GE", "+44 1632 960 635", "GB778120345"),
    ("avocet", "Avocet Biosciences Inc.", "US", "Durham", "27701", "+1 919 555 0126", "84-1190277"),
    ("turnstone", "Turnstone Energy AS", "NO", "Stavanger", "4006", None, "NO918273645"),
    (
        "wheatear",
        "Wheatear Robotics Inc.",
        "US",
        "Pittsburgh",
        "15222",
        "+1 412 555 0163",
        "36-5520148",
    ),
    ("redpoll", "Redpoll Software Inc.", "US", "Madison", "53703", "+1 608 555 0190", "20-8846125"),
    ("canary-direct", "Canary Direct Account", "US", None, None, None, "00-0000001"),
    ("canary-house", "Canary House Account", "US", None, None, None, "00-0000002"),
    ("canary-do-not-call", "Canary Do Not Call Account", "US", None, None, None, "00-0000003"),
)
FIXED_CLASS = {
    "sandpiper": "direct",
    "merganser": "direct",
    "goldcrest": "house",
    "dunlin": "do_not_call",
    "canary-direct": "direct",
    "canary-house": "house",
    "canary-do-not-call": "do_not_call",
}


@dataclass(frozen=True)
class Company:
    """One row before it is written; `account_class` is written as `class`."""

    key: str
    name: str
    domain: str | None
    country: str
    city: str | None
    postcode: str | None
    phone: str | None
    tax_id: str | None
    duns: str | None
    account_class: str
    crms: tuple[str, ...]
    parent: str | None = None


class Maker:
    """Draws companies from one random source; keys, tax ids and DUNS numbers are never repeated."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._keys = {row[0] for row in FIXED}
        self._numbers = {row[6] for row in FIXED}

    def background(self, count: int) -> list[Company]:
        """Draw `count` companies: about a quarter are relatives or near-twins of earlier ones."""
        made: list[Company] = []
        while len(made) < count:
            draw = self._random.random()
            if made and draw < 0.10:
                made.append(self._subsidiary(self._random.choice(made)))
            elif made and draw < 0.17:
                made.append(self._near_twin(self._random.choice(made)))
            elif made and draw < 0.23:
                made.append(self._same_again(self._random.choice(made)))
            else:
                made.append(self._fresh())
        return made

    def duns(self) -> str:
        """Draw a DUNS number that was not drawn before."""
        return self._number("#########")

    def _fresh(
        self, stem: str | None = None, place: Place | None = None, trade: str | None = None
    ) -> Company:
        place = place or self._random.choices(PLACES, weights=(8, 5, 4, 3, 2, 2, 2, 1, 2, 1))[0]
        stem = stem or self._random.choice(STARTS) + self._random.choice(ENDS)
        trade = trade or self._random.choice(TRADES[place.trades])
        name = f"{stem} {trade} {self._random.choice(place.forms)}"
        key = self._key(f"{stem}-{trade}")
        city, postcode = self._random.choice(place.cities)
        return Company(
            key=key,
            name=name,
            domain=f"{key}.example" if self._random.random() < 0.9 else None,
            country=place.country,
            city=city,
            postcode=postcode,
            phone=self._digits(place.phone)
            if place.phone and self._random.random() < 0.7
            else None,
            tax_id=self._number(place.tax) if self._random.random() < 0.75 else None,
            duns=self.duns() if self._random.random() < 0.6 else None,
            account_class=self._random.choices(
                ("prospect", "direct", "house", "do_not_call"), weights=(76, 16, 5, 3)
            )[0],
            crms=self._some_crms(CRMS),
        )

    def _subsidiary(self, parent: Company) -> Company:
        """Draw a company of the same group in another country, in some of the parent's CRMs."""
        place = self._random.choice([p for p in PLACES if p.country != parent.country])
        child = self._fresh(parent.name.split(" ")[0], place)
        return replace(child, parent=parent.key, crms=self._some_crms(parent.crms))

    def _near_twin(self, other: Company) -> Company:
        """Draw a different company whose name is easily mistaken for another's."""
        stem, trade = other.name.title().split(" ")[:2]
        start = next(start for start in STARTS if stem.startswith(start))
        likely = [e for e in ENDS if e[0] == stem[len(start)] and start + e != stem]
        place = self._random.choice([p for p in PLACES if trade in TRADES[p.trades]] or [PLACES[0]])
        return self._fresh(start + self._random.choice(likely or ENDS), place, trade)

    def _same_again(self, other: Company) -> Company:
        """Draw a second record of one company, typed by hand elsewhere: other spelling, fewer facts."""
        plain = unicodedata.normalize("NFKD", other.name).encode("ascii", "ignore").decode()
        shorter = " ".join(plain.replace(".", "").split(" ")[:2])
        return replace(
            other,
            key=self._key(f"{other.key}-again"),
            name=self._random.choice((plain.upper(), shorter, plain.replace(".", ""))),
            postcode=None,
            tax_id=None,
            duns=None,
            parent=None,
            crms=(self._random.choice(CRMS),),
        )

    def _some_crms(self, among: tuple[str, ...]) -> tuple[str, ...]:
        if self._random.random() < 0.55:
            return among
        chosen = self._random.sample(among, self._random.randint(1, len(among)))
        return tuple(crm for crm in CRMS if crm in chosen)

    def _key(self, words: str) -> str:
        plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
        base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
        key, again = base, 2
        while key in self._keys:
            key, again = f"{base}-{again}", again + 1
        self._keys.add(key)
        return key

    def _digits(self, shape: str) -> str:
        return "".join(self._random.choice("0123456789") if c == "#" else c for c in shape)

    def _number(self, shape: str) -> str:
        number = self._digits(shape)
        while number in self._numbers:
            number = self._digits(shape)
        self._numbers.add(number)
        return number


def make_accounts() -> list[dict[str, object]]:
    """Make every row of `accounts.json`: the fixed ones first, then the background."""
    maker = Maker(SEED)
    fixed = [
        Company(
            key=key,
            name=name,
            domain=f"{key}.example",
            country=country,
            city=city,
            postcode=postcode,
            phone=phone,
            tax_id=tax_id,
            duns=None if key.startswith("canary") else maker.duns(),
            account_class=FIXED_CLASS.get(key, "prospect"),
            crms=CRMS,
        )
        for key, name, country, city, postcode, phone, tax_id in FIXED
    ]
    rows = []
    for company in [*fixed, *maker.background(BACKGROUND)]:
        row = asdict(company)
        row["class"] = row.pop("account_class")
        rows.append(row)
    return rows


def render() -> str:
    """Write the rows as JSON, one a line, so that a change of one is a diff of one."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in make_accounts())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")

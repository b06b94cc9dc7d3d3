"""The partners and customers of the story; the customers are accounts of the sandbox CRMs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: The channel manager who decides; somebody else than who submits.
APPROVER = "channel-manager"
SUBMITTER = "partner-desk"
REP_EAST = "Sales Rep East"

#: Code, name and tier.
PARTNERS = (
    ("aldermoor", "Aldermoor Systems", "gold"),
    ("brightfen", "Brightfen IT", "silver"),
    ("calderstone", "Calderstone Consulting", "bronze"),
)


@dataclass(frozen=True)
class Deal:
    """A deal as its partner types it."""

    partner: str
    customer: str
    country: str
    tax_id: str
    name: str
    amount: int
    currency: str = "USD"
    product: str = "platform"

    def submit(self) -> str:
        """Word the command that registers it."""
        return (
            f"registration submit --partner {self.partner} --customer '{self.customer}' "
            f"--country {self.country} --tax-id {self.tax_id} --deal '{self.name}' "
            f"--product {self.product} --amount {self.amount} --currency {self.currency} "
            f"--close {closes_on()} --actor {SUBMITTER}"
        )

    def row(self) -> str:
        """Word it as a row of the import file."""
        return ",".join((
            self.partner, self.customer, self.country, self.tax_id, self.name, self.product,
            str(self.amount), self.currency, closes_on(),
        ))  # fmt: skip


def closes_on() -> str:
    """Return the expected close of every deal of the story: 60 days from today."""
    return (datetime.now(UTC) + timedelta(days=60)).date().isoformat()


BOREALIS = Deal(
    "aldermoor", "Borealis Cold Storage Inc.", "US", "47-2210986", "Cold chain platform", 48_000
)
#: The same customer, another product line, another partner.
BOREALIS_ANALYTICS = Deal(
    "brightfen", "Borealis Cold Storage Inc.", "US", "47-2210986", "Cold chain analytics", 18_000,
    product="analytics",
)  # fmt: skip
KESTREL = Deal(
    "aldermoor", "Kestrel Maschinenbau GmbH", "DE", "DE811234567", "Plant monitoring", 64_000, "EUR"
)
SANDPIPER = Deal(
    "brightfen", "Sandpiper Foods Ltd", "GB", "GB219876543", "Cold store renewal", 90_000, "GBP"
)
MERGANSER = Deal(
    "calderstone", "Merganser Retail Group plc", "GB", "GB310442917", "Store analytics", 35_000,
    "GBP", "analytics",
)  # fmt: skip
GOLDCREST = Deal(
    "aldermoor", "Goldcrest Aerospace Corp.", "US", "52-7781203", "Test bench platform", 70_000
)
DUNLIN = Deal(
    "calderstone", "Dunlin Health Trust", "GB", "GB778120345", "Ward scheduling", 25_000, "GBP"
)
AVOCET_FIRST = Deal(
    "aldermoor", "Avocet Biosciences Inc.", "US", "84-1190277", "Lab platform", 52_000
)
AVOCET_SECOND = Deal(
    "brightfen", "Avocet Biosciences, Inc.", "US", "84-1190277", "Laboratory platform", 55_000
)
TURNSTONE = Deal("brightfen", "Turnstone Energy AS", "NO", "NO918273645", "Grid platform", 44_000)
WHEATEAR = Deal("aldermoor", "Wheatear Robotics Inc.", "US", "36-5520148", "Robot fleet", 60_000)
REDPOLL = Deal("brightfen", "Redpoll Software Inc.", "US", "20-8846125", "Build platform", 40_000)

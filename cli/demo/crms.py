"""What the three CRMs hold, read through the sandbox's control door, and what the store holds.

The control door shows records as they stand, whatever the product believes about them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cli.demo.terminal import Terminal
from registration_core.errors import DealregError

Record = Mapping[str, Any]

SALESFORCE, DYNAMICS, HUBSPOT = "salesforce", "dynamics365", "hubspot"
#: HubSpot's id of the association between a deal and its primary company.
_PRIMARY_COMPANY = "5"
_HUBSPOT_CLOSED = ("closedwon", "closedlost")


class Unanswered(DealregError):
    """A command that only reads gave no answer."""

    code = "demo_unanswered"


@dataclass(frozen=True)
class Place:
    """Where a registration stands in one CRM, in the same words for all three."""

    crm: str
    #: `home` or `mirror`.
    role: str
    record: Record
    account_id: str
    amount: Decimal
    stage: str
    partner: str

    @property
    def id(self) -> str:
        """The CRM's own id of the record."""
        return str(self.record["id"])


#: Object of each role in each CRM, and the fields that hold key, account, amount, stage, partner.
_OBJECTS = {
    (SALESFORCE, "home"): (
        "Opportunity", "Dealreg_Id__c", "AccountId", "Amount", "StageName", "Dealreg_Partner__c",
    ),
    (SALESFORCE, "mirror"): (
        "Deal_Registration__c", "Dealreg_Id__c", "Account__c", "Amount__c", "Stage__c",
        "Dealreg_Partner__c",
    ),
    (DYNAMICS, "home"): (
        "opportunity", "dr_dealregid", "parentaccountid", "estimatedvalue", "salesstage",
        "dr_partner",
    ),
    (DYNAMICS, "mirror"): (
        "dr_dealregistration", "dr_dealregid", "dr_account", "dr_amount", "dr_stage", "dr_partner",
    ),
    (HUBSPOT, "mirror"): (
        "deals", "dealreg_id", "", "amount", "dealstage", "dealreg_partner",
    ),
}  # fmt: skip


class Crms:
    """Reads records of the three stand-ins, and registrations of the store."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def ask(self, line: str) -> Any:
        """Return what a command that only reads answers; `Unanswered` where it does not."""
        answer = self._terminal.type(line)
        if answer.data is None:
            raise Unanswered(f"dealreg {line} gave no answer: {answer.error}")
        return answer.data

    def records(self, crm: str, object_name: str, **where: str) -> list[Record]:
        """Return the records that are not deleted and hold these values."""
        fits = "".join(f" --where '{name}={value}'" for name, value in where.items())
        return list(self.ask(f"sandbox records {crm} {object_name}{fits}"))

    def registration(self, number: str) -> Any:
        """Return a registration with its check and links, as `registration show` answers."""
        return self.ask(f"registration show {number}")

    def events(self, number: str, action: str) -> list[Record]:
        """Return the audit events of one kind of a registration, oldest first."""
        found = self.ask(f"audit show {number}")
        return [event for event in found if event["action"] == action]

    def account_id(self, crm: str, tax_id: str) -> str:
        """Return the id of the account with this tax id."""
        object_name, field = {
            SALESFORCE: ("Account", "Tax_Id__c"),
            DYNAMICS: ("account", "dr_taxid"),
            HUBSPOT: ("companies", "tax_id"),
        }[crm]
        return str(self.records(crm, object_name, **{field: tax_id})[0]["id"])

    def places(self, registration_id: str) -> list[Place]:
        """Return every record in the three CRMs that carries the key of a registration."""
        return [
            self._place(crm, role, record)
            for (crm, role), (object_name, key, *_) in _OBJECTS.items()
            for record in self.records(crm, object_name, **{key: registration_id})
        ]

    def pipeline(self) -> dict[str, Decimal]:
        """Add up what a forecast counts: open opportunities and deals, by currency; no mirrors."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for record in self.records(SALESFORCE, "Opportunity", IsClosed="false"):
            fields = record["fields"]
            totals[fields["CurrencyIsoCode"]] += _money(fields.get("Amount"))
        codes = {
            record["id"]: record["fields"]["isocurrencycode"]
            for record in self.records(DYNAMICS, "transactioncurrency")
        }
        for record in self.records(DYNAMICS, "opportunity", statecode="0"):
            fields = record["fields"]
            totals[codes[fields["transactioncurrencyid"]]] += _money(fields.get("estimatedvalue"))
        for record in self.records(HUBSPOT, "deals", pipeline="default"):
            fields = record["fields"]
            if fields["dealstage"] not in _HUBSPOT_CLOSED:
                totals[fields["deal_currency_code"]] += _money(fields.get("amount"))
        return dict(totals)

    def _place(self, crm: str, role: str, record: Record) -> Place:
        _, _, account, amount, stage, partner = _OBJECTS[crm, role]
        fields = record["fields"]
        account_id = fields.get(account) if account else self._company_of(record["id"])
        if crm == HUBSPOT and fields["pipeline"] == "default":
            role = "home"
        return Place(
            crm=crm,
            role=role,
            record=record,
            account_id=str(account_id or ""),
            amount=_money(fields.get(amount)),
            stage=str(fields.get(stage)),
            partner=str(fields.get(partner) or ""),
        )

    def _company_of(self, deal_id: str) -> str:
        linked = self.records(HUBSPOT, "associations", from_type="deals", from_id=deal_id)
        primary = [
            record["fields"]["to_id"]
            for record in linked
            if _PRIMARY_COMPANY in str(record["fields"]["types"]).split(";")
        ]
        return str(primary[0]) if primary else ""


def _money(value: object) -> Decimal:
    return Decimal(str(value or 0))

"""What the contract suite calls things in each CRM: one row a CRM, in that CRM's own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from registration_core.contracts import Fields


@dataclass(frozen=True)
class Accounts:
    """What a CRM calls its accounts."""

    object: str
    name: str
    tax_id: str
    house: str

    @property
    def all_fields(self) -> tuple[str, ...]:
        """Every field the suite uses."""
        return (self.name, self.tax_id, self.house)


@dataclass(frozen=True)
class Names:
    """What the suite calls things in one CRM."""

    object: str
    key: str
    text: str
    long_text: str
    money: str
    day: str
    choice: str
    #: Two values that `choice` takes.
    choices: tuple[str, str]
    #: What a create needs beside key and text.
    base: Fields
    #: A field and a value for it that the CRM refuses.
    bad: tuple[str, str]
    #: An id of the right shape that no record has.
    unknown_id: str
    #: A text field whose past values are kept, where the CRM keeps any.
    tracked: str
    #: Field of `object` that points at an account.
    account_link: str = ""
    accounts: Accounts | None = None
    user: str = "Sales Rep East"
    #: A token that has expired is replaced by signing in again.
    renews_tokens: bool = True

    @property
    def all_fields(self) -> tuple[str, ...]:
        """Every field the suite uses."""
        return (self.key, self.text, self.long_text, self.money, self.day, self.choice)


NAMES: Mapping[str, Names] = {
    "memory": Names(
        object="Deal",
        key="registration_id",
        text="name",
        long_text="notes",
        money="amount",
        day="protected_until",
        choice="stage",
        choices=("open", "won"),
        base={"stage": "open"},
        bad=("stage", "no such stage"),
        unknown_id="deal-999999",
        tracked="name",
    ),
    "salesforce": Names(
        object="Opportunity",
        key="Dealreg_Id__c",
        text="Name",
        long_text="Description",
        money="Amount",
        day="Dealreg_Protected_Until__c",
        choice="StageName",
        choices=("Prospecting", "Qualification"),
        base={"StageName": "Prospecting", "CloseDate": date(2027, 6, 30)},
        bad=("Name", "x" * 200),
        unknown_id="006000000000000AAA",
        tracked="Name",
        account_link="AccountId",
        accounts=Accounts("Account", "Name", "Tax_Id__c", "House_Account__c"),
    ),
    "dynamics365": Names(
        object="opportunity",
        key="dr_dealregid",
        text="name",
        long_text="description",
        money="estimatedvalue",
        day="dr_protecteduntil",
        choice="salesstage",
        choices=("0", "1"),
        base={"salesstage": "0"},
        bad=("name", "x" * 400),
        unknown_id="5d3b4c1e-0000-4000-8000-000000000000",
        tracked="name",
        account_link="parentaccountid",
        accounts=Accounts("account", "name", "dr_taxid", "dr_houseaccount"),
    ),
    "hubspot": Names(
        object="deals",
        key="dealreg_id",
        text="dealname",
        long_text="description",
        money="amount",
        day="dealreg_protected_until",
        choice="dealstage",
        choices=("appointmentscheduled", "qualifiedtobuy"),
        base={"dealstage": "appointmentscheduled", "pipeline": "default"},
        bad=("dealstage", "no_such_stage"),
        unknown_id="99999999999",
        tracked="dealname",
        account_link="associations.companies",
        accounts=Accounts("companies", "name", "tax_id", "house_account"),
        renews_tokens=False,
    ),
}

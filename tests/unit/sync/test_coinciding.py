"""Which customers of one batch may be one: found by their keys, not by comparing all pairs."""

from __future__ import annotations

from time import process_time

import pytest

from registration_core.model import Customer
from sync.creates.coinciding import Customers

KNOWN = Customer("Fjordkraft Elektro AS", "NO", website="fjordkraft.example", tax_id="NO987")


@pytest.mark.parametrize(
    "other",
    [
        Customer("Fjordkraft Elektro", "NO"),
        Customer("FJORDKRAFT ELEKTRO A/S", "NO", tax_id="NO123"),
        Customer("Fjordkraft Elektor AS", "NO"),
        Customer("Kraftlaget", "NO", tax_id="987"),
        Customer("Kraftlaget", "NO", email_domains=("fjordkraft.example",)),
    ],
    ids=["name", "name, another tax id", "typing error", "tax id", "domain"],
)
def test_of_two_that_may_be_one_the_second_is_left(other: Customer) -> None:
    customers = Customers()
    assert customers.add(KNOWN)
    assert customers.add(Customer("Nordhafen Logistik GmbH", "DE"))
    assert not customers.add(other)


def seconds_for(count: int) -> float:
    """How much work so many customers are, whose names share a word."""
    several = [Customer(f"Kunde {i} GmbH", "DE", tax_id=f"DE{i:05d}") for i in range(count)]
    began, customers = process_time(), Customers()
    assert all(map(customers.add, several))
    return process_time() - began


def test_four_times_as_many_are_about_four_times_the_work_and_not_sixteen() -> None:
    few, many = (min(seconds_for(count) for _ in range(2)) for count in (100, 400))
    assert many < 10 * few

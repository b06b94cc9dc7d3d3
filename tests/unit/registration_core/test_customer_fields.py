"""What is said of a customer, as fields of a mapping: nothing is lost on the way there and back."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from registration_core.customer_fields import SEVERAL, customer_of, fields_of, joined, several
from registration_core.fields import FIELDS
from registration_core.model import Customer

TEXTS = st.text(max_size=20)
#: A text that can stand beside others in one: nothing that stands between them.
PARTS = (
    st.text(st.characters(exclude_characters=";\r\n"), min_size=1, max_size=20)
    .map(str.strip)
    .filter(bool)
)
CUSTOMERS = st.builds(
    Customer,
    **{
        f.name: st.lists(PARTS, unique=True, max_size=4).map(tuple) if f.name in SEVERAL else TEXTS
        for f in fields(Customer)
    },
)


@given(CUSTOMERS)
def test_a_customer_survives_being_told_in_fields(customer: Customer) -> None:
    assert customer_of(fields_of(customer)) == customer


@given(CUSTOMERS)
def test_every_field_can_be_mapped_and_none_is_an_empty_text(customer: Customer) -> None:
    told = fields_of(customer)
    assert told.keys() <= FIELDS.keys()
    assert "" not in told.values()


@given(st.text(max_size=40))
def test_what_is_read_as_several_is_written_and_read_the_same_again(text: str) -> None:
    assert several(joined(several(text))) == several(text)

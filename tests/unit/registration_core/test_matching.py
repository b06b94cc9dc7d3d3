"""Match keys: how names, identifiers and websites fold, and what a shared key is worth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registration_core.matching import (
    MatchKey,
    account_keys,
    compare,
    customer_keys,
    domain_of,
    fold_id,
    fold_name,
    match_keys,
)
from registration_core.model import Band
from tests import factories

TEXT = st.text(max_size=40)
WORDS = st.lists(st.sampled_from("Kestrel Müller AG & GmbH Co. KG A/S S.A. and ß".split()))
SOME = st.sets(
    st.builds(
        MatchKey,
        st.sampled_from(["tax_id", "duns", "domain", "name_country"]),
        st.sampled_from(["1", "2"]),
    )
).map(frozenset)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Borealis Cold Storage Inc.", "borealis cold storage"),
        ("BOREALIS  cold-storage, inc", "borealis cold storage"),
        ("Kestrel Maschinenbau GmbH", "kestrel maschinenbau"),
        ("Kestrel Maschinenbau GmbH & Co. KG", "kestrel maschinenbau"),
        ("Straße Logistik AG", "strasse logistik"),
        ("STRASSE LOGISTIK", "strasse logistik"),
        ("Crédit Écologique S.A.", "credit ecologique"),
        ("Cre\u0301dit E\u0301cologique SA", "credit ecologique"),
        ("Smørrebrød Kæde A/S", "smorrebrod kaede"),
        ("Smorrebrod Kaede AS", "smorrebrod kaede"),
        ("Łódź Tramwaje", "lodz tramwaje"),
        ("Plover & Sons Ltd", "plover and sons"),
        ("Plover and Sons Limited", "plover and sons"),
        ("Teal’s Bakery", "teals bakery"),
        ("Teal's Bakery", "teals bakery"),
        ("Merganser Retail Group plc", "merganser retail group"),
        ("Pipit Pty Ltd", "pipit"),
        ("SA", "sa"),
        ("Ｗｉｄｅ Ｌｅｔｔｅｒｓ", "wide letters"),
        ("鷗商事", "鷗商事"),
        ("—", ""),
    ],
)
def test_a_name_folds_to_what_people_mean_by_it(name: str, folded: str) -> None:
    assert fold_name(name) == folded


@given(st.one_of(TEXT, WORDS.map(" ".join)))
@example("and & and")
@example("İ/ŉ")
def test_folding_a_folded_name_changes_nothing(name: str) -> None:
    assert fold_name(fold_name(name)) == fold_name(name)


@pytest.mark.parametrize(
    ("typed", "folded"),
    [("47-2210986", "472210986"), ("de 811.234.567", "DE811234567"), ("n/a", "NA"), ("000-00", "")],
)
def test_an_identifier_folds_to_its_letters_and_digits(typed: str, folded: str) -> None:
    assert fold_id(typed) == folded


def test_a_duns_number_that_lost_its_leading_zeros_is_the_same() -> None:
    short, full = (match_keys(name="", country="", duns=d) for d in ("1234567", "00-123-4567"))
    assert short == full == {MatchKey("duns", "001234567")}


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("avocet.example", "avocet.example"),
        ("https://www.Avocet.example/about?x=1#top", "avocet.example"),
        ("WWW.AVOCET.EXAMPLE.", "avocet.example"),
        ("avocet.example:8443/shop//new", "avocet.example"),
        ("http://user:pw@avocet.example/", "avocet.example"),
        ("https://avocet.example/contact@us", "avocet.example"),
        ("//shop.avocet.example", "shop.avocet.example"),
        ("ivy.smith@avocet.example", "avocet.example"),
        ("mailto:ivy.smith@avocet.example", "avocet.example"),
        ("müller.example", "xn--mller-kva.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("ivy.smith@gmail.com", ""),
        ("https://www.linkedin.com/company/avocet", ""),
        ("avocet.wixsite.com", "avocet.wixsite.com"),
        ("wixsite.com/avocet", ""),
        ("n/a", ""),
        ("localhost", ""),
        ("see avocet.example or call", ""),
        ("http://[broken", ""),
        ("a..b", ""),
        ("x" * 80 + ".example", ""),
        ("", ""),
    ],
)
def test_a_domain_is_taken_from_whatever_was_typed(text: str, domain: str) -> None:
    assert domain_of(text) == domain


@given(st.one_of(TEXT, st.lists(st.sampled_from("www . a @ / : - _ ü".split())).map("".join)))
def test_the_domain_of_a_domain_is_itself(text: str) -> None:
    assert domain_of(domain_of(text)) == domain_of(text)


def test_keys_fit_their_column_however_long_the_name_is() -> None:
    keys = match_keys(name="ﷺ" * 120, country="US", tax_id="9" * 300)
    assert {key.kind for key in keys} == {"name_country", "tax_id"}
    assert all(len(key.value) <= 255 for key in keys)


def test_a_customer_and_an_account_of_the_same_organisation_have_the_same_keys() -> None:
    customer = factories.customer(website="https://www.avocet.example", tax_id="84-1190277")
    account = factories.account(name="AVOCET BIOSCIENCES", country="us", tax_id="841190277")
    assert customer_keys(customer) == account_keys(account)


def test_a_name_without_a_country_is_no_key() -> None:
    assert match_keys(name="Avocet", country="") == frozenset()


TAX, TAX2 = MatchKey("tax_id", "1"), MatchKey("tax_id", "2")
DUNS, DUNS2 = MatchKey("duns", "1"), MatchKey("duns", "2")
DOMAIN, NAME = MatchKey("domain", "a.example"), MatchKey("name_country", "US|a")


@pytest.mark.parametrize(
    ("left", "right", "band"),
    [
        ({TAX}, {TAX}, Band.STRONG),
        ({DUNS}, {DUNS}, Band.STRONG),
        ({DOMAIN, NAME}, {DOMAIN, NAME}, Band.STRONG),
        ({DOMAIN}, {DOMAIN}, Band.REVIEW),
        ({NAME}, {NAME}, Band.REVIEW),
        ({TAX, DUNS}, {TAX, DUNS2}, Band.REVIEW),
        ({TAX, DOMAIN, NAME}, {TAX2, DOMAIN, NAME}, Band.REVIEW),
        ({DUNS, NAME}, {DUNS2, NAME}, Band.REVIEW),
        ({TAX, NAME}, {NAME}, Band.REVIEW),
        ({TAX, DOMAIN, NAME}, {DOMAIN, NAME}, Band.STRONG),
        ({TAX}, {TAX2}, None),
        ({TAX}, {DUNS}, None),
        (set(), set(), None),
    ],
)
def test_how_sure_a_match_is(left: set[MatchKey], right: set[MatchKey], band: Band | None) -> None:
    match = compare(frozenset(left), frozenset(right))
    assert (match.band if match else None) == band
    if match:
        assert set(match.matched_on) == {key.kind for key in left & right}


@given(SOME, SOME)
def test_comparing_does_not_depend_on_the_side(
    left: frozenset[MatchKey], right: frozenset[MatchKey]
) -> None:
    assert compare(left, right) == compare(right, left)


@given(SOME, SOME)
def test_a_differing_identifier_is_never_strong(
    left: frozenset[MatchKey], right: frozenset[MatchKey]
) -> None:
    keys = (frozenset(left | {TAX}), frozenset((right - {TAX}) | {TAX2}))
    match = compare(frozenset(keys[0] - {TAX2}), keys[1])
    assert match is None or match.band is Band.REVIEW


def test_the_example_of_the_manual_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "conflict-checks.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "conflict-checks.md", "exec"), {})  # noqa: S102 - ours
    score, first, *evidence = capsys.readouterr().out.splitlines()
    assert score == "1.0"
    assert first.startswith("001A strong same 0.9")
    assert {line.split()[0] for line in evidence} >= {"domain", "name", "country"}

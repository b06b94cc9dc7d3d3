"""Names, fields and families: what speaks for and against, and what it may decide."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_core.matching import (
    MatchBand,
    Matcher,
    Organisation,
    Relation,
    judge,
    score_names,
)
from registration_core.matching.matcher import looks_alike

TEXT = st.text(max_size=40)
WORDS = st.lists(
    st.sampled_from(
        "Kestrel Kestral Avocet Müller AG GmbH Inc. of The Bank China 2 II IBM Systems (UK) dba A.B. "
        "北京 科技 ООО Ромашка".split()
    ),
    min_size=1,
    max_size=6,
).map(" ".join)
NAMES = st.one_of(TEXT, WORDS)

AVOCET = Organisation(
    "Avocet Biosciences Inc.", id="A1", website="avocet.example", country="US", city="Durham",
    postcode="27701", phone="+1 919 555 0126", tax_id="84-1190277", duns="924770159",
)  # fmt: skip


#: How evidence calls a field where it is not by the field's name.
KINDS = {"website": "domain"}


@given(NAMES, NAMES)
def test_the_order_of_two_names_does_not_matter(left: str, right: str) -> None:
    assert score_names(left, right) == score_names(right, left)


@given(NAMES, NAMES)
def test_a_score_is_between_nothing_and_one(left: str, right: str) -> None:
    assert 0 <= score_names(left, right) <= 1


@given(WORDS)
def test_a_name_is_itself(name: str) -> None:
    assert score_names(name, name) == 1


@pytest.mark.parametrize("name", ["", " ", "—", "...", "\u200f"])
def test_a_name_that_says_nothing_is_nobody(name: str) -> None:
    assert score_names(name, "Avocet Biosciences Inc.") == 0
    assert Matcher([AVOCET]).match(Organisation(name)) == []


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Siemens Aktiengesellschaft", "SIEMENS AG"),
        ("Crédit Agricole S.A.", "Credit Agricole"),
        ("J.P. Morgan & Co.", "JP Morgan and Company"),
        ("Pipit Mfg. Solutions Grp Ltd", "Pipit Manufacturing Solutions Group Limited"),
        ("Müller Maschinenbau GmbH & Co. KG", "Mueller Maschinenbau"),
        ('ООО "Ромашка"', "Romashka LLC"),
        ("北京小米科技有限责任公司", "Beijing Xiaomi Technology Co., Ltd."),
        ("Caterpillar Inc.", "Catepillar, Inc"),
        ("Fed Ex Corp", "FedEx Corporation"),
        ("Jones Holdings LLC dba Sunrise Bakery", "Sunrise Bakery"),
        ("Kestrel (formerly Plover Systems)", "Plover Systems Inc"),
        ("Procter & Gamble", "P&G"),
        ("AT&T Inc.", "American Telephone and Telegraph Company"),
        ("Avocet Electroncis", "Avocet Electronics"),
        ("Avocet GmbH Maria", "Maria Avocet GmbH"),
        ("AVOCETPRESSB.V.", "Avocet Press B.V."),
        ("United States Avocet Board", "U.S. Avocet Board"),
        ("三星电子", "Samsung Electronics"),
        ("Avocet Sanayi ve Ticaret A.Ş.", "Avocet Industry and Trade"),
    ],
)  # fmt: skip
def test_other_spellings_of_one_name_are_likely(left: str, right: str) -> None:
    assert score_names(left, right) > 0.5


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Delta Air Lines, Inc.", "Delta Electronics, Inc."),
        ("General Electric Company", "General Motors Company"),
        ("Bank of America Corporation", "Bank of Armenia CJSC"),
        ("First National Bank of Omaha", "First National Bank of Pennsylvania"),
        ("Global Solutions Ltd", "Global Systems Ltd"),
        ("Sun Life Financial", "Sun Microsystems"),
        ("HP Inc.", "BP p.l.c."),
        ("HP", "Harris & Parker"),
        ("Johnson & Johnson", "Jameson & Jones"),
        ("Avocet Investors B Ltd", "Avocet Investors C Ltd"),
        ("Plover Credit Union 12", "Plover Credit Union 21"),
    ],
)
def test_names_of_others_that_look_alike_are_unlikely(left: str, right: str) -> None:
    assert score_names(left, right) < 0.5


@pytest.mark.parametrize(
    "name",
    ["a" * 10_000, "ab " * 5_000, "(" * 10_000, "d/b/a " * 2_000, "🙂" * 10_000, "ﷺ" * 10_000,
     "שלום " * 2_000, "株式会社" * 3_000, "A.B." * 3_000],
)  # fmt: skip
def test_a_monstrous_name_costs_no_more_than_a_long_one(name: str) -> None:
    began = time.perf_counter()
    score_names(name, name + "x")
    score_names(name, "Avocet Biosciences Inc.")
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("field", ["city", "postcode", "phone", "tax_id", "duns", "website"])
def test_agreeing_on_more_never_lowers_the_score(field: str) -> None:
    customer = Organisation("Avocet Bioscience", country="US")
    known: dict[str, Any] = {field: getattr(AVOCET, field)}
    more = replace(customer, **known)
    assert judge(more, AVOCET).score >= judge(customer, AVOCET).score


@pytest.mark.parametrize(
    ("field", "other"),
    [("tax_id", "99-9999999"), ("duns", "111111111"), ("website", "plover.example"),
     ("country", "DE"), ("phone", "+1 202 555 0000")],
)  # fmt: skip
def test_differing_in_one_thing_lowers_the_score_and_is_shown(field: str, other: str) -> None:
    changed: dict[str, Any] = {field: other}
    match = judge(replace(AVOCET, **changed), AVOCET)
    assert match.score < judge(AVOCET, AVOCET).score
    assert any(
        e.log_odds < 0 and e.kind == f"other_{KINDS.get(field, field)}" for e in match.evidence
    )


@pytest.mark.parametrize("field", ["tax_id", "duns"])
def test_another_identifier_is_never_strong_and_says_why(field: str) -> None:
    changed: dict[str, Any] = {field: "11-1111111"}
    match = judge(replace(AVOCET, **changed), AVOCET)
    assert match.band is MatchBand.REVIEW
    assert match.held_by == f"another {field.replace('_', ' ')}"


@pytest.mark.parametrize(
    ("customer", "account"),
    [
        (Organisation("Plover Press", website="avocet.example"), AVOCET),
        (Organisation("ABL"), Organisation("Avocet Biosciences Labs Ltd")),
        (
            Organisation("Avocet", website="avocet.example", country="US"),
            Organisation("Avocet Energy Trading", website="avocet.example", country="US"),
        ),
        (
            Organisation("Plover Real Estate Partners IV", website="plover.example"),
            Organisation("Plover Real Estate Partners VI", website="plover.example"),
        ),
        (Organisation("Avocet Biosciences", country="US"), replace(AVOCET, website="")),
    ],
    ids=["domain", "acronym", "part of a name", "number", "name"],
)
def test_one_kind_of_evidence_alone_reaches_review_at_most(
    customer: Organisation, account: Organisation
) -> None:
    assert judge(customer, account).band is not MatchBand.STRONG


def test_a_shared_domain_alone_is_shown_to_a_person() -> None:
    (match,) = Matcher([AVOCET]).match(Organisation("Plover Press", website="avocet.example"))
    assert match.band is MatchBand.REVIEW


def test_a_free_mail_domain_says_nothing() -> None:
    account = Organisation("Avocet Biosciences", email_domains=("gmail.com",))
    assert Matcher([account]).match(Organisation("Plover Ltd", email_domains=("gmail.com",))) == []


@pytest.mark.parametrize(
    "customer",
    [
        Organisation("Anything", tax_id="841190277", country="US"),
        Organisation("Avocet Bioscience", website="https://eu.avocet.example/x", country="US"),
        Organisation("AVOCET BIOSCIENCES", country="US", phone="(919) 555-0126"),
    ],
    ids=["tax id", "name and domain", "name and phone"],
)
def test_an_identifier_or_agreeing_pieces_are_strong(customer: Organisation) -> None:
    (match,) = Matcher([AVOCET]).match(customer)
    assert (match.band, match.relation, match.account.id) == (MatchBand.STRONG, Relation.SAME, "A1")


def test_the_known_family_of_a_strong_match_comes_along() -> None:
    parent = Organisation("Heron Group", id="P", website="heron.example")
    child = replace(AVOCET, parent="P")
    sister = Organisation("Wren Diagnostics", id="S", parent="P")
    stranger = Organisation("Plover Ltd", id="X")
    found = Matcher([parent, child, sister, stranger]).match(replace(AVOCET, id=""))
    assert {m.account.id: m.relation for m in found} == {
        "A1": Relation.SAME, "P": Relation.PARENT, "S": Relation.SIBLING,
    }  # fmt: skip
    assert [m.band for m in found[1:]] == [MatchBand.REVIEW, MatchBand.REVIEW]


def test_a_customer_that_names_its_parent_meets_it() -> None:
    (match,) = Matcher([AVOCET]).match(
        Organisation("Wren Diagnostics", parent="Avocet Biosciences")
    )
    assert (match.relation, match.band) == (Relation.PARENT, MatchBand.REVIEW)


def test_a_brand_with_a_country_is_shown_as_family() -> None:
    brand = Organisation("Quernbeck Instruments Corp.", id="Q", country="US")
    (match,) = Matcher([brand]).match(Organisation("Quernbeck Instruments Polska", country="PL"))
    assert match.band is MatchBand.REVIEW


@given(st.lists(NAMES, max_size=8), NAMES)
@settings(max_examples=50)
def test_every_match_tells_its_evidence_and_none_is_clear(names: list[str], name: str) -> None:
    for match in Matcher(map(Organisation, names)).match(Organisation(name)):
        assert match.band is not MatchBand.CLEAR
        assert match.evidence


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Koninklijke Avocet N.V.", "Avocet NV"),
        ("Avocet Inc., a Delaware corporation", "Avocet Inc"),
        ("Avocet N.V. a Dutch Limited Co", "AVOCET N,V."),
        ("Naamloze Vennootschap Avocet", "Avocet N.V."),
        ("Avocet AB (publ)", "avocet"),
        ("Public Joint Stock Co Avocet", "Avocet"),
        ("Avocet Public Company", "Avocet plc"),
        ("Avocet Limitd", "Avocet Ltd"),
        ("AvocetCo., Ltd.", "Avocet Co., Ltd."),
        ("Avocet &amp; Plover", "Avocet and Plover"),
        ("Avocet I{umlaut over (n)}struments", "Avocet Instruments"),
        ("Studio Fifty-Four", "Studio 54"),
    ],
)
def test_what_many_names_carry_is_no_part_of_the_name(left: str, right: str) -> None:
    assert score_names(left, right) == 1.0


@pytest.mark.parametrize(
    ("left", "right"),
    [("N.V. Avocet, Eindhoven", "Avocet N.V."), ("Avocet S.p.A. Milano", "Avocet SpA")],
)
def test_where_a_company_sits_says_little_of_its_name(left: str, right: str) -> None:
    assert 0.9 < score_names(left, right) < 1


def test_an_article_that_describes_nothing_stays() -> None:
    assert score_names("Rent a Car Company", "Rent Company") < 0.5


@pytest.mark.parametrize(
    ("customer", "account"),
    [
        (Organisation("Quernbeck Deutschland GmbH"), Organisation("Quernbeck Inc.")),
        (Organisation("J-Quern Retail B.V."), Organisation("J-QUERN Co., Ltd.")),
        (
            Organisation("Quern Logistics Ltd", website="quern-logistics.example"),
            Organisation("Quern Inc.", website="quern.example"),
        ),
        (Organisation("Bristol Quernbeck Retail"), Organisation("Bristol Quernbeck plc")),
        (Organisation("Quernbeck Polska"), Organisation("Quernbeck Precision Tools plc")),
        (Organisation("Quernbekc Tools Polska"), Organisation("Quernbeck Tools plc")),
        (Organisation("QuernbeckPolska Ltd"), Organisation("Quernbeck Tools plc")),
    ],
)
def test_a_part_of_a_group_is_shown_to_a_person(
    customer: Organisation, account: Organisation
) -> None:
    match = judge(customer, account)
    assert match.band is MatchBand.REVIEW
    assert match.relation is not Relation.SAME
    assert [found.account for found in Matcher([account]).match(customer)] == [account]


@pytest.mark.parametrize(
    ("customer", "account"),
    [
        (Organisation("Shanghai Plover Foods"), Organisation("Shanghai Heron Foods")),
        (Organisation("Plover Foods Polska"), Organisation("Heron Foods Polska")),
        (Organisation("Avocet Press", website="avocet-press.example"), Organisation("Press")),
    ],
)
def test_a_place_or_a_usual_word_in_common_is_no_family(
    customer: Organisation, account: Organisation
) -> None:
    assert judge(customer, account).band is MatchBand.CLEAR


def test_many_accounts_with_a_usual_word_do_not_crowd_out_the_one_with_the_brand() -> None:
    others = [Organisation(f"Heron{n}") for n in range(5000)]
    others += [Organisation(f"Plover{n} Properties") for n in range(60)]
    brand = Organisation("Acma Ltd.", id="A")
    found = Matcher([*others, brand]).candidates(Organisation("Acma Properties S.A.S."))
    assert brand in found


def test_the_relation_tells_how_far_apart_two_stand_in_their_family() -> None:
    assert [relation.distance for relation in Relation] == [0, 1, 1, 2, None]


def test_a_glance_leaves_out_only_what_a_comparison_would_clear() -> None:
    accounts = [
        Organisation(name, country="US")
        for name in ("Avocet Biosciences", "IBM", "Harrier Dairy", "Bio Avocet Corp", "東芝")
    ]
    for name in ("Avocet Bio", "International Business Machines", "Toshiba", "Plover Press"):
        customer = Organisation(name, country="US")
        glanced = [account for account in accounts if not looks_alike(customer, account)]
        assert all(judge(customer, account).band is MatchBand.CLEAR for account in glanced)
    assert not looks_alike(Organisation("Plover Press"), Organisation("Harrier Dairy"))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Ta Yih Industrial Co., Ltd.", "The Tayih Kenmos Auto Parts Co., Ltd."),
        ("NoahHoldings", "Noah Hldgs Ltd"),
        ("ShenzhenExcelland Technology", "Shenzhen Excelland Technology Co., Ltd."),
        ("Alpha Svcs & Hldgs S.A.", "Alpha Services and Holdings S.A."),
    ],
)
def test_a_glance_sees_one_brand_however_it_is_run_together_or_misspelled(
    typed: str, name: str
) -> None:
    customer, account = (Organisation(text, country="TW", city="Tainan") for text in (typed, name))
    assert judge(customer, account).band is not MatchBand.CLEAR
    assert looks_alike(customer, account)


def test_a_glance_passes_over_who_has_only_the_town_and_the_trade_in_common() -> None:
    customer = Organisation("Shenzhen Plover Electronics Co., Ltd.")
    other = Organisation("Shenzhen Harrier Communication Technology Co., Ltd.")
    assert not looks_alike(customer, other)
    assert judge(customer, other).band is MatchBand.CLEAR

"""A check on the terminal: the evidence line by line, what follows, and what a partner would read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cli.check_showing import check_answer, decided, show_check
from cli.output import Output, plain
from registration_core.findings import Decision, FindingKind
from registration_core.matching import MatchKey
from registration_core.model import Band, Finding, Reading
from tests.factories import CONNECTIONS, NOW, SALESFORCE, check, customer, registration

HOUSE = Finding(
    FindingKind.HOUSE_ACCOUNT, Band.STRONG, ("tax_id",), "Avocet is on the house list", SALESFORCE,
    "001A", decides="house-desk",
    evidence={
        "account": "Avocet", "owner": "005R", "relation": "same",
        "for": "domain +3.3 (avocet.example | avocet.example); name +2.1 (Avocet | Avocet Inc.)",
        "against": "other city -2.2 (boston | durham)",
    },
    reason="NOT_ELIGIBLE_ACCOUNT",
)  # fmt: skip
LINKS = {(str(SALESFORCE), "001A"): "https://acme.example/001A"}


def test_every_piece_of_evidence_has_a_line_with_its_side(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_check(Output(as_json=False), check(registration(), [HOUSE]), LINKS)
    shown = capsys.readouterr().out
    assert "    + domain +3.3 (avocet.example | avocet.example)\n" in shown
    assert "    + name +2.1 (Avocet | Avocet Inc.)\n" in shown
    assert "    − other city -2.2 (boston | durham)\n" in shown
    for told in ("https://acme.example/001A", "house-desk", "review", "2031-03-04 09:30:00Z"):
        assert told in shown
    assert "the partner reads: This account is not eligible" in shown


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        ({"relation": "parent", "distance": "1"}, "parent, 1 step away"),
        ({"relation": "sibling", "distance": "2"}, "sibling, 2 steps away"),
        ({"relation": "possibly"}, "possibly"),
    ],
)
def test_a_relative_is_told_with_its_distance(
    evidence: dict[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_check(Output(as_json=False), check(registration(), [replace(HOUSE, evidence=evidence)]))
    assert told in capsys.readouterr().out


def test_scripts_get_links_partner_texts_and_what_was_decided() -> None:
    answer = plain(check_answer(check(registration(), [HOUSE]), LINKS))
    (finding,) = answer["findings"]
    assert finding["link"] == "https://acme.example/001A"
    assert finding["partner_text"].startswith("This account is not eligible")
    assert finding["decision"] == "review"
    assert answer["decided"] == "a person decides, because of house_account"
    json.dumps(answer)


@pytest.mark.parametrize(
    ("finding", "told"),
    [
        (None, "nothing holds it up"),
        (replace(HOUSE, decision=Decision.ALLOW), "nothing holds it up"),
        (replace(HOUSE, decision=Decision.REJECT), "rejected by itself for house_account"),
        (replace(HOUSE, decision=Decision.REJECT, band=Band.REVIEW), "a person decides"),
    ],
)
def test_what_the_rules_make_of_a_check_is_said_before_anybody_decides(
    finding: Finding | None, told: str
) -> None:
    assert decided(check(registration(), [finding] if finding else [])).startswith(told)


def test_an_incomplete_check_decides_nothing() -> None:
    unread = tuple(Reading(name, False, None, "away") for name in CONNECTIONS)
    made = check(registration(), [replace(HOUSE, decision=Decision.REJECT)], NOW, readings=unread)
    assert decided(made).startswith("nothing: it waits")


def test_whom_a_check_asked_about_is_shown_with_the_keys_that_were_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = replace(
        check(registration()),
        customer=customer(
            aliases=("ABL",), phone="+1 919 555 0126", city="Durham", postcode="27701"
        ),
        keys=(MatchKey("domain", "avocet.example"), MatchKey("tax_id", "841190277")),
    )
    show_check(Output(as_json=False), asked)
    shown = capsys.readouterr().out
    for told in (
        "Avocet Biosciences Inc., US", "ABL", "+1 919 555 0126", "27701, Durham",
        "domain avocet.example; tax id 841190277",
    ):  # fmt: skip
        assert told in shown
    answer = plain(check_answer(asked))
    assert answer["customer"]["aliases"] == ["ABL"]
    assert answer["keys"][1] == {"kind": "tax_id", "value": "841190277"}

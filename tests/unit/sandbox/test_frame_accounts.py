"""The accounts that every stand-in starts with."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sandbox.data import make_accounts

ACCOUNTS: list[dict[str, Any]] = json.loads(make_accounts.TARGET.read_text(encoding="utf-8"))
BY_KEY = {account["key"]: account for account in ACCOUNTS}


def test_the_script_makes_the_file_that_is_kept() -> None:
    assert make_accounts.render() == make_accounts.TARGET.read_text(encoding="utf-8")


def test_the_accounts_that_examples_rely_on_are_in_every_crm() -> None:
    expected = {
        "borealis": ("47-2210986", "prospect"),
        "kestrel": ("DE811234567", "prospect"),
        "sandpiper": ("GB219876543", "direct"),
        "merganser": ("GB310442917", "direct"),
        "goldcrest": ("52-7781203", "house"),
        "dunlin": ("GB778120345", "do_not_call"),
        "canary-direct": ("00-0000001", "direct"),
        "canary-house": ("00-0000002", "house"),
        "canary-do-not-call": ("00-0000003", "do_not_call"),
    }
    found = {key: (BY_KEY[key]["tax_id"], BY_KEY[key]["class"]) for key in expected}
    assert found == expected
    assert all(BY_KEY[key]["crms"] == list(make_accounts.CRMS) for key in expected)


def test_keys_and_identifiers_are_never_repeated() -> None:
    for name in ("key", "tax_id", "duns"):
        counted = Counter(account[name] for account in ACCOUNTS if account[name] is not None)
        assert [value for value, times in counted.items() if times > 1] == []


def test_every_domain_is_reserved_for_examples() -> None:
    domains = [account["domain"] for account in ACCOUNTS if account["domain"]]
    assert [domain for domain in domains if not domain.endswith(".example")] == []


def test_a_subsidiary_comes_after_its_parent_and_only_where_the_parent_is() -> None:
    places = {account["key"]: place for place, account in enumerate(ACCOUNTS)}
    subsidiaries = [account for account in ACCOUNTS if account["parent"]]
    assert subsidiaries
    for account in subsidiaries:
        assert places[account["parent"]] < places[account["key"]]
        assert set(account["crms"]) <= set(BY_KEY[account["parent"]]["crms"])


def test_some_accounts_are_missing_from_some_crms() -> None:
    assert {len(account["crms"]) for account in ACCOUNTS} == {1, 2, 3}

"""The labelled data of the matching benchmark, and how it is split.

Every row belongs to one split by a digest of what identifies it, so that adding data moves
nothing: `fit` to fit weights on, `tune` to choose thresholds on, `locked` to look at once.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from registration_core.matching.names import read_name

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Pair:
    """Two names and whether they are the same organisation."""

    left: str
    right: str
    same: bool
    source: str
    #: `same`, `related`, `different`, or a category of the source.
    note: str = ""


def split_of(key: str) -> str:
    """Return `fit` (60 %), `tune` (20 %) or `locked` (20 %)."""
    place = hashlib.sha256(key.encode()).digest()[0] % 5
    return "fit" if place < 3 else "tune" if place == 3 else "locked"


def rows(name: str) -> Iterator[dict[str, str]]:
    """Read one CSV file of the data folder, packed or not."""
    path = DATA / name
    if path.exists():
        text = path.read_text(encoding="utf-8")
    else:
        text = gzip.decompress((DATA / f"{name}.gz").read_bytes()).decode()
    yield from csv.DictReader(text.splitlines(keepends=True))


def real_names() -> list[str]:
    """Return every real organisation name, one per spelling."""
    with gzip.open(DATA / "company_names_real.txt.gz", "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


def pairs_patents() -> list[Pair]:
    """Patent applicants: spellings of one applicant, and hard negatives."""
    return [
        Pair(r["left_name"], r["right_name"], r["label"] == "1", "patents", r["trivial"])
        for r in rows("pairs_patent_applicants.csv")
    ]


def pairs_bench() -> list[Pair]:
    """The name bench of a screening library."""
    return [
        Pair(r["left_name"], r["right_name"], r["label"] == "1", "bench", r["strength"])
        for r in rows("pairs_name_bench.csv")
    ]


def pairs_hard() -> list[Pair]:
    """Hand-written difficulties; `related` is neither the same nor unrelated."""
    return [
        Pair(r["left_name"], r["right_name"], r["label"] == "same", "hard", r["category"])
        for r in rows("pairs_hard.csv")
    ]


def pairs_domain() -> list[Pair]:
    """Organisations that registered with the same e-mail domain, judged by a person."""
    return [
        Pair(r["left_name"], r["right_name"], r["label"] == "same", "domain", r["label"])
        for r in rows("pairs_same_domain.csv")
    ]


def pairs_listed(count: int, rng: random.Random) -> list[Pair]:
    """Mine hard negatives: listed companies with a word in common, other domains, other names."""
    by_word: dict[str, list[str]] = defaultdict(list)
    for row in rows("accounts_listed.csv"):
        for name in read_name(row["name"])[:1]:
            for word in name.words[:3]:
                by_word[word.text].append(row["name"])
    shared = sorted(word for word, names in by_word.items() if 1 < len(names) < 400)
    found: list[Pair] = []
    while len(found) < count:
        left, right = rng.sample(by_word[rng.choice(shared)], 2)
        if read_name(left)[0].joined != read_name(right)[0].joined:
            found.append(Pair(left, right, False, "listed"))
    return found

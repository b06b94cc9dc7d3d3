"""The matcher's packaged tables: legal forms, word meanings, places, word frequencies, weights.

Loaded once at import and never changed. `benchmarks/fit_matching.py` writes `frequencies.json`
and `weights.json`; `words.json` is edited by hand.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from anyascii import anyascii


def _text(name: str) -> str:
    return files(__package__).joinpath("data", name).read_text(encoding="utf-8")


def _load(name: str) -> Any:
    return json.loads(_text(name))


_WORDS = _load("words.json")
_COUNTED = _load("frequencies.json")

#: Legal form phrase → its family.
FORMS: dict[str, str] = {
    phrase: family for family, phrases in _WORDS["forms"].items() for phrase in phrases
}
FORM_WORDS_MAX = max(len(phrase.split()) for phrase in FORMS)
#: Forms that are one word and long enough to be known with a slip in them ("Limitd").
LONG_FORMS = tuple(sorted(form for form in FORMS if len(form) >= 7 and " " not in form))
#: Forms that may open a name ("OOO Romashka", "PT Astra").
PREFIX_FORMS = frozenset(_WORDS["prefix_forms"])
#: Forms that inside a name may be something else, such as "Co" or "AS".
WEAK_FORMS = frozenset(_WORDS["weak_forms"])
#: Abbreviations, other languages and plurals of common company words.
SYNONYMS: dict[str, str] = _WORDS["synonyms"]
NUMBERS: dict[str, str] = _WORDS["numbers"]
#: Words that together are one place ("hong kong") → that place as one word.
PHRASES: dict[tuple[str, ...], str] = {
    tuple(phrase.split()): place for phrase, place in _WORDS["phrases"].items()
}
PHRASE_WORDS_MAX = max(map(len, PHRASES))
PHRASE_OPENINGS = frozenset(phrase[0] for phrase in PHRASES)
LAST_NUMBERS: dict[str, str] = _WORDS["last_numbers"]
PLACES = frozenset(_WORDS["places"]) | frozenset(_WORDS["place_names"].values())
PLACE_NAMES: dict[str, str] = _WORDS["place_names"]
DESCRIPTORS = frozenset(_WORDS["descriptors"])
#: Longest first, so that 股份有限公司 is found before 有限公司.
EAST_ASIAN = tuple(sorted(_WORDS["east_asian"].items(), key=lambda pair: -len(pair[0])))
#: Words that are dropped, and small words that are kept but tell next to nothing.
STOP = frozenset(_WORDS["stop"])
PARTICLES = frozenset(_WORDS["particles"])

#: A country's plain name or code → its code, lower case.
COUNTRIES: dict[str, str] = _WORDS["countries"]

#: Word → in how many of `NAMES_COUNTED` real names it stands; rarer ones are left out.
FREQUENCIES: dict[str, int] = _COUNTED["words"]
NAMES_COUNTED: int = _COUNTED["names"]
#: A word in so many of the counted names is a usual one.
_USUAL = 60

#: Evidence kind → log-odds for each unit of it; see `docs/conflict-checks.md`.
WEIGHTS: dict[str, Any] = _load("weights.json")
#: Changes with every weight and word, so that a check can say by what it was decided.
DIGEST = hashlib.sha256((_text("weights.json") + _text("words.json")).encode()).hexdigest()[:8]


def is_usual(word: str) -> bool:
    """Tell whether a word is a place or stands in so many names that it is nobody's brand."""
    return word in PLACES or FREQUENCIES.get(word, 0) >= _USUAL


def is_frequent_place(word: str) -> bool:
    """Tell whether a word is a place that stands in many names."""
    return FREQUENCIES.get(word, 0) >= _USUAL and is_place([word])


def is_place(words: Iterable[str]) -> bool:
    """Tell whether all words, as they are written, are places or countries' codes."""
    return all(
        PLACE_NAMES.get(word, word) in PLACES or (word in COUNTRIES and word not in FORMS)
        for word in words
    )


def ascii_of(text: str) -> str:
    """Return text in Latin letters without accents, whatever its script."""
    return text if text.isascii() else anyascii(unicodedata.normalize("NFKC", text))

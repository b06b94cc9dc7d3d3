"""Organisation names taken apart: words with their weight, legal form, numerals, places.

Pure. A name is read once into `Name` values, one for the whole and one for each alias that it
carries itself ("formerly …", "dba …", an acronym in brackets). All work is bounded by
`NAME_MAX` characters and `WORDS_MAX` words, whatever somebody typed.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from registration_core.matching import lexicon

#: Characters and words of a name that are looked at; what follows decides nothing.
NAME_MAX = 240
WORDS_MAX = 20
#: What a word behind the legal form ("…, Eindhoven", "… AG, London Branch") weighs.
_TAIL = 0.3

_ALIAS = re.compile(
    r"[(\[,;-]?\s*\b(?:d\s?[./]?\s?b\s?[./]?\s?a\b\.?|doing business as|t/a\b|trading as|"
    r"f/?k/?a\b|formerly(?: known as)?|previously(?: known as)?|a/?k/?a\b|also known as|"
    r"now known as|vormals|ehemals|anciennement)\s*:?\s*",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_WEB = re.compile(r"\b([a-z0-9-]{2,})\.(?:com|net|org|io|de|biz)\b")
#: Between initials; the article of "N.V. a Dutch company" is none.
_INITIAL_DOTS = re.compile(r"\b(\w)(?:\s?\.\s?|,)(?!a\b\s)(?=\w\b)")
_SLASHED = re.compile(r"\b(\w)/(?=\w\b)")
_DROPPED = re.compile(r"['’‘ʼ`´\"]")
_WORD = re.compile(r"[a-z0-9]+")
_SOFT_C = re.compile(r"(?<!s)c(?=[eiy])")
_DOUBLED = re.compile(r"(.)\1+")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a name in its comparable form, and how much it tells (rare words tell more)."""

    text: str
    #: As it was written, before abbreviations and other languages were brought together.
    raw: str
    sound: str
    weight: float
    number: bool
    place: bool
    #: A word that says what kind of part a company is: group, holding, international, …
    descriptor: bool


@dataclass(frozen=True, slots=True)
class Name:
    """A name without case, script, punctuation, stop words and legal form."""

    words: tuple[Word, ...]
    forms: frozenset[str]
    joined: str
    spelled: str
    #: First letters of the words, with and without the legal form's.
    acronyms: frozenset[str]
    numbers: frozenset[str]
    places: frozenset[str]
    #: By which two names are put in one order, whichever came first.
    order: str


@lru_cache(maxsize=65536)
def read_name(text: str) -> tuple[Name, ...]:
    """Take a name apart: the whole first, then the aliases it names itself; () if it says nothing."""
    cut = unicodedata.normalize("NFKC", text[:NAME_MAX])[:NAME_MAX]
    parts = [part for part in _ALIAS.split(cut) if part and part.strip(" ()[],;")]
    found: list[Name] = []
    for part in parts[:4] or [cut]:
        for spelled in _spellings(part.strip(" ,;-")):
            name = _read(spelled)
            if name is not None and all(name.words != known.words for known in found):
                found.append(name)
    return tuple(found)


def _spellings(part: str) -> Iterator[str]:
    """Give the part as it stands, and what it holds in brackets where that is an acronym of it."""
    inside = _BRACKETS.findall(part)
    outside = _BRACKETS.sub(" ", part)
    if not inside or not outside.strip():
        yield part
        return
    acronym = "".join(word[0] for word in _words(_fold(outside)))
    for text in inside:
        bare = "".join(_WORD.findall(_fold(text)))
        if 1 < len(bare) <= 8 and _is_subsequence(bare, acronym):
            yield outside
            yield text
            return
    yield part


def _is_subsequence(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


def _fold(text: str) -> str:
    """Lower case ASCII; East Asian company words become the English ones."""
    if not text.isascii():
        for word, meaning in lexicon.EAST_ASIAN:
            if word in text:
                text = text.replace(word, meaning)
    return lexicon.ascii_of(text).lower()


def _words(folded: str) -> list[str]:
    text = _DROPPED.sub("", _WEB.sub(r"\1 ", folded))
    text = _SLASHED.sub(r"\1", _INITIAL_DOTS.sub(r"\1", text))
    text = text.replace("&", " and ").replace("+", " and ")
    words = _without_description(_WORD.findall(text)[: WORDS_MAX * 2])
    bare = [w for w in words if w not in lexicon.STOP] or words
    return _join_initials(bare)[:WORDS_MAX]


def _without_description(words: list[str]) -> list[str]:
    """Cut "…, a Delaware corporation", as contracts and patents write it."""
    for at in range(1, len(words) - 2):
        place = lexicon.PLACE_NAMES.get(words[at + 1], words[at + 1])
        if words[at] in ("a", "an") and place in lexicon.PLACES and words[at + 2] in lexicon.FORMS:
            return words[:at]
    return words


def _join_initials(words: list[str]) -> list[str]:
    """Join initials: `j p morgan` is `jp morgan`."""
    joined: list[str] = []
    run = ""
    for word in words:
        if len(word) == 1 and word.isalpha():
            run += word
            continue
        if run:
            joined.append(run)
            run = ""
        joined.append(word)
    return [*joined, run] if run else joined


def _read(text: str) -> Name | None:
    words = _words(_fold(text))
    if not words:
        return None
    core, tail, forms = _without_forms(words)
    told = [*_told(core, 1.0), *_told(tail, _TAIL)]
    return Name(
        words=tuple(told),
        forms=forms,
        joined="".join(word.text for word in told[: len(core)])[:NAME_MAX],
        spelled="".join(core)[:NAME_MAX],
        acronyms=_acronyms(told[: len(core)], words[len(core) :]),
        numbers=frozenset(word.text for word in told if word.number),
        places=frozenset(word.text for word in told if word.place),
        order=" ".join(f"{word.text}/{word.raw}" for word in told),
    )


def _acronyms(core: list[Word], behind: list[str]) -> frozenset[str]:
    """Give the first letters; TSMC takes the legal form's in, UPS leaves the country's out."""
    main = [word for word in core if word.raw not in lexicon.PARTICLES]
    letters = "".join(word.raw[0] for word in main)
    found = {letters, letters + behind[0][0] if behind else letters}
    if main and main[-1].place:
        found.add(letters[:-1])
    return frozenset(acronym for acronym in found if len(acronym) > 2)


def _told(words: list[str], share: float) -> list[Word]:
    told: list[Word] = []
    for position, raw in enumerate(words):
        last = position == len(words) - 1 and position > 0
        number = lexicon.NUMBERS.get(raw) or (lexicon.LAST_NUMBERS.get(raw) if last else None)
        meanings = (number or lexicon.SYNONYMS.get(raw, raw)).split()
        worth = share * (1.15 if position == 0 else 1.0)
        told.extend(_word(meant, raw, worth) for meant in meanings)
    return told


@lru_cache(maxsize=65536)
def _word(meant: str, raw: str, share: float) -> Word:
    text = lexicon.PLACE_NAMES.get(meant, meant)
    is_number = any(c.isdigit() for c in text)
    return Word(
        text=text,
        raw=raw,
        sound=text if is_number else sound_of(text),
        weight=weight_of(text) * share,
        number=is_number and len(text) < 6,
        place=text in lexicon.PLACES,
        descriptor=text in lexicon.DESCRIPTORS,
    )


@lru_cache(maxsize=65536)
def weight_of(word: str) -> float:
    """Return how much a word tells, 0.1 (in every second name) to 1 (never seen)."""
    if word in lexicon.PARTICLES:
        return 0.1
    count = lexicon.FREQUENCIES.get(word, 0)
    rarity = math.log(lexicon.NAMES_COUNTED / (count + 1.0)) / math.log(lexicon.NAMES_COUNTED)
    return max(0.1, rarity)


@lru_cache(maxsize=65536)
def sound_of(word: str) -> str:
    """Fold what is spelled several ways: umlauts, doubled letters, c/k, ph/f, plural."""
    text = _SOFT_C.sub("s", word)
    for written, meant in (("ae", "a"), ("oe", "o"), ("ue", "u"), ("ph", "f"), ("ck", "k"),
                           ("sch", "sh"), ("th", "t"), ("y", "i"), ("qu", "kv"), ("c", "k"),
                           ("w", "v"), ("ou", "u"), ("z", "s")):  # fmt: skip
        text = text.replace(written, meant)
    text = _DOUBLED.sub(r"\1", text)
    return text[:-1] if len(text) > 4 and text[-1] == "s" else text


def _without_forms(words: list[str]) -> tuple[list[str], list[str], frozenset[str]]:
    """Split words into the name, what follows an inner legal form, and the forms."""
    forms: set[str] = set()
    rest = list(words)
    while len(rest) > 1 and (hit := _form_at_end(rest)):
        length, form = hit
        if length >= len(rest):
            break
        del rest[-length:]
        forms.add(form)
    while len(rest) > 1 and (hit := _form_at_start(rest)):
        length, form = hit
        if length >= len(rest):
            break
        del rest[:length]
        forms.add(form)
    for at in range(1, len(rest) - 1):
        for length in range(min(lexicon.FORM_WORDS_MAX, len(rest) - at - 1), 0, -1):
            phrase = " ".join(rest[at : at + length])
            if phrase in lexicon.FORMS and phrase not in lexicon.WEAK_FORMS:
                forms.add(lexicon.FORMS[phrase])
                return rest[:at], rest[at + length :], frozenset(forms)
    return rest, [], frozenset(forms)


def _form_at_end(words: list[str]) -> tuple[int, str] | None:
    for length in range(min(lexicon.FORM_WORDS_MAX, len(words)), 0, -1):
        form = lexicon.FORMS.get(" ".join(words[-length:]))
        if form:
            return length, form
    return None


def _form_at_start(words: list[str]) -> tuple[int, str] | None:
    for length in range(min(lexicon.FORM_WORDS_MAX, len(words)), 0, -1):
        phrase = " ".join(words[:length])
        if phrase in lexicon.PREFIX_FORMS:
            return length, lexicon.FORMS.get(phrase, "other")
    return None

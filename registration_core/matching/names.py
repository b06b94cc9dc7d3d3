"""Organisation names taken apart: words with their weight, legal form, numerals, places.

Pure. A name is read once into `Name` values, one for the whole and one for each alias that it
carries itself ("formerly …", "dba …", an acronym in brackets). All work is bounded by
`NAME_MAX` characters and `WORDS_MAX` words, whatever somebody typed.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from rapidfuzz.distance import OSA

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
_INITIAL_DOTS = re.compile(r"\b(\w)(?:\s?\.|\s?\.\s(?!a\b\s)|,)(?=\w\b)")
_SLASHED = re.compile(r"\b(\w)/(?=\w\b)")
#: How patent offices typeset an accent: "{umlaut over (n)}".
_TYPESET = re.compile(r"\{[a-z]{3,12} over \((\w)\)\}", re.IGNORECASE)
#: A legal form run on to a word: "MoriCo.", "AcmeLtd".
_RUN_ON_FORM = re.compile(
    r"(?<=[A-Za-z0-9])(?=(?:Co\.|(?:Ltd|Inc|Corp|LLC|GmbH|Limited|Corporation)\b))"
)
#: A legal form written with dots or a slash inside a name is no word of it ("S.p.A.", "A/S").
_DOTTED = re.compile(r"\b(?:[a-z]\s?[./]\s?){1,4}[a-z]\b")
_DROPPED = re.compile(r"['’‘ʼ`´\"]")
_WORD = re.compile(r"[a-z0-9]+")
_WORD_OR_AND = re.compile(r"[a-z0-9]+|&")
_AND = re.compile(r"\s*[&+]\s*|\s(?:and|und|et|y)\s")
#: Letters of a name that may be first letters only, as P&G and AT&T.
ABBREVIATION_MAX = 4
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
    #: Everything run together, legal form and all.
    whole: str
    #: First letters of the words, with and without the legal form's.
    acronyms: frozenset[str]
    #: First letters with their "and": `p&g` for Procter & Gamble, and for P&G; '' without one.
    linked: str
    numbers: frozenset[str]
    places: frozenset[str]
    #: By which two names are put in one order, whichever came first.
    order: str


@lru_cache(maxsize=65536)
def read_name(text: str) -> tuple[Name, ...]:
    """Take a name apart: the whole first, then the aliases it names itself; () if it says nothing."""
    cut = unicodedata.normalize("NFKC", html.unescape(text[:NAME_MAX]))[:NAME_MAX]
    cut = _RUN_ON_FORM.sub(" ", _TYPESET.sub(r"\1", cut))
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
    return _join_phrases(_join_initials(bare))[:WORDS_MAX]


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


def _join_phrases(words: list[str]) -> list[str]:
    """Join what is one thing in several words: `hong kong`, `forty four`."""
    if lexicon.PHRASE_OPENINGS.isdisjoint(words) and lexicon.NUMBERS.keys().isdisjoint(words):
        return words
    joined: list[str] = []
    at = 0
    while at < len(words):
        word, length = words[at], 1
        tens, units = (lexicon.NUMBERS.get(w, "") for w in (word, *words[at + 1 : at + 2], "")[:2])
        if word in lexicon.PHRASE_OPENINGS:
            for size in range(min(lexicon.PHRASE_WORDS_MAX, len(words) - at), 1, -1):
                place = lexicon.PHRASES.get(tuple(words[at : at + size]))
                if place:
                    word, length = place, size
                    break
        elif len(tens) == 2 and tens[1] == "0" and len(units) == 1 and len(words[at + 1]) > 1:
            word, length = tens[0] + units, 2
        joined.append(word)
        at += length
    return joined


def _linked(folded: str, core: list[str]) -> str:
    """Give the first letters of a name with its "and"; a name of few letters is its own."""
    folded = _DROPPED.sub("", folded)
    if not _AND.search(folded):
        return ""
    words = [w for w in _WORD_OR_AND.findall(_AND.sub(" & ", folded)) if w not in lexicon.STOP]
    if sum(map(len, core)) <= ABBREVIATION_MAX:
        told = "".join(words[: len(words) - words[::-1].index("&") + 1])
    else:
        kept = {"&", *core}
        told = "".join(word[0] for word in words if word in kept)
    return told if "&" in told[1:-1] and len(told) <= ABBREVIATION_MAX + 1 else ""


def _read(text: str) -> Name | None:
    folded = _fold(text)
    words = _words(folded)
    if not words:
        return None
    sure = frozenset(re.sub(r"[\s./]", "", found) for found in _DOTTED.findall(folded))
    core, tail, forms = _without_forms(words, sure)
    if not tail and "," in folded:
        core, tail = _without_address(core, _words(folded.partition(",")[0]))
    told = [*_told(core, 1.0), *_told(tail, _TAIL)]
    return Name(
        words=tuple(told),
        forms=forms,
        joined="".join(word.text for word in told[: len(core)])[:NAME_MAX],
        spelled="".join(core)[:NAME_MAX],
        whole="".join(words)[:NAME_MAX],
        acronyms=_acronyms(told[: len(core)], words[len(core) :]),
        linked=_linked(folded, core),
        numbers=frozenset(word.text for word in told if word.number),
        places=frozenset(word.text for word in told if word.place),
        order=" ".join(f"{word.text}/{word.raw}" for word in told),
    )


def run_apart(name: Name, other: Name) -> Name:
    """Take a name's first word apart where the other name shows that it is two run together.

    `AvocetPress Ltd` is Avocet Press beside `Avocet Press`, and beside `Avocet Holdings`, where
    Avocet is nobody's usual word and Press is everybody's.
    """
    first, brand = name.words[0].raw, other.words[0].raw
    rest = first.removeprefix(brand)
    if not rest or rest == first:
        return name
    second = other.words[1].raw if len(other.words) > 1 else ""
    meant = lexicon.SYNONYMS.get(rest, lexicon.PLACE_NAMES.get(rest, rest))
    usual = min(len(brand), len(rest)) > 3 and all(map(lexicon.is_usual, meant.split()))
    if rest != second and (brand in lexicon.FREQUENCIES or not usual):
        return name
    return replace(name, words=(*_told([brand, rest], 1.0), *name.words[1:]))


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
        series = (
            last and len(raw) == 1 and len(words[position - 1]) > 3
        )  # "… Investors B" is another than "… Investors C"
        told.extend(_word(meant, raw, worth, series=series) for meant in meanings)
    return told


@lru_cache(maxsize=65536)
def _word(meant: str, raw: str, share: float, *, series: bool = False) -> Word:
    text = lexicon.PLACE_NAMES.get(meant, meant)
    is_number = series or any(c.isdigit() for c in text)
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


def _without_forms(
    words: list[str], sure: frozenset[str]
) -> tuple[list[str], list[str], frozenset[str]]:
    """Split words into the name, what follows an inner legal form, and the forms.

    Those that are `sure` were written as a form is, so that they are one wherever they stand.
    """
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
            if phrase in lexicon.FORMS and (phrase not in lexicon.WEAK_FORMS or phrase in sure):
                forms.add(lexicon.FORMS[phrase])
                return rest[:at], rest[at + length :], frozenset(forms)
    return rest, [], frozenset(forms)


def _without_address(core: list[str], head: list[str]) -> tuple[list[str], list[str]]:
    """Split "N.V. Avocet, Eindhoven, NL" where the place begins."""
    opening = _form_at_start(head)
    end = len(head) - opening[0] if opening else 0
    return (core[:end], core[end:]) if end else (core, [])


def _form_at_end(words: list[str]) -> tuple[int, str] | None:
    for length in range(min(lexicon.FORM_WORDS_MAX, len(words)), 0, -1):
        form = lexicon.FORMS.get(" ".join(words[-length:]))
        if form:
            return length, form
    form = _form_with_a_slip(words[-1])
    return (1, form) if form else None


@lru_cache(maxsize=65536)
def _form_with_a_slip(word: str) -> str:
    """Return the legal form that a word is but for one letter, "limitd"; '' if it is none."""
    if len(word) < 6 or word in lexicon.FREQUENCIES or word in lexicon.SYNONYMS:
        return ""
    for form in lexicon.LONG_FORMS:
        if form[0] == word[0] and OSA.distance(form, word, score_cutoff=1) == 1:
            return lexicon.FORMS[form]
    return ""


def _form_at_start(words: list[str]) -> tuple[int, str] | None:
    for length in range(min(lexicon.FORM_WORDS_MAX, len(words)), 0, -1):
        phrase = " ".join(words[:length])
        if phrase in lexicon.PREFIX_FORMS:
            return length, lexicon.FORMS.get(phrase, "other")
    return None

"""How alike two names are, as named measures; `weights.json` says what each is worth.

Pure and symmetric: `measure(a, b)` and `measure(b, a)` are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from rapidfuzz.distance import OSA, JaroWinkler

from registration_core.matching import lexicon
from registration_core.matching.names import ABBREVIATION_MAX, Name, Word, sound_of, weight_of

#: Two words closer than this are one word, spelled differently.
_ALIKE = 0.7
#: Where a measure's weight may change, so that half an agreement can be worth nothing.
KNOTS = {
    "agreement": (0.35, 0.5, 0.65, 0.8, 0.92),
    "written_alike": (0.6, 0.75, 0.85, 0.93),
    "left_over_both": (0.15, 0.4, 0.8),
    "left_over_one": (0.3, 0.8, 1.6),
    "shared_rarity": (0.4, 0.8, 1.4),
    "bent": (0.1, 0.25),
}


def measure(left: Name, right: Name) -> dict[str, float]:
    """Return the measures that apply to two names; absent ones are 0."""
    pairs, rest_left, rest_right = align(left, right)
    shared = sum(alike * (a.weight + b.weight) / 2 for a, b, alike in pairs)
    over_left = sum(w.weight for w in rest_left)
    over_right = sum(w.weight for w in rest_right)
    whole = shared + (over_left + over_right) / 2 + 1e-9
    found = {
        "agreement": min(1.0, shared / whole),
        "written_alike": _written_alike(left, right),
        "left_over_both": min(over_left, over_right),
        "left_over_one": max(over_left, over_right),
        "shared_rarity": shared,
        "bent": max((1.0 - alike for *_, alike in pairs), default=0.0),
    }
    flags = {
        "equal": _equal(left, right),
        "acronym": _acronym(left, right),
        "numbers_differ": _clash(left.numbers, right.numbers),
        "number_on_one_side": bool(left.numbers) != bool(right.numbers),
        "places_differ": _clash(left.places, right.places),
        "place_on_one_side": bool(left.places) != bool(right.places),
        "forms_agree": bool(left.forms & right.forms),
        "forms_differ": _clash(left.forms, right.forms),
        "first_word_differs": not any(
            {a.text, b.text} == {left.words[0].text, right.words[0].text} for a, b, _ in pairs
        ),
        "contained": (not rest_left or not rest_right) and bool(rest_left or rest_right),
        "descriptor_only": bool(rest_left or rest_right)
        and all(w.descriptor for w in (*rest_left, *rest_right)),
        "added_usual": all(lexicon.is_usual(w.text) for w in (*rest_left, *rest_right)),
        "short": min(len(left.joined), len(right.joined)) <= 4 and not _equal(left, right),
        "rare_word_bent": any(alike < 1 and min(a.weight, b.weight) > 0.8 for a, b, alike in pairs),
        "one_letter": len(left.joined) > 5
        and left.numbers == right.numbers
        and not _equal(left, right)
        and OSA.distance(left.joined, right.joined, score_cutoff=1) == 1,
        "same_words": len(pairs) > 1
        and not rest_left
        and not rest_right
        and all(alike == 1 for *_, alike in pairs)
        and not _equal(left, right),
    }
    found.update({name: 1.0 for name, holds in flags.items() if holds})
    return found


#: Each step of `KNOTS`: its measure, where it begins and ends, and its name.
_STEPS = {
    name: tuple(
        (low, high, f"{name} over {low:g}")
        for low, high in zip((0.0, *knots), (*knots, float("inf")), strict=True)
    )
    for name, knots in KNOTS.items()
}


def stepped(measures: Mapping[str, float]) -> dict[str, float]:
    """Cut the measures of `KNOTS` into steps, each with a weight of its own."""
    wide: dict[str, float] = {}
    for name, value in measures.items():
        if name not in _STEPS:
            wide[name] = value
            continue
        for low, high, step in _STEPS[name]:
            if value <= low:
                break
            wide[step] = min(value, high) - low
    return wide


def _clash(left: frozenset[str], right: frozenset[str]) -> bool:
    return bool(left and right and not left & right)


def _equal(left: Name, right: Name) -> bool:
    return left.joined == right.joined or left.spelled == right.spelled or left.whole == right.whole


def _written_alike(left: Name, right: Name) -> float:
    if _equal(left, right):
        return 1.0
    return max(
        OSA.normalized_similarity(left.joined, right.joined),
        OSA.normalized_similarity(left.spelled, right.spelled),
        0.9 * JaroWinkler.similarity(left.joined, right.joined),
    )


def _acronym(left: Name, right: Name) -> bool:
    return (
        (len(left.words) == 1 and left.joined in right.acronyms)
        or (len(right.words) == 1 and right.joined in left.acronyms)
        or (bool(left.linked) and left.linked == right.linked and _one_is_short(left, right))
    )


def _one_is_short(left: Name, right: Name) -> bool:
    short, long = sorted((len(left.spelled), len(right.spelled)))
    return short <= ABBREVIATION_MAX < long


def align(left: Name, right: Name) -> tuple[list[tuple[Word, Word, float]], list[Word], list[Word]]:
    """Pair words, best first; returns the pairs and what is left over on each side."""
    pairs: list[tuple[Word, Word, float]] = []
    rest_left, rest_right = list(left.words), list(right.words)
    by_text = {word.text: word for word in rest_right}
    for word in left.words:
        other = by_text.pop(word.text, None)
        if other is not None:
            pairs.append((word, other, 1.0))
            rest_left.remove(word)
            rest_right.remove(other)
    if rest_left and rest_right:
        _pair_alike(pairs, rest_left, rest_right)
    if rest_left and rest_right:
        _pair_joined(pairs, rest_left, rest_right)
        _pair_joined(pairs, rest_right, rest_left)
    return pairs, rest_left, rest_right


def _pair_alike(pairs: list[tuple[Word, Word, float]], left: list[Word], right: list[Word]) -> None:
    likely = [(value, a, b) for a in left for b in right if (value := alike(a, b)) >= _ALIKE]
    likely.sort(
        key=lambda pair: (
            -pair[0], -pair[1].weight - pair[2].weight, *sorted((pair[1].text, pair[2].text))
        )
    )  # fmt: skip
    for value, a, b in likely:
        if a in left and b in right:
            pairs.append((a, b, value))
            left.remove(a)
            right.remove(b)


def alike(a: Word, b: Word) -> float:
    """Return how sure it is that two words are the same one, spelled or shortened differently."""
    if a.number or b.number:
        return 1.0 if a.text == b.text else 0.0
    told = _alike(*sorted((a.text, b.text)))
    # A slip in a word that stands for another one: "electroncis".
    written = a.raw != a.text or b.raw != b.text
    return max(told, _alike(*sorted((a.raw, b.raw)))) if written and told < 1 else told


@lru_cache(maxsize=131072)
def _alike(a: str, b: str) -> float:
    sounds = sound_of(a), sound_of(b)
    if sounds[0] == sounds[1]:
        return 0.97
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    if len(short) < 3:
        return 0.0
    if long.startswith(short) and len(long) - len(short) >= 2:
        return 0.85 if len(short) >= 3 else 0.0
    if len(short) <= 5 and _shortens(short, long):
        return 0.75
    value = max(
        OSA.normalized_similarity(a, b, score_cutoff=_ALIKE),
        OSA.normalized_similarity(*sounds, score_cutoff=_ALIKE) - 0.02,
    )
    if value < _ALIKE:
        return 0.0
    if a in lexicon.PLACES and b in lexicon.PLACES:
        return 0.0 if value < 0.85 else value
    # Both known words of other names: Mercury and Century are no misspelling of each other.
    known = min(weight_of(a), weight_of(b))
    if known < 0.8:
        value -= 0.12
    return value - (0.05 if short[0] != long[0] else 0.0)


def _shortens(short: str, long: str) -> bool:
    """Whether it is like `mfg`: first and last letter of the long word, the rest in order."""
    if len(long) < len(short) + 3 or short[0] != long[0] or short[-1] not in long[-3:]:
        return False
    letters = iter(long)
    return all(letter in letters for letter in short)


def _pair_joined(
    pairs: list[tuple[Word, Word, float]], apart: list[Word], together: list[Word]
) -> None:
    """Pair "fed ex" with "fedex": neighbours on one side that are one word on the other."""
    if len(apart) < 2:
        return
    for whole in list(together):
        for at in range(len(apart) - 1):
            if apart[at].raw[0] != whole.raw[0]:
                continue
            for length in (2, 3):
                parts = apart[at : at + length]
                text = "".join(part.raw for part in parts)
                if (
                    len(parts) == length
                    and len(text) >= 4
                    and (text == whole.raw or OSA.normalized_similarity(text, whole.raw) > 0.86)
                ):
                    weight = sum(part.weight for part in parts)
                    weight = max(weight / length, whole.weight)
                    merged = replace(whole, text=text, raw=text, weight=weight)
                    pairs.append((merged, whole, 0.97 if text == whole.raw else 0.9))
                    for part in parts:
                        apart.remove(part)
                    together.remove(whole)
                    break
            else:
                continue
            break

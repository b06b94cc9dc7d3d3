"""What two names say of one family: a brand in common, and what stands behind it on each side.

Pure and symmetric. Each piece has a kind, the two things compared, and how much of it there is;
`weights.json` says what a unit of it is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter

from registration_core.matching import lexicon, similarity
from registration_core.matching.names import Name, Word

#: A kind of evidence, both values, and how much of it there is.
Told = tuple[str, str, str, float]


def name_family(left: Name, right: Name, measures: Mapping[str, float]) -> list[Told]:
    """Return what speaks for two names being of one family; `measures` are those of the names."""
    found = _brands(left, right)
    if found:
        _, *over = similarity.align(*sorted((left, right), key=attrgetter("order")))
        told = [*_within(measures, over), *_added_alone(over)]
        found += [(kind, left.joined, right.joined, value) for kind, value in told]
    return found + _second_word(left, right)


def _brands(one: Name, other: Name) -> list[Told]:
    left, right = _brand(one), _brand(other)
    equal = left.text == right.text or left.raw == right.raw
    if len(left.text) > 2 and left.sound == right.sound:
        kind = "first_word" if equal else "first_word_sounds"
        found = [(kind, left.text, right.text, left.weight)]
        if equal and not {left.raw, left.text, right.raw} & lexicon.FREQUENCIES.keys():
            kind = "rare_first_word" if len(left.text) > 3 else "short_first_word"
            found.append((kind, left.text, right.text, 1.0))
        return found
    if min(len(left.text), len(right.text)) > 4 and similarity.alike(left, right) > 0.8:
        return [("first_word_alike", left.text, right.text, min(left.weight, right.weight))]
    return []


def _brand(name: Name) -> Word:
    """Return the first word; with the second where the first is a letter or two, as in J-Max."""
    first = name.words[0]
    if len(first.text) > 2 or len(name.words) < 2:
        return first
    second = name.words[1]
    return replace(
        second,
        text=first.text + second.text,
        raw=first.raw + second.raw,
        sound=first.sound + second.sound,
    )


def _within(measures: Mapping[str, float], over: list[list[Word]]) -> Iterator[tuple[str, float]]:
    """Give what speaks for one name being the other with words added, as a part of a group has."""
    shared, over_both = measures["shared_rarity"], measures["left_over_both"]
    if over_both > 0.5:
        return
    yield ("within" if over_both <= 0.05 else "nearly_within"), min(2.0, shared)
    yield "more_words_within", min(2.0, max(0.0, shared - 1.2))
    added = min(2.0, max(0.0, measures["left_over_one"] - over_both))
    yield "added_words", added
    rest = [word for side in over for word in side]
    if added and measures.get("added_usual"):
        yield "added_usual_words", 1.0
        if all(word.place for word in rest):
            yield "added_places", 1.0
    if not rest:
        yield "no_word_added", 1.0


def _added_alone(over: list[list[Word]]) -> Iterator[tuple[str, float]]:
    """Give whether one side has the brand and nothing but places or usual words behind it.

    So is a part of a group called ("Quernbeck Polska"), whatever its parent adds to the brand.
    """
    if not all(over):
        return
    if any(all(word.place for word in side) for side in over):
        yield "places_instead", 1.0
    elif any(all(lexicon.is_usual(word.text) for word in side) for side in over):
        yield "usual_words_instead", 1.0


def _second_word(one: Name, other: Name) -> list[Told]:
    """Return what two words in common at the beginning say: a place or usual word, then a brand."""
    left, right = one.words[:2], other.words[:2]
    if min(len(left), len(right)) < 2 or {w.text for w in left} != {w.text for w in right}:
        return []
    found = [("first_two_words", left[1].weight)]
    if not {left[1].raw, left[1].text, right[1].raw} & lexicon.FREQUENCIES.keys():
        found.append(("rare_second_word", 1.0))
    return [(kind, one.joined, other.joined, value) for kind, value in found]

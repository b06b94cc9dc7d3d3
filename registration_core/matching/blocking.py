"""Under which keys an organisation is found among a million others.

A key is text; the store keeps a digest of it. Whoever changes how keys are made adds a migration
that marks the index as unreliable (`0043` shows how), so that every store makes them anew. Most are made of the name: its words, their
openings and endings, neighbours joined, an acronym, consonants alone. Several names take turns, so
that each is found, however many words the others have. Keys that too many
organisations share are skipped when searching, so that the work of a search is bounded.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain, pairwise, zip_longest
from typing import TypeVar

from registration_core.matching import lexicon
from registration_core.matching.domains import label_of
from registration_core.matching.folding import fold_id
from registration_core.matching.names import Name
from registration_core.matching.organisation import Organisation, plain

Ref = TypeVar("Ref", int, str)

#: A key of more accounts than this is skipped.
CAP = 3000
#: How many candidates are scored.
CANDIDATES_MAX = 50
#: Keys that find their organisation by themselves, ahead of any name.
EXACT = ("tax:", "duns:", "domain:", "phone:")
_KEYS_MAX = 48
#: What a whole name, or an acronym that is one, adds to the rarity of its key.
_WHOLE_NAME = 6.0
_WHOLE = ("name:", "parent:")
#: Keys of a part of a word, of which a word has several: one usual word is no brand in common.
_PARTS = ("start:", "end:", "bones:")
_PART = 0.5
_VOWELS = str.maketrans("", "", "aeiou")


def keys_of(organisation: Organisation) -> tuple[str, ...]:
    """Return the keys under which an organisation is kept, each once."""
    found: dict[str, None] = {}
    if organisation.tax:
        found[f"tax:{organisation.tax}"] = None
        found[f"tax:{fold_id(organisation.tax_id)}"] = None  # with its country's prefix
    if organisation.duns_number:
        found[f"duns:{organisation.duns_number}"] = None
    if organisation.phone_end:
        found[f"phone:{organisation.phone_end}"] = None
    for domain in sorted(organisation.domains):
        found[f"domain:{domain}"] = None
        label = label_of(domain)
        if len(label) > 2:
            found[f"name:{label}"] = None
            found[f"open:{label[:7]}"] = None
    for parent in sorted(organisation.parent_names):
        found[f"parent:{parent}"] = None
    for key in chain.from_iterable(zip_longest(*map(_keys_of_name, organisation.names))):
        if key is not None:
            found[key] = None
    for name in organisation.names if organisation.city else ():
        found[f"name_city:{name.words[0].sound}:{plain(organisation.city)}"] = None
    return tuple(found)[:_KEYS_MAX]


def sought_by(organisation: Organisation) -> tuple[str, ...]:
    """Return the keys that find an organisation, its parent, and whoever names it as the parent."""
    above = keys_of(Organisation(organisation.parent)) if organisation.parent else ()
    below = (f"parent:{name.joined}" for name in organisation.names)
    return tuple(dict.fromkeys((*keys_of(organisation), *above, *below)))


def identifier_key(kind: str, value: str) -> str | None:
    """Return the key of a folded `tax_id` or `duns`; None for a kind that does not identify."""
    opening = {"tax_id": "tax", "duns": "duns"}.get(kind)
    return f"{opening}:{value}" if opening else None


def _keys_of_name(name: Name) -> Iterable[str]:
    yield f"name:{name.joined}"
    if name.spelled != name.joined:
        yield f"name:{name.spelled}"
    if len(name.joined) >= 5:
        yield f"open:{name.joined[:7]}"
    for acronym in sorted(name.acronyms):
        yield f"name:{acronym}"
    if name.linked:
        yield f"name:{name.linked}"
    telling = [w for w in name.words if w.raw not in lexicon.PARTICLES]
    if telling:
        yield f"first:{telling[0].sound}"  # the brand, as a rule
    for word in telling:
        yield f"word:{word.sound}"
        if len(word.sound) >= 5:
            yield f"start:{word.sound[:5]}"  # of a brand of five letters too: of what runs on to it
        if len(word.sound) >= 6:
            yield f"end:{word.sound[-5:]}"
        bones = word.sound[0] + word.sound[1:].translate(_VOWELS)
        if len(bones) >= 3 and len(word.sound) >= 5:
            yield f"bones:{bones}"
    for left, right in pairwise(telling):
        yield f"word:{left.sound}{right.sound}"
    if len(telling) > 1:
        rarest = sorted(telling, key=lambda w: (-w.weight, w.sound))[:2]
        yield "two:" + "+".join(sorted(w.sound for w in rarest))


def digest(key: str) -> int:
    """Return a key as a 48-bit number; two keys that share one only add a candidate."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big")


def digests_of(organisation: Organisation) -> set[int]:
    """Return the keys of an organisation as numbers."""
    return {digest(key) for key in keys_of(organisation)}


def rank(
    hits: Mapping[str, Iterable[Ref]],
    counts: Mapping[str, int],
    total: int,
    most: int = CANDIDATES_MAX,
) -> list[Ref]:
    """Return the likeliest candidates, best first: rare keys count more, exact keys come first.

    `total` may be of an earlier day: no key that somebody has speaks against them.
    """
    total = max(total, *counts.values(), 0)
    scores: dict[Ref, float] = defaultdict(float)
    for key, refs in hits.items():
        worth = math.log((total + 1) / max(1, counts[key]))
        if key.startswith(EXACT):
            worth += 20
        elif key.startswith(_WHOLE):
            worth += _WHOLE_NAME
        elif key.startswith(_PARTS):
            worth *= _PART
        for ref in refs:
            scores[ref] += worth
    best = sorted(scores.values(), reverse=True)[:most]
    reached = [ref for ref, score in scores.items() if score >= best[-1]] if best else []
    return sorted(reached, key=scores.__getitem__, reverse=True)[:most]

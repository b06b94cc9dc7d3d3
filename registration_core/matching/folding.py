"""Names and identifiers without what people write differently: for keys that must be equal."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_LEGAL_FORMS = frozenset(
    "ab ag as asa bv co company corp corporation gmbh inc incorporated kg kgaa limited llc llp ltd nv "
    "oy oyj plc pty sa sarl sas se spa srl".split()
)

#: Letters that Unicode does not take apart into a plain letter and an accent.
_PLAIN_LETTERS = str.maketrans(
    {"æ": "ae", "đ": "d", "ð": "d", "ı": "i", "ł": "l", "ø": "o", "œ": "oe", "þ": "th"}
)


@lru_cache(maxsize=65536)
def fold_name(name: str) -> str:
    """Fold a company name: no case, accents, punctuation or trailing legal form."""
    bare = unicodedata.normalize("NFKD", name).casefold().translate(_PLAIN_LETTERS)
    bare = "".join(c for c in unicodedata.normalize("NFKD", bare) if not unicodedata.combining(c))
    bare = re.sub(r"\b(\w)/(?=\w\b)", r"\1", bare.replace("&", " and "))  # A/S is AS
    words = re.sub(r"[^\w\s]", " ", re.sub("[.'’‘ʼ]", "", bare)).split()
    # "GmbH & Co. KG" leaves an "and" behind.
    while len(words) > 1 and (words[-1] in _LEGAL_FORMS or words[-1] == "and"):
        words.pop()
    return " ".join(words)


def fold_id(value: str) -> str:
    """Fold an identifier: letters and digits only, upper case; '' if it says nothing."""
    folded = re.sub(r"[^0-9A-Za-z]", "", value).upper()
    return folded if folded.strip("0") else ""

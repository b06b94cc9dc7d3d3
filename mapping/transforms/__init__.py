"""The closed list of transforms: how one field of ours and the CRM's fields stand for each other.

A transform reads CRM values into ours and writes ours into the CRM's. One that a row may use both
ways keeps two laws, up to its canonical form: a value that was written reads back as itself, and
writing what was read changes nothing. Canonical forms (trimmed text, rounded numbers, a date for a
time) are idempotent, so that a CRM that trims or rounds starts no ping-pong. One that cannot keep
them says so in `one_way`. What cannot be translated is refused with `Untranslatable`, never
guessed.
"""

from __future__ import annotations

from mapping.transforms.base import ANY, EMPTY, OneWay, Transform, Untranslatable
from mapping.transforms.lists import Join, JsonList, Split, TextList
from mapping.transforms.places import Country, State
from mapping.transforms.tables import Enum, Multi
from mapping.transforms.values import Boolean, Copy, Date, Default, Moment, Number, Reference
from mapping.transforms.words import Domain, Phone, Text, Url

__all__ = [
    "ANY",
    "EMPTY",
    "Boolean",
    "Copy",
    "Country",
    "Date",
    "Default",
    "Domain",
    "Enum",
    "Join",
    "JsonList",
    "Moment",
    "Multi",
    "Number",
    "OneWay",
    "Phone",
    "Reference",
    "Split",
    "State",
    "Text",
    "TextList",
    "Transform",
    "Untranslatable",
    "Url",
]

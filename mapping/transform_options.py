"""Read the options of a mapping row's transform; every problem is told, none stops the reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from mapping.transforms import (
    Copy,
    Country,
    Date,
    Domain,
    Join,
    JsonList,
    Moment,
    Number,
    Phone,
    Reference,
    Split,
    State,
    Text,
    TextList,
    Transform,
    Url,
)
from mapping.transforms.places import COUNTRY_FORMS, STATE_FORMS, countries_with_states
from registration_core.contracts import FieldSchema

#: Longest text any of the three CRMs keeps in one field, in characters (Dataverse multi-line
#: text, by the Power Apps documentation).
TEXT_MAX = 1_048_576
#: Most decimal places of a number in any of the three CRMs, with room.
SCALE_MAX = 10
#: Longest separator, in characters, and highest part that is split off.
SEPARATOR_MAX, PART_MAX = 10, 100


@dataclass(frozen=True)
class RowContext:
    """What a transform has to fit: our field, the CRM's fields, and which way the row flows."""

    ours: FieldSchema
    theirs: tuple[str, ...]
    #: `push`, `pull` or `both`.
    direction: str
    #: Tell a problem at a path below `transform`: path, what, remedy.
    tell: Callable[[Sequence[str | int], str, str], None]

    @property
    def pushes(self) -> bool:
        """Whether the row writes to the CRM."""
        return self.direction != "pull"


def known(name: str, options: Any, allowed: Sequence[str], row: RowContext) -> bool:
    """Whether the options are a mapping of allowed words; tells the others."""
    if not isinstance(options, Mapping):
        remedy = f"for example {_EXAMPLES[name]}" if name in _EXAMPLES else f"write just {name}"
        row.tell((name,), f"the options of {name} must be a mapping", remedy)
        return False
    unknown = [option for option in options if option not in allowed]
    for option in unknown:
        remedy = f"it takes {' and '.join(allowed)}" if allowed else "it takes none"
        row.tell((name, option), f"{name} has no option '{option}'", remedy)
    return not unknown


def whole(value: Any) -> bool:
    """Whether a value of a file is a whole number; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def copy(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `copy`, which has no options."""
    return Copy(row.ours.type) if known(name, options, (), row) else None


def plain(made: Transform) -> Callable[[str, Any, RowContext], Transform | None]:
    """Make the reader of a transform that has no options."""
    return lambda name, options, row: made if known(name, options, (), row) else None


def text(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `text: {max: 80, case: upper}`."""
    if not known(name, options, ("max", "case"), row):
        return None
    longest, case = options.get("max"), options.get("case")
    if not whole(longest) or not 0 < longest <= TEXT_MAX:
        row.tell((name, "max"), "text needs max, its longest length", "for example text: {max: 80}")
        return None
    if case not in (None, "upper", "lower"):
        row.tell((name, "case"), f"unknown case '{case}'", "upper or lower")
        return None
    return Text(int(longest), case)


def date(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `date: {as: datetime, zone: Europe/Berlin}`."""
    if not known(name, options, ("as", "zone"), row):
        return None
    kind = _word(name, "as", options, ("date", "datetime"), "a date cannot be kept as", row)
    zone = _zone(name, options, row)
    if kind == "date" and "zone" in options:
        row.tell((name, "zone"), "a day has no time zone", "as: datetime, or remove zone")
        return None
    return Date(as_datetime=kind == "datetime", zone=zone) if kind and zone else None


def moment(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `datetime: {to: minute}` or `datetime: {as: date, zone: Europe/Berlin}`."""
    if not known(name, options, ("as", "zone", "to"), row):
        return None
    kind = _word(
        name, "as", {"as": "datetime", **options}, ("datetime", "date"), "it cannot be kept as", row
    )
    to = _word(name, "to", options, ("second", "minute"), "it cannot be cut to the", row)
    zone = _zone(name, options, row)
    if kind == "datetime" and "zone" in options:
        row.tell((name, "zone"), "a moment is the same in every zone", "as: date, or remove zone")
        return None
    if not (kind and to and zone):
        return None
    return Moment("minute" if to == "minute" else "second", as_date=kind == "date", zone=zone)


def number(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `money: {scale: 2}` or `number: {scale: 0}`."""
    if not known(name, options, ("scale",), row):
        return None
    scale = options.get("scale")
    if not whole(scale) or not 0 <= scale <= SCALE_MAX:
        row.tell(
            (name, "scale"),
            f"{name} needs scale, its decimal places, from 0 to {SCALE_MAX}",
            f"for example {name}: {{scale: 2}}",
        )
        return None
    return Number(int(scale), "money" if name == "money" else "number")


def phone(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `phone: {calling_code: '49', trunk: '0'}`; both may be left out."""
    if not known(name, options, ("calling_code", "trunk"), row):
        return None
    given = {key: options.get(key, "") for key in ("calling_code", "trunk")}
    for key, value in given.items():
        if not isinstance(value, str) or not (value == "" or (value.isascii() and value.isdigit())):
            row.tell((name, key), f"{key} is digits only", f"quote them, for example {key}: '0'")
            return None
    code = given["calling_code"]
    if code.startswith("0") or len(code) > 3:
        row.tell((name, "calling_code"), f"'{code}' is no calling code", "for example '1' or '49'")
        return None
    if given["trunk"] and not code:
        row.tell((name, "trunk"), "a trunk prefix needs a calling_code", "add calling_code: '49'")
        return None
    return Phone(code, given["trunk"])


def country(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `country: {as: alpha3}`."""
    if not known(name, options, ("as",), row):
        return None
    form = _word(name, "as", options, COUNTRY_FORMS, "a country cannot be kept as", row)
    match form:
        case "alpha2" | "alpha3" | "name":
            return Country(form)
        case _:
            return None


def state(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `state: {country: US, as: name}`."""
    if not known(name, options, ("country", "as"), row):
        return None
    of, there = options.get("country"), countries_with_states()
    if of not in there:
        remedy = f"it knows {', '.join(there)}; use an enum for another country"
        row.tell((name, "country"), "state needs the country whose states it may be", remedy)
        return None
    form = _word(name, "as", options, STATE_FORMS, "a state cannot be kept as", row)
    match form:
        case "code" | "name":
            return State(str(of), form)
        case _:
            return None


def separated(name: str, options: Any, row: RowContext) -> Transform | None:
    """Read `list:`, `split:` and `join:`, which name their separator."""
    allowed = ("separator", "part") if name == "split" else ("separator",)
    if not known(name, options, allowed, row):
        return None
    separator, part = options.get("separator"), options.get("part", 1)
    if not isinstance(separator, str) or not 0 < len(separator) <= SEPARATOR_MAX:
        example = f"for example {_EXAMPLES[name]}"
        row.tell((name, "separator"), f"{name} needs a separator, a short text", example)
        return None
    if name == "split":
        if not whole(part) or not 1 <= part <= PART_MAX:
            row.tell((name, "part"), f"part counts from 1 to {PART_MAX}", "for example part: 1")
            return None
        return Split(separator, int(part))
    if name == "join":
        return Join(separator)
    return TextList(separator)


def _word(
    name: str, key: str, options: Any, allowed: Sequence[str], said: str, row: RowContext
) -> str:
    """Return an option that is one of these words; the first where it is left out, "" if wrong."""
    word = options.get(key, allowed[0])
    if word in allowed:
        return str(word)
    row.tell((name, key), f"{said} '{word}'", f"{', '.join(allowed[:-1])} or {allowed[-1]}")
    return ""


def _zone(name: str, options: Any, row: RowContext) -> tzinfo | None:
    given = options.get("zone", "UTC")
    if given == "UTC":
        return UTC
    try:
        return ZoneInfo(str(given))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(str(given), available_timezones(), n=1)
        remedy = f"did you mean {near[0]}?" if near else "for example Europe/Berlin"
        row.tell((name, "zone"), f"there is no time zone '{given}'", remedy)
        return None


_EXAMPLES = {
    "text": "text: {max: 80}",
    "money": "money: {scale: 2}",
    "number": "number: {scale: 0}",
    "phone": "phone: {calling_code: '49', trunk: '0'}",
    "country": "country: {as: alpha3}",
    "state": "state: {country: US, as: name}",
    "date": "date: {as: datetime}",
    "datetime": "datetime: {to: minute}",
    "list": "list: {separator: ';'}",
    "split": "split: {separator: ',', part: 1}",
    "join": "join: {separator: ' '}",
    "default": "default: {value: Standard}",
}

#: How each transform without a table of its own is read.
READERS: dict[str, Callable[[str, Any, RowContext], Transform | None]] = {
    "copy": copy,
    "text": text,
    "date": date,
    "datetime": moment,
    "money": number,
    "number": number,
    "list": separated,
    "json_list": plain(JsonList()),
    "split": separated,
    "join": separated,
    "country": country,
    "state": state,
    "phone": phone,
    "url": plain(Url()),
    "domain": plain(Domain()),
    "reference": plain(Reference()),
}

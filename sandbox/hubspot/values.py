"""Property values as HubSpot takes, normalises and gives them, and the errors it answers with.

Sources: HubSpot developer documentation, "Properties guide" (value formats) and "Error handling".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from sandbox.hubspot.schema import Property
from sandbox.org import SandboxError
from sandbox.records import Json

TEXT_LENGTH_MAX = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fault:
    """One property value that was not taken, worded as in `errors[]` of an error body."""

    code: str
    message: str
    property: str


@dataclass(eq=False)
class HubSpotError(SandboxError):
    """A call or a row that HubSpot refuses; carries all that its error body says."""

    status: int
    message: str
    category: str = ""
    sub_category: str = ""
    faults: Sequence[Fault] = ()
    context: Mapping[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def body(self, correlation_id: str) -> dict[str, object]:
        """The error body; keys that HubSpot leaves out when they are empty are left out."""
        body: dict[str, object] = {
            "status": "error",
            "message": self.message,
            "correlationId": correlation_id,
        }
        if self.faults:
            body["errors"] = [
                {"message": f.message, "code": f.code, "context": {"propertyName": [f.property]}}
                for f in self.faults
            ]
        if self.context:
            body["context"] = dict(self.context)
        if self.category:
            body["category"] = self.category
        if self.sub_category:
            body["subCategory"] = self.sub_category
        return body


def invalid_properties(faults: Sequence[Fault], portal_id: str) -> HubSpotError:
    """Word property faults as one 400; the message embeds JSON text, as HubSpot's does."""
    listed = [
        {
            "isValid": False,
            "message": fault.message,
            "error": fault.code,
            "name": fault.property,
            "portalId": int(portal_id),
        }
        for fault in faults
    ]
    message = f"Property values were not valid: {json.dumps(listed)}"
    return HubSpotError(400, message, "VALIDATION_ERROR", faults=tuple(faults))


def iso(moment: datetime) -> str:
    """Word a time as HubSpot does: UTC, milliseconds, and none when they are zero."""
    moment = moment.astimezone(UTC)
    base = moment.strftime("%Y-%m-%dT%H:%M:%S")
    millis = moment.microsecond // 1000
    return f"{base}.{millis:03d}Z" if millis else f"{base}Z"


def epoch_millis(moment: datetime) -> int:
    """Milliseconds since 1970, cut down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


class BadValue(ValueError):
    """A raw value that the property's type does not take: HubSpot's code and its words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def normalised(prop: Property, raw: Json, owner_exists: Callable[[str], bool]) -> str | None:
    """Turn a raw value into what the portal stores (None = cleared); raises `BadValue`."""
    text = _text(raw).strip()
    if not text:
        return None
    if prop.owner:
        if not owner_exists(text):
            raise BadValue("INVALID_OWNER_ID", f"Owner with id {text} does not exist")
        return text
    if prop.type == "checkbox":
        chosen = dict.fromkeys(part for part in text.split(";") if part)
        return ";".join(_one_of([value for value, _ in prop.options], each) for each in chosen)
    if prop.type == "enumeration":
        return _one_of([value for value, _ in prop.options], text)
    value = _NORMALISERS[prop.type](text)
    return value.lower() if prop.name == "domain" else value


def _text(raw: Json) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return "" if raw is None else str(raw)


def _string(text: str) -> str:
    if len(text) > TEXT_LENGTH_MAX:
        raise BadValue(
            "PROPERTY_VALUE_TOO_LONG",
            f"The value is longer than the {TEXT_LENGTH_MAX} characters a property takes",
        )
    return text


def _number(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise BadValue("INVALID_LONG", f"{text} was not a valid number.") from None
    if not number.is_finite():
        raise BadValue("INVALID_LONG", f"{text} was not a valid number.")
    # The scale that comes back may differ from the one sent: HubSpot keeps a number, not text.
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _bool(text: str) -> str:
    return _one_of(["true", "false"], text.lower())


def _one_of(allowed: Sequence[str], text: str) -> str:
    if allowed and text not in allowed:
        raise BadValue("INVALID_OPTION", f"{text} was not one of the allowed options: {allowed}")
    return text


def _date(text: str) -> str:
    wrong = BadValue("INVALID_DATE", f"{text} is not midnight UTC nor a date as YYYY-MM-DD.")
    try:
        if not text.lstrip("-").isdigit():
            return date.fromisoformat(text).isoformat()
        moment = _EPOCH + timedelta(milliseconds=int(text))
    except (ValueError, OverflowError):
        raise wrong from None
    if moment.time() != _EPOCH.time():
        raise wrong
    return moment.date().isoformat()


def _datetime(text: str) -> str:
    try:
        if text.lstrip("-").isdigit():
            return iso(_EPOCH + timedelta(milliseconds=int(text)))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise BadValue("INVALID_DATE", f"{text} was not a valid date.") from None
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


_NORMALISERS: Mapping[str, Callable[[str], str]] = {
    "string": _string,
    "phone_number": _string,
    "number": _number,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
}

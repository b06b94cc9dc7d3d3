"""Transforms of countries and states between codes and English names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

from mapping.transforms.base import OneForm, Untranslatable
from mapping.transforms.codes import COUNTRIES, OTHER_NAMES, STATES
from registration_core.contracts import Value

#: How a CRM may keep a country.
COUNTRY_FORMS = ("alpha2", "alpha3", "name")
#: How a CRM may keep a state.
STATE_FORMS = ("code", "name")


@dataclass(frozen=True)
class Country(OneForm):
    """A country, ours as ISO 3166-1 alpha-2; codes and English names are read in any case.

    One form is written. Names in other languages are refused: use an enum for those.
    """

    form: Literal["alpha2", "alpha3", "name"] = "alpha2"
    name: ClassVar[str] = "country"

    def longest(self) -> int | None:
        position = COUNTRY_FORMS.index(self.form)
        return max(len(forms[position]) for forms in _countries().values())

    def _read(self, value: Value) -> Value:
        return self._form(str(super()._read(value)))

    def _form(self, text: str) -> str | None:
        code = _country_codes().get(text.casefold())
        if code is None:
            raise Untranslatable("is no country we know")
        return code

    def _write(self, value: Value) -> Value:
        code = str(super()._write(value))
        return _countries()[code][COUNTRY_FORMS.index(self.form)]


@dataclass(frozen=True)
class State(OneForm):
    """A state or province of one country, ours as its ISO 3166-2 code without the country."""

    country: str
    form: Literal["code", "name"] = "code"
    name: ClassVar[str] = "state"

    def longest(self) -> int | None:
        position = STATE_FORMS.index(self.form)
        return max(len(forms[position]) for forms in states(self.country).values())

    def _form(self, text: str) -> str | None:
        known = states(self.country)
        wanted = text.casefold().removeprefix(f"{self.country.casefold()}-")
        for code, (_, full) in known.items():
            if wanted in (code.casefold(), full.casefold()):
                return code
        raise Untranslatable(f"is no state of {self.country} we know")

    def _write(self, value: Value) -> Value:
        code = str(super()._write(value))
        return states(self.country)[code][STATE_FORMS.index(self.form)]


@cache
def states(country: str) -> Mapping[str, tuple[str, str]]:
    """Return code and name of a country's states by code; empty where we know none."""
    found: dict[str, tuple[str, str]] = {}
    for line in STATES.splitlines():
        of, _, entries = line.partition(": ")
        for entry in entries.split("; ") if of == country else ():
            code, _, full = entry.partition(" ")
            found[code] = (code, full)
    return found


@cache
def countries_with_states() -> tuple[str, ...]:
    """Return the countries whose states we know."""
    return tuple(dict.fromkeys(line.partition(":")[0] for line in STATES.splitlines()))


@cache
def _countries() -> Mapping[str, tuple[str, str, str]]:
    rows = (line.split(" ", 2) for line in COUNTRIES.splitlines())
    return {alpha2: (alpha2, alpha3, full) for alpha2, alpha3, full in rows}


@cache
def _country_codes() -> Mapping[str, str]:
    codes = {form.casefold(): alpha2 for alpha2, forms in _countries().items() for form in forms}
    for line in OTHER_NAMES.splitlines():
        alpha2, _, other = line.partition(" ")
        codes[other.casefold()] = alpha2
    return codes

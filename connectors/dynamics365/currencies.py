"""The currencies of one environment, by id and by ISO code."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.dynamics365.transport import Transport

_QUERY = "transactioncurrencies?$select=transactioncurrencyid,isocurrencycode"


@dataclass(frozen=True)
class CurrencyTable:
    """ISO codes by id, and ids by ISO code."""

    codes: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)


class Currencies:
    """Reads the currencies once, and again when one is met that is not known; thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._known = CurrencyTable()

    def with_ids(self, ids: Iterable[str]) -> CurrencyTable:
        """Return the table; these ids are in it unless our user cannot see them."""
        with self._lock:
            if not set(ids) <= self._known.codes.keys():
                self._known = self._read()
            return self._known

    def with_codes(self, codes: Iterable[str]) -> CurrencyTable:
        """Return the table; these codes are in it unless the environment does not have them."""
        with self._lock:
            if not set(codes) <= self._known.ids.keys():
                self._known = self._read()
            return self._known

    def _read(self) -> CurrencyTable:
        rows = self._transport.get_json(_QUERY, "read currencies")["value"]
        codes = {row["transactioncurrencyid"].lower(): row["isocurrencycode"] for row in rows}
        return CurrencyTable(codes, {code: record_id for record_id, code in codes.items()})

"""What a check by somebody else's client finds, and how a run of checks is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Differs(AssertionError):
    """A client saw something else than the vendor documents."""


def expect(seen: object, wanted: object, what: str) -> None:
    """Compare what a client saw with what it has to see."""
    if seen != wanted:
        raise Differs(f"{what}: {seen!r}, not {wanted!r}")


def told(checks: Mapping[str, Callable[[], None]]) -> int:
    """Run every check, say how each went, and return 1 if one failed, else 0."""
    failed = 0
    for name, check in checks.items():
        try:
            check()
        except Exception as difference:  # noqa: BLE001 - told, and the next check still runs
            print(f"FAILED  {name}: {type(difference).__name__}: {difference}")
            failed = 1
        else:
            print(f"ok      {name}")
    return failed

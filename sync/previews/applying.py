"""Apply a mapping, or go back to the one before: what it would touch first, then in force.

Weighing is a preview of every registration under the draft, with the very plans that the next
runs make. Nothing is written to a CRM here; the registrations that the draft touches become due.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mapping.schema import ConnectionMapping
from registration_core.errors import ConfigurationError, DomainRefusal
from registration_core.model import Actor
from sync.mappings import mapping_versions
from sync.mappings.connecting import check_against_all
from sync.mappings.mapping_versions import MappingVersion
from sync.previews.previewing import Does, Previews, preview_many
from sync.process.runtime import Runtime

#: So many registrations may be touched without a question.
TOUCHED_UNASKED = 20
#: What a registration may come to without being touched.
_UNTOUCHED = frozenset({Does.AGREE, Does.WAIT})


@dataclass(frozen=True)
class Weighed:
    """What putting a mapping in force would do."""

    mapping: ConnectionMapping
    #: Number of the version in force; 0 for none.
    seen: int
    previews: Previews

    @property
    def touched(self) -> tuple[str, ...]:
        """Ids of the registrations that would be created, written, changed here, or asked about."""
        found = self.previews.registrations
        return tuple(p.job.registration.id for p in found if p.does not in _UNTOUCHED)

    @property
    def fields(self) -> int:
        """Fields that would move on either side."""
        moving = (p for p in self.previews.registrations if p.does not in _UNTOUCHED)
        return sum(len(preview.fields) for preview in moving)

    @property
    def asks(self) -> bool:
        """Whether a person has to say yes first."""
        return len(self.touched) > TOUCHED_UNASKED


def weigh(runtime: Runtime, draft: ConnectionMapping) -> Weighed:
    """Look what a draft would do; reads the CRM, writes nothing.

    Raises:
        DomainRefusal: It is in force already.
        ConfigurationError: It does not fit the live schema; lists every problem.
        ConnectorError: The CRM could not be read.
    """
    name = draft.connection
    with runtime.database.read() as session:
        known = mapping_versions.versions(session, name)
    if known and known[0].digest == draft.version:
        raise DomainRefusal(
            f"This mapping of {name} is in force already, as version {known[0].number}.",
            hint=f"See the versions: dealreg mapping versions {name}",
        )
    under = replace(runtime, mappings={**runtime.mappings, name: draft})
    report = check_against_all(under, name)
    if report.problems:
        raise ConfigurationError(f"The mapping of {name} does not fit the CRM.", report.problems)
    return Weighed(draft, known[0].number if known else 0, preview_many(under, name))


def apply(runtime: Runtime, weighed: Weighed, actor: Actor) -> MappingVersion:
    """Put a weighed mapping in force; what it touches is due at once.

    Raises:
        DomainRefusal: Somebody else put another one in force meanwhile.
    """
    with runtime.database.begin(actor) as unit:
        return mapping_versions.put_in_force(
            unit, weighed.mapping, seen=weighed.seen, touched=weighed.touched
        )

"""The deal registration programs of a deployment: `programs/*.yaml` as core values.

A program is named after its file. Its version is a digest of the rules it comes to, defaults
included: a reworded comment is no new version, a changed default is one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from config.authority import DEFAULT_AUTHORITY
from config.documents import Document, read, validate
from config.program_file import CONNECTIONS, PredicateEntry, ProductLineEntry, ProgramFile
from registration_core.contracts import Condition, ConnectionName, FieldType
from registration_core.errors import ConfigurationError, Problem
from registration_core.fields import FieldGroup
from registration_core.findings import (
    ALWAYS_REVIEWED,
    USUAL_RULES,
    Decision,
    FindingKind,
    FindingRule,
)
from registration_core.program import (
    MANUAL,
    REQUIRED_LISTS,
    AccountList,
    Authority,
    CustomField,
    Exclusivity,
    HomeRule,
    ListKind,
    ListTerms,
    LowRiskRule,
    Phase,
    ProductLine,
    Program,
)

FOLDER_NAME = "programs"

#: Oldest evidence that counts where a program does not say: a quarter of an hour.
DEFAULT_FRESHNESS_SECONDS = 900

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def load_programs(config_dir: Path, connections: Collection[ConnectionName]) -> dict[str, Program]:
    """Read every program, by name.

    Args:
        config_dir: The folder that holds `programs/`.
        connections: Every name in `connections.yaml` (`Connections.names`); one that cannot be
            used at the moment counts, so that its program waits instead of checking less.

    Raises:
        ConfigurationError: Lists every problem of every file.
    """
    problems: list[Problem] = []
    programs: dict[str, Program] = {}
    for path in sorted((config_dir / FOLDER_NAME).glob("*.yaml")):
        try:
            program = _program(path, connections)
        except ConfigurationError as error:
            problems += error.problems or [Problem(f"{FOLDER_NAME}/{path.name}", error.message)]
        else:
            programs[program.name] = program
    problems += _unlike(programs.values())
    if not programs and not problems:
        what = f"there is no program in {config_dir / FOLDER_NAME}"
        problems.append(Problem(FOLDER_NAME, what, "add NAME.yaml"))
    if problems:
        raise ConfigurationError("The programs cannot be used.", problems)
    return programs


def _unlike(programs: Iterable[Program]) -> Iterator[Problem]:
    """Tell of a list that two programs read differently in one connection.

    An account is on a list or not, and the list is counted once, whatever the program.
    """
    said: dict[tuple[ListKind, ConnectionName], tuple[str, AccountList]] = {}
    for program in programs:
        for rule in program.lists:
            asked = dataclasses.replace(rule, canary_tax_ids=())
            own = (program.name, asked)
            other, theirs = said.setdefault((rule.kind, rule.connection), own)
            if theirs != asked:
                what = f"lists.{rule.kind}: {rule.connection} is read otherwise in {other}.yaml"
                remedy = "say the same in both"
                yield Problem(f"{FOLDER_NAME}/{program.name}.yaml", what, remedy)


def _program(path: Path, connections: Collection[ConnectionName]) -> Program:
    document = read(path, f"{FOLDER_NAME}/{path.name}")
    entry = validate(document, ProgramFile, {CONNECTIONS: frozenset(connections)})
    checker = _Checker(document, entry, connections)
    checker.check()
    if not _NAME.fullmatch(path.stem):
        what = f"{path.stem} cannot be the name of a program"
        checker.say([], what, "name the file with a-z, 0-9, - and _, a letter first")
    if checker.problems:
        raise ConfigurationError(f"{document.name} cannot be used.", checker.problems)
    program = Program(
        name=path.stem,
        version="",
        homes=tuple(
            HomeRule(ConnectionName(home.connection), frozenset(home.countries))
            for home in entry.connections.homes
        ),
        mirrors=_names(entry.connections.mirrors),
        check_only=checker.check_only,
        required_connections=checker.required,
        freshness_seconds={
            name: entry.checks.freshness_seconds.get(name, DEFAULT_FRESHNESS_SECONDS)
            for name in _names(checker.connections)
        },
        product_lines={code: _line(code, line) for code, line in entry.product_lines.items()},
        lists=tuple(
            _list(kind, name, predicate)
            for kind, found in entry.lists.items()
            for name, predicate in found.where.items()
        ),
        list_terms={
            kind: terms
            for kind, found in entry.lists.items()
            if (terms := ListTerms(found.owner, found.reason, found.notice_days)) != ListTerms()
        },
        protection_days=entry.protection_days,
        currencies=frozenset(entry.currencies),
        amount_at_least=entry.amount_at_least,
        low_risk=_low_risk(entry),
        authority=_authority(entry),
        custom_fields={
            name: CustomField(
                name, f.type, f.label, f.required, tuple(f.options) if f.options else None
            )
            for name, f in entry.custom_fields.items()
        },
        list_shrink_limit=Decimal(entry.checks.list_shrink_limit_percent) / 100,
        findings=_findings(entry),
        activity_days=entry.checks.activity_days,
        customer_days=entry.checks.existing_customer_days,
        tender_field=entry.checks.tender_field,
    )
    return dataclasses.replace(program, version=_version(program))


def _names(names: Sequence[str]) -> tuple[ConnectionName, ...]:
    return tuple(ConnectionName(name) for name in names)


def _line(code: str, line: ProductLineEntry) -> ProductLine:
    slots = {Exclusivity.EXCLUSIVE: 1, Exclusivity.OPEN: 0}.get(line.exclusivity, line.slots or 0)
    return ProductLine(code, line.label, line.exclusivity, slots)


def _list(kind: ListKind, connection: str, predicate: PredicateEntry) -> AccountList:
    where = (Condition(predicate.field, (predicate.equals,)),)
    return AccountList(
        kind, ConnectionName(connection), where, tuple(predicate.canary_tax_id),
        predicate.owner_field or "", predicate.reason_field or "",
    )  # fmt: skip


def _low_risk(entry: ProgramFile) -> LowRiskRule | None:
    rule = entry.low_risk
    if rule is None:
        return None
    return LowRiskRule(rule.amount_at_most, rule.currency, frozenset(rule.partner_tiers))


def _findings(entry: ProgramFile) -> dict[FindingKind, FindingRule]:
    """Lay the program's own decisions over the usual ones."""
    rules = dict(USUAL_RULES)
    for kind, own in entry.findings.items():
        usual = USUAL_RULES[kind]
        rules[kind] = FindingRule(own.decision or usual.decision, own.reason or usual.reason)
    return rules


def _authority(entry: ProgramFile) -> dict[FieldGroup, dict[Phase, Authority]]:
    """Lay the program's own rules over the shipped ones, by group and phase."""
    table = {group: dict(phases) for group, phases in DEFAULT_AUTHORITY.items()}
    for group, phases in entry.authority.items():
        for phase, rule in phases.items():
            table[group][phase] = Authority(frozenset(rule.writers), rule.wins)
    return table


def _version(program: Program) -> str:
    """Digest the rules; the order of a file's keys does not count."""

    def plain(value: Any) -> Any:
        return sorted(value) if isinstance(value, frozenset) else str(value)

    text = json.dumps(dataclasses.asdict(program), default=plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class _Checker:
    """Checks what several values of one file must fulfil together."""

    def __init__(
        self, document: Document, entry: ProgramFile, connections: Collection[ConnectionName]
    ) -> None:
        self._document = document
        self._entry = entry
        roles = entry.connections
        homes = {home.connection for home in roles.homes}
        # The only home is home everywhere; one of several needs a part where it is not.
        parted = set(roles.mirrors) | (homes if len(homes) == 1 else set())
        #: Read for checks only where not home: as the file says, or whatever has no other part.
        self.check_only = (
            tuple(sorted(name for name in connections if name not in parted))
            if roles.check_only is None
            else _names(roles.check_only)
        )
        self._homes_without_part = sorted(homes - parted - set(self.check_only))
        #: Every connection that has a part in the program.
        self.connections = sorted(homes | parted | set(self.check_only))
        required = entry.checks.required
        self.required = _names(self.connections if required is None else required)
        self.problems: list[Problem] = []

    def say(self, path: Sequence[str | int], what: str, remedy: str) -> None:
        """Note a problem at a place of the file."""
        self.problems.append(self._document.problem(path, what, remedy))

    def check(self) -> None:
        """Gather every problem."""
        self._roles()
        self._checks()
        self._lists()
        self._product_lines()
        self._money()
        self._authority()
        self._custom_fields()
        self._findings()

    def _roles(self) -> None:
        roles = self._entry.connections
        seen: dict[str, str] = {}
        for number, home in enumerate(roles.homes):
            at: list[str | int] = ["connections", "homes", number]
            last = number == len(roles.homes) - 1
            if last and home.countries:
                what = "the last home must fit every other country"
                self.say(at, what, "add a home without countries at the end")
            if not last and not home.countries:
                what = f"{home.connection} fits everywhere, so no home after it is ever taken"
                self.say(at, what, "name its countries, or make it the last")
            for country in home.countries:
                if country in seen:
                    what = f"{country} has a home already: {seen[country]}"
                    self.say([*at, "countries"], what, "keep one of the two")
                seen.setdefault(country, home.connection)
        for name in self._homes_without_part:
            what = f"connections: {name} has no part where another connection is home"
            self.say(["connections"], what, "add it to mirrors or check_only")
        for name in roles.check_only or ():
            if name in roles.mirrors:
                what = f"{name} is a mirror and check_only at once"
                self.say(["connections", "check_only"], what, "keep one of the two")

    def _checks(self) -> None:
        if not self.required:
            what = "checks.required: an approval must rest on at least one connection"
            remedy = "name connections, or remove the key to require every one"
            self.say(["checks", "required"], what, remedy)
        for name in self.required:
            if name not in self.connections:
                what = f"checks.required: {name} has no part in this program"
                self.say(["checks", "required"], what, "give it one under connections")
        for dated in self._entry.checks.freshness_seconds:
            if dated not in self.required:
                what = f"checks.freshness_seconds: {dated} is not required by this program"
                self.say(["checks", "freshness_seconds", dated], what, "remove it")

    def _lists(self) -> None:
        for kind in REQUIRED_LISTS:
            if kind not in self._entry.lists:
                what = f"lists.{kind}: it is missing, so no check could ever be complete"
                self.say(["lists"], what, "say per connection who is on it, and its canary")
        for kind, found in self._entry.lists.items():
            for name in self.required:
                if name not in found.where:
                    what = f"lists.{kind}: {name} is required for checks but has no predicate here"
                    remedy = f"add {name} with field, equals and canary_tax_id"
                    self.say(["lists", kind, "where"], what, remedy)
            for listed in found.where:
                if listed not in self.connections:
                    what = f"lists.{kind}: {listed} has no part in this program"
                    self.say(["lists", kind, "where", listed], what, "give it one, or remove it")

    def _product_lines(self) -> None:
        for code, line in self._entry.product_lines.items():
            at = ["product_lines", code]
            shared = line.exclusivity is Exclusivity.SHARED
            if shared and line.slots is None:
                what = f"product_lines.{code}: a shared line needs slots"
                self.say(at, what, "say how many partners it protects")
            if not shared and line.slots is not None:
                what = f"product_lines.{code}: only a shared line has slots"
                self.say([*at, "slots"], what, "remove it")

    def _money(self) -> None:
        rule = self._entry.low_risk
        if rule is not None and rule.currency not in self._entry.currencies:
            what = f"low_risk.currency: {rule.currency} is not a currency of this program"
            self.say(["low_risk", "currency"], what, "use one of currencies")
        if rule is not None and rule.amount_at_most < self._entry.amount_at_least:
            what = "low_risk.amount_at_most: it is below amount_at_least, so nothing ever fits"
            self.say(["low_risk", "amount_at_most"], what, "raise it, or remove low_risk")

    def _authority(self) -> None:
        for group, phases in self._entry.authority.items():
            for phase, rule in phases.items():
                if rule.wins != MANUAL and rule.wins not in rule.writers:
                    what = f"authority.{group}.{phase}: {rule.wins} wins but may not write"
                    remedy = "add it to writers, or let a writer win"
                    self.say(["authority", group, phase, "wins"], what, remedy)

    def _custom_fields(self) -> None:
        picklists = (FieldType.PICKLIST, FieldType.MULTI_PICKLIST)
        for name, found in self._entry.custom_fields.items():
            at = ["custom_fields", name]
            if found.type in picklists and not found.options:
                self.say(at, f"custom_fields.{name}: a picklist needs options", "list them")
            if found.type not in picklists and found.options:
                what = f"custom_fields.{name}: only a picklist has options"
                self.say([*at, "options"], what, "remove them")

    def _findings(self) -> None:
        for kind, rule in self._entry.findings.items():
            if kind in ALWAYS_REVIEWED and rule.decision not in (None, Decision.REVIEW):
                what = f"findings.{kind}: a person always decides on these"
                self.say(["findings", kind, "decision"], what, "remove it, or say review")
        tender = self._entry.checks.tender_field
        if tender and tender not in self._entry.custom_fields:
            what = f"checks.tender_field: there is no custom field {tender}"
            self.say(["checks", "tender_field"], what, "add it under custom_fields")

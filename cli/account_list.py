"""`dealreg account-list`: who may not be registered, or only by somebody's leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from cli import customer
from cli.frame import Exit, Frame, Noun, pass_frame
from cli.values import capitals, day, text
from registration_core.errors import InvalidInput, NotAllowed

if TYPE_CHECKING:
    from cli.csv_file import Line
    from registration_core.model import Actor, ListEntry
    from registration_core.program import ListKind, ListTerms
    from registration_core.store.account_lists import Brought
    from registration_core.store.database import Database

#: What a list that no CRM keeps is from.
_FILE = "file"
_KINDS = ("direct", "house", "do_not_call", "named", "embargo", "customer")
_REQUIRED = ("name", "valid_from", "reason")
_OPTIONAL = ("country", *customer.COLUMNS, "owner", "valid_until", "notice_days")
#: A file that would end more than this share of a list is taken only when that is said.
_ENDED_AT_MOST = 0.2
#: Most entries that are shown at once.
_SHOWN_MAX = 500
Parsed = TypeVar("Parsed")

_LIST = click.argument("kind", metavar="LIST", type=click.Choice(_KINDS))


@click.group("account-list", cls=Noun)
def account_list() -> None:
    """Account lists: from files here, and from the CRMs by the program's predicates."""


@account_list.command("import")
@_LIST
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would happen; keep nothing.")
@click.option("--shrink", is_flag=True, help="Take a file that ends more than a fifth of the list.")
@pass_frame
def import_(frame: Frame, kind: str, file: Path, *, dry_run: bool, shrink: bool) -> None:
    """Make a list what a CSV file says; what the file does not name any more is ended.

    The first line names the columns: name, valid_from, reason; and if you like country, what else is
    known of the account (the same columns as in an import file of registrations), owner,
    valid_until, notice_days. A file with one bad row is not taken.
    Importing a file again changes nothing. Claims that an entry concerns are checked again.
    """
    from cli.csv_file import read_file
    from registration_core.program import ListKind

    wanted, bad = _entries(read_file(file, _REQUIRED, _OPTIONAL), ListKind(kind))
    if bad:
        frame.out.table(
            bad, {"line": "Line", "reason": "Reason", "fix": "Fix"}, empty="", title="Not taken:"
        )
        frame.out.say("Nothing was changed. Correct these rows and import the file again.")
        frame.exit(Exit.FAILED)
    with frame.database() as database:
        brought = _bring(
            database, frame.actor, ListKind(kind), wanted, file.name, shrink=shrink, dry_run=dry_run
        )
    told = "would be" if dry_run else "were"
    frame.out.done(
        f"{len(brought.added)} entries {told} added, {len(brought.ended)} ended, "
        f"{brought.kept} stay; {len(brought.concerned)} protected registrations {told} checked again.",
        {
            "list": kind, "added": len(brought.added), "ended": len(brought.ended),
            "kept": brought.kept, "rechecked": len(brought.concerned), "dry_run": dry_run,
        },
    )  # fmt: skip


@account_list.command("list")
@pass_frame
def list_(frame: Frame) -> None:
    """List the account lists: entries from files, and accounts by each CRM's predicate."""
    from registration_core.program import ListTerms
    from registration_core.store import account_lists

    with frame.database() as database, database.read() as session:
        entries = account_lists.counts(session)
        counted = account_lists.crm_counts(session)
    terms = _terms(frame)
    rows = []
    for kind, connection in sorted({*entries, *counted}):
        count = counted.get((kind, connection))
        rows.append(
            {
                "list": kind, "where": _where(connection),
                "accounts": entries.get((kind, connection), 0),
                "counted": count.accounts if count else None,
                "counted_at": count.counted_at if count else None,
                **asdict(terms.get(kind, ListTerms())),
            }
        )  # fmt: skip
    frame.out.table(
        rows,
        {
            "list": "List", "where": "From", "accounts": "Accounts", "counted": "Counted there",
            "counted_at": "At", "owner": "Owner", "reason": "Reason", "notice_days": "Notice",
        },
        empty="No list was read yet. Import one: dealreg account-list import LIST FILE",
    )  # fmt: skip


@account_list.command()
@_LIST
@click.option("--all", "everything", is_flag=True, help="Entries that were ended too: the history.")
@click.option(
    "--from", "where", metavar="WHERE", default="", help="Only of a connection, or: file."
)
@click.option("--about", metavar="TEXT", default="", help="Only with this in name, website or ids.")
@pass_frame
def show(frame: Frame, kind: str, *, everything: bool, where: str, about: str) -> None:
    """Show who is on a list, since when and why, newest first; by files and by the CRMs.

    An account that a CRM puts on a list counts from the day on which it was first seen there; one
    that was there when the list was first read has no such day.
    """
    from registration_core.model import LIST_FILE
    from registration_core.program import ListKind, ListTerms
    from registration_core.store import account_lists

    with frame.database() as database, database.read() as session:
        rows = account_lists.history(
            session, ListKind(kind), ended=everything, about=about, limit=_SHOWN_MAX,
            connection=LIST_FILE if where == _FILE else where,
        )  # fmt: skip
    usual = asdict(_terms(frame).get(ListKind(kind), ListTerms()))
    for row in rows:
        row["where"] = _where(str(row.pop("connection")))
        for name, value in usual.items():
            row[name] = row[name] if row[name] not in ("", None) else value
    frame.out.table(
        rows,
        {
            "name": "Name", "country": "", "website": "Website", "tax_id": "Tax id",
            "owner": "Owner", "reason": "Reason", "valid_from": "From", "valid_until": "Until",
            "notice_days": "Notice", "where": "Where", "source": "File", "added_at": "Added",
            "added_by": "By", "ended_at": "Ended",
        },
        empty="Nobody is on it that fits. It is read from the CRMs by each check, and from files: "
        f"dealreg account-list import {kind} FILE",
    )  # fmt: skip
    if len(rows) == _SHOWN_MAX:
        frame.out.say(f"Only the newest {_SHOWN_MAX} are shown. Narrow them by --from or --about.")


def _where(connection: str) -> str:
    from registration_core.model import LIST_FILE

    return _FILE if connection == LIST_FILE else connection


def _terms(frame: Frame) -> dict[ListKind, ListTerms]:
    """Return what the programs say of each list as a whole; of several, what all say alike."""
    from registration_core.program import ListTerms

    said: dict[ListKind, ListTerms] = {}
    for program in frame.programs().values():
        for kind, terms in program.list_terms.items():
            alike = said.setdefault(kind, terms) == terms
            said[kind] = terms if alike else ListTerms()
    return said


@account_list.command("accept-count")
@click.argument("connection")
@_LIST
@pass_frame
def accept_count(frame: Frame, connection: str, kind: str) -> None:
    """Accept the present length of a CRM's list that really became shorter.

    Checks that waited because the list had shrunk go on by themselves.
    """
    from registration_core.contracts import ConnectionName
    from registration_core.program import ListKind
    from sync.accounts import completeness

    name = ConnectionName(connection)
    with frame.runtime() as runtime:
        accounts = completeness.accept_list(runtime, name, ListKind(kind), frame.actor)
    said = f"The {kind.replace('_', ' ')} list of {name} is taken to have {accounts} accounts."
    frame.out.done(said, {"connection": name, "list": kind, "accounts": accounts})


class _NotKept(Exception):
    """Ends the transaction of a dry run."""


def _bring(
    database: Database,
    actor: Actor,
    kind: ListKind,
    wanted: list[ListEntry],
    source: str,
    *,
    shrink: bool,
    dry_run: bool,
) -> Brought:
    """Bring a list up to date in one commit; returns what changed."""
    from registration_core.model import LIST_FILE
    from registration_core.store import account_lists

    brought: Brought
    try:
        with database.begin(actor) as unit:
            before = account_lists.counts(unit.session).get((kind, LIST_FILE), 0)
            brought = account_lists.bring(unit, kind, wanted, source)
            if len(brought.ended) > before * _ENDED_AT_MOST and not (shrink or dry_run):
                raise NotAllowed(
                    f"{source} would end {len(brought.ended)} of {before} entries of the list.",
                    hint="If that is right, type the same with --shrink.",
                )
            if dry_run:
                raise _NotKept
    except _NotKept:
        pass
    return brought


def _entries(lines: list[Line], kind: ListKind) -> tuple[list[ListEntry], list[dict[str, object]]]:
    """Read every row; those that cannot be read are told with line, reason and fix."""
    entries, bad = [], list[dict[str, object]]()
    for line in lines:
        try:
            if line.broken:
                raise InvalidInput(line.broken, hint=line.remedy)
            entries.append(_entry(line.cells, kind))
        except InvalidInput as error:
            reason = ": ".join(filter(None, (error.field, error.message)))
            bad.append({"line": line.number, "reason": reason, "fix": error.hint})
    return entries, bad


def _entry(cells: dict[str, str], kind: ListKind) -> ListEntry:
    from registration_core.model import Customer, ListEntry
    from registration_core.submission import wrong_facts

    def read(name: str, parse: Callable[[str], Parsed], empty: Parsed) -> Parsed:
        return customer.read(cells, name, parse) if cells.get(name, "").strip() else empty

    for name in _REQUIRED:
        if not cells[name].strip():
            raise InvalidInput("It is empty.", field=name, hint="Fill it in.")
    listed = Customer(
        name=read("name", text, ""), country=read("country", capitals, ""), **customer.facts(cells)
    )
    for name, what, remedy in wrong_facts(listed):
        raise InvalidInput(f"{what[0].upper()}{what[1:]}.", field=name, hint=remedy)
    return ListEntry(
        id="",
        kind=kind,
        customer=listed,
        owner=read("owner", text, ""),
        reason=read("reason", lambda raw: text(raw, 1000), ""),
        valid_from=read("valid_from", day, date.min),
        valid_until=read("valid_until", day, None),
        notice_days=read("notice_days", _days, 0),
    )


def _days(raw: str) -> int:
    if not raw.isdecimal() or int(raw) > 366:
        raise InvalidInput(f"{raw[:40]!r} is not a number of days.", hint="Write 0 to 366.")
    return int(raw)

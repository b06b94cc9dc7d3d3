"""`dealreg db`: the store's tables and their version (Alembic)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.frame import Exit, Frame, Noun, pass_frame
from cli.progress import Progress

if TYPE_CHECKING:
    from alembic.config import Config

    from config.settings import Settings
    from migrations.standing import Standing

MIGRATIONS_DIR = Path(__file__).resolve().parents[1] / "migrations"


@click.group(cls=Noun)
def db() -> None:
    """The store's tables."""


@db.command()
@pass_frame
def upgrade(frame: Frame) -> None:
    """Make the tables, or bring them to this version. May be repeated."""
    before, after = upgrade_store(frame.settings)
    text = f"The store is at {after}." if before == after else f"The store went to {after}."
    made = _make_keys(frame, only_if_needed=True)
    if made is not None:
        text += f" The match keys of {made:,} accounts were made anew."
    frame.out.done(text, {"before": before, "after": after, "match_keys_of": made})


@db.command()
@pass_frame
def reindex(frame: Frame) -> None:
    """Make every match key anew, and count them. Checks wait until it is done; may be repeated."""
    require_current(frame.settings)
    made = _make_keys(frame, only_if_needed=False)
    frame.out.done(f"The match keys of {made:,} accounts were made anew.", {"accounts": made})


@db.command()
@pass_frame
def prune(frame: Frame) -> None:
    """Delete what is too old to be kept, as the clock does every night."""
    from sync.process import housekeeping

    require_current(frame.settings)
    with frame.database() as database:
        deleted = housekeeping.prune(database)
    rows = [{"table": name, "deleted": count} for name, count in deleted.items()]
    frame.out.table(rows, {"table": "Table", "deleted": "Deleted"}, empty="")


@db.command()
@pass_frame
def rebaseline(frame: Frame) -> None:
    """After the store was restored from a backup: hold everything it would write to the CRMs.

    Type it before any other process is started. Reads every linked record; writes nothing to a CRM.
    """
    from sync.repair import restoring

    require_current(frame.settings)
    with frame.runtime() as runtime:
        held = {
            name: restoring.hold_pushes(runtime, name, frame.actor)
            for name in sorted(runtime.connectors)
        }
    rows = [{"connection": name, "held": count} for name, count in held.items()]
    frame.out.table(rows, {"connection": "Connection", "held": "Held"}, empty="")
    if any(held.values()):
        frame.out.say("Look at each change, then release or discard: dealreg held list")
        frame.exit(Exit.NEEDS_A_HUMAN)


@db.command()
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_frame
def erase(frame: Frame, texts: tuple[str, ...], *, yes: bool) -> None:
    """Erase a person: these texts, such as an e-mail address, a full name, a phone, in every table.

    A phone number is found in whatever way it is written. Cannot be undone. Erase the person in the CRMs first, or what stands there is read again. The
    audit trail still verifies.
    """
    from registration_core.store import erasure

    require_current(frame.settings)
    if not yes:
        click.confirm(f"Erase {', '.join(texts)} for good?", abort=True, err=True)
    with frame.database() as database, database.begin(frame.actor) as unit:
        rows = erasure.erase(unit, texts)
    told = [{"table": name, "rows": count} for name, count in sorted(rows.items())]
    frame.out.table(told, {"table": "Table", "rows": "Rows"}, empty="It stands nowhere.")


@db.command()
@pass_frame
def current(frame: Frame) -> None:
    """Tell the version of the tables and of this program."""
    stands = _standing(frame.settings)
    frame.out.done(str(stands), {"current": stands.version, "wanted": stands.wanted})


@db.command()
@pass_frame
def check(frame: Frame) -> None:
    """Fail unless the store answers and its tables are of this version."""
    from migrations.standing import Tables

    stands = _standing(frame.settings)
    fits = stands.tables is Tables.CURRENT
    text = (
        f"The store answers and is at {stands.wanted}."
        if fits
        else f"{stands} {stands.what_to_type}"
    )
    frame.out.done(text, {"ok": fits, "current": stands.version, "wanted": stands.wanted})
    if not fits:
        frame.exit(Exit.FAILED)


def _make_keys(frame: Frame, *, only_if_needed: bool) -> int | None:
    """Make the match keys anew; returns of how many accounts, None if that was not needed."""
    from registration_core.store import match_index, match_upkeep

    with frame.database() as database:
        with database.read() as session:
            needed = not match_index.reliable(session)
        if only_if_needed and not needed:
            return None
        return match_upkeep.rebuild(database, Progress("accounts").at)


def upgrade_store(settings: Settings) -> tuple[str | None, str | None]:
    """Bring the store to the newest version; returns the versions before and after."""
    from alembic import command

    from migrations.standing import Tables

    _make_folder(settings)
    before = _standing(settings)
    if before.tables is Tables.NEWER:  # Alembic would not know where to begin
        before.require_current()
    command.upgrade(_alembic(settings), "head")
    return before.version, before.wanted


def require_current(settings: Settings) -> None:
    """Refuse to run on tables of another version."""
    _standing(settings).require_current()


def _make_folder(settings: Settings) -> None:
    """Make the folder of an embedded store; only its owner may look into it."""
    from sqlalchemy.engine import make_url

    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _alembic(settings: Settings) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", settings.database_url.replace("%", "%%"))
    return config


def _standing(settings: Settings) -> Standing:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.pool import NullPool

    from migrations import standing
    from registration_core.store.database import StoreUnavailable

    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return standing.of(None)  # connecting would make the file
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            return standing.of(standing.version_in(connection))
    except OperationalError as error:
        raise StoreUnavailable(
            "The store does not answer.",
            hint="Check DEALREG_DATABASE_URL and that the database runs.",
        ) from error

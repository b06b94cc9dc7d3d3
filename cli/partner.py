"""`dealreg partner`: the companies that register deals."""

from __future__ import annotations

import click

from cli.frame import Frame, Noun, pass_frame


@click.group(cls=Noun)
def partner() -> None:
    """Partners: who may register deals."""


@partner.command()
@click.argument("code")
@click.option("--name", required=True, help="Company name.")
@click.option("--tier", default="", help="Program tier, for example gold.")
@click.option("--email", default="", help="Where the partner is reached.")
@pass_frame
def add(frame: Frame, code: str, name: str, tier: str, email: str) -> None:
    """Add a partner under a new CODE."""
    from registration_core.use_cases import add_partner

    with frame.database() as database, database.begin(frame.actor) as unit:
        made = add_partner(unit, code=code, name=name, tier=tier, email=email)
    frame.out.done(
        f"Added {made.code}, {made.name}. Register a deal: "
        f"dealreg registration submit --partner {made.code} --help",
        made.__dict__,
    )


@partner.command()
@click.argument("code")
@click.argument("email")
@pass_frame
def reach(frame: Frame, code: str, email: str) -> None:
    """Keep the EMAIL at which a partner is told of their registrations from now on."""
    from registration_core.use_cases import reach_partner

    with frame.database() as database, database.begin(frame.actor) as unit:
        known = reach_partner(unit, code, email)
    frame.out.done(f"{known.name} is reached at {known.email}.", known.__dict__)


@partner.command("list")
@pass_frame
def list_(frame: Frame) -> None:
    """List every partner."""
    from registration_core.store import repository

    with frame.database() as database, database.read() as session:
        rows = [found.__dict__ for found in repository.partners(session)]
    frame.out.table(
        rows,
        {"code": "Code", "name": "Name", "tier": "Tier", "email": "E-mail", "active": "Active"},
        empty="There are no partners yet. Add one: dealreg partner add CODE --name NAME",
    )

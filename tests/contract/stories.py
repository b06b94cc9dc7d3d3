"""The whole engine on the three stand-ins, one of which is everybody's home."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from config.settings import SHIPPED_CONFIG_DIR, load_settings
from connectors.port import CrmConnector
from registration_core import use_cases
from registration_core.contracts import ConnectionName
from registration_core.model import Actor, Customer, Registration
from registration_core.submission import Submission
from sandbox.serving import Running
from sync import checking, pull, runs, wiring
from sync.process.runtime import Runtime
from tests.contract.peers import Timepiece, connect, settings_of

CONNECTIONS: Mapping[str, ConnectionName] = {
    "salesforce": ConnectionName("salesforce"),
    "dynamics365": ConnectionName("dynamics"),
    "hubspot": ConnectionName("hubspot"),
}
#: A customer with an account in all three CRMs, and so has its subsidiary.
CUSTOMER = Customer("Vangholt Energi ASA", "NO", tax_id="NO881328463")
DESK = Actor("partner-desk", "desk")
APPROVER = Actor("approver", "approver")


@contextmanager
def built(
    folder: Path,
    running: Running,
    template: Path,
    timepiece: Timepiece,
    config: Path = SHIPPED_CONFIG_DIR,
) -> Iterator[Runtime]:
    """Build a configuration on the stand-ins, with a store of its own in this folder."""
    store = shutil.copy(template, folder / "store.sqlite3")
    settings = load_settings(
        {
            "DEALREG_HOME": str(folder),
            "DEALREG_CONFIG_DIR": str(config),
            "DEALREG_DATABASE_URL": f"sqlite:///{store}",
            **running.environment(),
        }
    )
    doors: dict[ConnectionName, CrmConnector] = {
        connection: connect(settings_of(running, kind), kind, timepiece)
        for kind, connection in CONNECTIONS.items()
    }
    with closing(wiring.build(settings, clock=timepiece, connectors=doors)) as runtime:
        assert runtime.problems == {}
        yield runtime


@contextmanager
def at_home_in(
    crm: str,
    folder: Path,
    running: Running,
    template: Path,
    timepiece: Timepiece,
    change: Callable[[str], str],
) -> Iterator[Runtime]:
    """Build the shipped configuration with this CRM as home and its mapping changed."""
    config, name = folder / "config", CONNECTIONS[crm]
    shutil.copytree(SHIPPED_CONFIG_DIR, config)
    mapping = config / "mappings" / f"{name}.yaml"
    mapping.write_text(change(mapping.read_text()))
    program = config / "programs" / "default.yaml"
    text = program.read_text()
    homes = text[text.index("  homes:\n") : text.index("  # A connection that is not home")]
    program.write_text(text.replace(homes, f"  homes:\n    - connection: {name}\n"))
    with built(folder, running, template, timepiece, config) as runtime:
        yield runtime


def submitted(runtime: Runtime, customer: Customer = CUSTOMER) -> Registration:
    """Submit a registration of the only partner."""
    # Stories share their stand-ins: one must not find the contact of another.
    about = customer.name.partition(" ")[0].lower()
    with runtime.database.begin(DESK) as unit:
        use_cases.add_partner(unit, code="ACME", name="Acme Partners", tier="gold", email="")
        made, _ = use_cases.submit(
            unit,
            Submission(
                partner_code="ACME",
                customer=customer,
                deal_name="Cold chain",
                product_line="platform",
                amount=Decimal(200_000),
                currency="USD",
                expected_close_on=date(2030, 9, 30),
                contact_name="Partner rep",
                contact_email=f"{about}@acme-partners.example",
                token="t",
            ),
            runtime.program("default"),
        )
    return made


def approved(runtime: Runtime, customer: Customer = CUSTOMER) -> Registration:
    """Submit a registration and approve it on a check of all three CRMs."""
    made = submitted(runtime, customer)
    check = checking.check_now(runtime, made.number)
    with runtime.database.begin(APPROVER) as unit:
        return use_cases.approve(unit, made.number, check, runtime.program("default"))


def poll(runtime: Runtime, connection: ConnectionName, timepiece: Timepiece) -> None:
    """Poll once what just happened is in every feed, and take it."""
    timepiece.skip(timedelta(minutes=6))
    runs.poll(runtime, connection)
    pull.drain(runtime, connection)
    pull.drain(runtime, connection)  # what a lead became is read after it

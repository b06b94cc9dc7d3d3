"""How fast the local part of a conflict check is, and how much it finds, at N accounts.

    python -m benchmarks.conflict_check --accounts 1000000 --store sqlite

Names are real ones first, then recombined from real words. Prints progress on standard error
and one JSON line. `p50_ms` and the like are times by the clock, `…_cpu_ms` this process's own
processor time (PostgreSQL's is not in it). `postgres` starts a server of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import insert, text

from benchmarks import disturb, matching_data
from registration_core.contracts import ConnectionName
from registration_core.matching import Organisation, customer_keys, of_customer
from registration_core.matching.names import read_name
from registration_core.model import Account, Customer
from registration_core.store import match_index, match_upkeep, repository
from registration_core.store.database import Database
from registration_core.store.rivals import rivals_for
from registration_core.store.tables import AccountRow, CustomerRow
from sync.accounts.candidates import Wanted, likely
from tests import servers, stores
from tests.factories import add_partners, registration

_NOW = datetime(2031, 1, 1, tzinfo=UTC)
_BATCH = 2000
_COUNTRIES = ("US", "DE", "GB", "FR", "CN", "JP", "IN", "NL", "IT", "CA")
_FORMS = ("Inc.", "Ltd", "GmbH", "LLC", "S.A.", "Co., Ltd.", "B.V.", "AG", "Corp.", "")
_CONNECTION = ConnectionName("crm")


def names(
    count: int, rng: random.Random, first: frozenset[str], without: frozenset[str]
) -> Iterator[str]:
    """Give distinct names: real ones, then a bent rare word with common ones and a legal form."""
    real = [name for name in matching_data.real_names() if name not in without]
    rng.shuffle(real)
    real.sort(key=lambda name: name not in first)
    yield from islice(real, count)
    words: Counter[str] = Counter(word for name in real for word in name.split() if word.isalpha())
    rare = [word for word, n in words.items() if n <= 2 and len(word) > 4]
    common, weights = zip(*words.most_common(3000), strict=True)
    for _ in range(count - len(real)):
        word = rng.choice(rare)
        at = rng.randrange(1, len(word))
        bent = word[:at] + rng.choice("aeiourstn") + word[at + rng.choice((0, 1)) :]
        others = rng.choices(common, weights, k=rng.choice((1, 1, 2, 3)))
        yield " ".join([bent, *others, rng.choice(_FORMS)]).strip()


def accounts(texts: Iterator[str], rng: random.Random) -> Iterator[Account]:
    """Make an account of each name: most have a domain and a city, some an identifier."""
    for number, name in enumerate(texts):
        label = "".join(c for c in name.lower() if c.isalnum())[:24] or "x"
        yield Account(
            connection=_CONNECTION, object="account", record_id=f"{number:012d}", name=name[:255],
            country=rng.choice(_COUNTRIES), city=rng.choice(("Berlin", "Boston", "Leeds", "")),
            domain=f"{label}{rng.choice(('', str(number)))}.example" if rng.random() < 0.6 else "",
            tax_id=f"{rng.randrange(10**9):09d}" if rng.random() < 0.4 else "",
            duns=f"{rng.randrange(10**9):09d}" if rng.random() < 0.4 else "",
            owner="rep", lists=frozenset(), read_at=_NOW, parent="", postcode="",
            phone=f"+{rng.randrange(10**11)}" if rng.random() < 0.5 else "",
        )  # fmt: skip


def build(database: Database, made: Iterator[Account], count: int) -> float:
    """Write every account, then make all keys as `dealreg db reindex` does; returns the seconds."""
    began = time.perf_counter()
    while batch := list(islice(made, _BATCH)):
        rows = [
            {**vars(a), "lists": [], "ref": match_index.ref_of(a.connection, a.record_id)}
            for a in batch
        ]
        with database.begin() as unit:
            unit.session.execute(insert(AccountRow), rows)

    def tell(done: int, _total: int) -> None:
        pace = done / (time.perf_counter() - began)
        print(f"{done:,} of {count:,} accounts, {pace:,.0f} a second", file=sys.stderr)

    match_upkeep.rebuild(database, tell)
    with database.begin() as unit:  # as PostgreSQL does by itself some minutes later
        if unit.session.get_bind().dialect.name == "postgresql":
            unit.session.execute(text("ANALYZE account, match_key"))
    return time.perf_counter() - began


def register(database: Database, asked: list[tuple[Customer, int]]) -> None:
    """Make a live registration of each customer, so that a check finds others'."""
    add_partners(database, "P1")
    with database.begin() as unit:
        unit.session.add(CustomerRow(id="customer-1", name="", created_at=_NOW))
        partner = repository.partner(unit.session, "P1")
        unit.session.flush()
        for number, (customer, _) in enumerate(asked):
            made = registration(
                id=f"registration-{number}", number=f"DR-{number:08d}", partner_id=partner.id,
                customer=customer, receipt_seq=number + 1,
            )  # fmt: skip
            repository.add_registration(unit.session, made, f"token-{number}")


def check(database: Database, customer: Customer) -> tuple[float, float]:
    """Do the local part of one check; returns milliseconds of the clock and of processor time."""
    began, worked = time.perf_counter(), time.process_time()
    wanted = Wanted(of_customer(customer), customer_keys(customer))
    with database.read() as session:
        accounts = likely(session, wanted)
        about = registration(id="", customer_id="", customer=customer)
        rivals_for(session, about, wanted.keys, accounts)
    return (time.perf_counter() - began) * 1000, (time.process_time() - worked) * 1000


def customers(
    database: Database, count: int, rng: random.Random, size: int
) -> list[tuple[Customer, int]]:
    """Take accounts at random and spell them as a partner might; with the accounts' refs."""
    refs = [match_index.ref_of(_CONNECTION, f"{rng.randrange(size):012d}") for _ in range(count)]
    with database.read() as session:
        known = match_index.accounts_by_ref(session, refs)
    return [
        (
            Customer(
                name=disturb.name(account.name, rng) or account.name,
                country=account.country,
                website=account.domain if rng.random() < 0.4 else "",
                city=account.city if rng.random() < 0.5 else "",
                tax_id=account.tax_id if rng.random() < 0.2 else "",
            ),
            ref,
        )
        for ref, account in known.items()
    ]


@dataclass(frozen=True)
class Spellings:
    """One spelling of a patent applicant, and how others write it."""

    asked: str
    #: Written like it but for case and punctuation: kept out of the directory.
    alike: frozenset[str]
    others: frozenset[str]


def spellings() -> list[Spellings]:
    """Return every second spelling of patent applicants that have several."""
    clusters: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in matching_data.rows("clusters_patent_applicants.csv"):
        for name in read_name(row["name"])[:1]:
            clusters[row["cluster_id"]][name.joined].append(row["name"])
    return [
        Spellings(
            names[asked][0],
            frozenset(names[asked]),
            frozenset(name for text in list(names)[::2] for name in names[text]),
        )
        for names in clusters.values()
        for asked in list(names)[1::2]
    ]


def recall(database: Database, asked: list[Spellings]) -> float:
    """Return the share of spellings for which another one is among the first 50 accounts."""
    hits = 0
    with database.read() as session:
        for each in asked:
            refs = match_index.search(session, Organisation(each.asked))[:50]
            found = {a.name for a in match_index.accounts_by_ref(session, refs).values()}
            hits += bool(each.others & found)
    return hits / len(asked)


def recall_disturbed(database: Database, asked: list[tuple[Customer, int]]) -> float:
    """Return the share of customers, by name alone, whose account is among the first 50."""
    with database.read() as session:
        hits = sum(
            ref in match_index.search(session, Organisation(customer.name))[:50]
            for customer, ref in asked[:1000]
        )
    return hits / min(1000, len(asked))


def percentile(values: list[float], share: float) -> float:
    """Return a percentile of values, in their own unit, rounded."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 2)


def update_ms(database: Database, size: int, rng: random.Random) -> float:
    """Return the median milliseconds, before the commit, of an account that got another name."""
    took: list[float] = []
    for _ in range(200):
        ref = match_index.ref_of(_CONNECTION, f"{rng.randrange(size):012d}")
        with database.begin() as unit:
            (account,) = match_index.accounts_by_ref(unit.session, [ref]).values()
            renamed = replace(account, name=disturb.name(account.name, rng) or account.name)
            began = time.perf_counter()
            repository.put_accounts(unit.session, [renamed])
            took.append((time.perf_counter() - began) * 1000)
            unit.session.rollback()  # the next figures are of the accounts as they were
    return percentile(took, 0.5)


def measure(database: Database, count: int, rng: random.Random) -> dict[str, float]:
    """Build, register, check; returns the figures."""
    asked = spellings()
    first = frozenset(name for each in asked for name in each.others)
    without = frozenset(name for each in asked for name in each.alike)
    seconds = build(database, accounts(names(count, rng, first, without), rng), count)
    wanted = customers(database, 4000, rng, count)
    register(database, wanted[2000:])
    cold = [check(database, customer) for customer, _ in wanted[:1000]]
    warm = [check(database, customer) for customer, _ in wanted[1000:2000] * 2]
    return {
        "build_seconds": round(seconds, 1),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "p50_ms": percentile([wall for wall, _ in warm], 0.5),
        "p99_ms": percentile([wall for wall, _ in warm], 0.99),
        "p99_cold_ms": percentile([wall for wall, _ in cold], 0.99),
        "p50_cpu_ms": percentile([cpu for _, cpu in warm], 0.5),
        "p99_cpu_ms": percentile([cpu for _, cpu in warm], 0.99),
        "update_ms": update_ms(database, count, rng),
        "recall_at_50": round(recall(database, asked), 4),
        "recall_queries": len(asked),
        "recall_at_50_disturbed": round(recall_disturbed(database, wanted), 4),
    }


@contextmanager
def store(kind: str) -> Iterator[tuple[Database, Path]]:
    """Open an empty store of one kind, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as undo:
        path = Path(folder) / "benchmark.db"
        url = f"sqlite:///{path}"
        if kind == "postgres":
            server = undo.enter_context(servers.postgres_server({}))
            url = undo.enter_context(servers.postgres_database(server, "conflict_check"))
        database = Database(url, lambda: datetime.now(UTC), random.Random(7))
        stores.migrate(url)
        yield database, path
        database.close()


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    options = parser.parse_args()
    with store(options.store) as (database, path):
        figures = measure(database, options.accounts, random.Random(7))
        index_mb = _index_mb(database, path)
    told = {"accounts": options.accounts, "store": options.store, "index_mb": index_mb}
    print(json.dumps({**told, **figures}))


def _index_mb(database: Database, path: Path) -> int:
    """Return the size of the match keys; of SQLite's whole file where it cannot tell them apart."""
    with database.read() as session:
        if session.get_bind().dialect.name == "postgresql":
            query = "SELECT pg_total_relation_size('match_key')"
            return int(session.execute(text(query)).scalar_one()) // 2**20
        try:
            query = "SELECT SUM(pgsize) FROM dbstat WHERE name = 'match_key'"
            return int(session.execute(text(query)).scalar_one()) // 2**20
        except Exception:  # noqa: BLE001 - a build of SQLite without dbstat
            return path.stat().st_size // 2**20


if __name__ == "__main__":
    main()

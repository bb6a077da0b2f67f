"""Find and explain among many stored deliveries: milliseconds of each question, in a journal of its own making.

One real delivery of each kind is appended by paymux; its rows are then copied under other ids, in SQL, so that two
million are there in minutes: four deliveries about each payment, one in a hundred quarantined, three accounts. Every
question is asked of random places, over one connection as it warms up.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.report import Cell, Report, arguments, progress, show
from paymux.delivery import Delivery, Proof
from paymux.journal import Entry
from paymux.journal.history import Sought
from paymux.journal.sqlite import SqliteJournal
from paymux.journal.sqlite.history import SqliteHistory
from paymux.provider import Account
from paymux.providers.stripe import STRIPE
from paymux.sandbox import samples
from paymux.signatures import remembered
from paymux.translate import translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS: Final = ("acme", "north", "south")
OF_A_PAYMENT: Final = 4
QUARANTINED: Final = 100  # one in so many

COLUMNS: Final = {"question": "", "asked": "d", "p50 ms": ".2f", "p99 ms": ".2f", "slowest ms": ".2f"}

# Row n of each table, from row `source` of the same; ids are numbers in the form of the originals.
_COPIES: Final = (
    """
    INSERT INTO deliveries SELECT :row, :id, provider, :account, :at, attempts, sha256, via, proof, secret, method,
        path, query, url, asked, headers, body, NULL FROM deliveries WHERE row = :source
    """,
    """
    INSERT INTO items SELECT NULL, :row, position, provider, :account, :event, :event, event_type, occurred_at,
        livemode, result, outcome, reason, path, detail, fingerprint, CASE WHEN :quarantined THEN '' ELSE :key END,
        attempt
        FROM items WHERE delivery = :source
    """,
    """
    INSERT INTO outbox SELECT :row, :row, chain, :event_id, :at, topic, CAST(:key AS BLOB), headers, value
        FROM outbox WHERE delivery = :source
    """,
)
_PAYMENT: Final = "INSERT OR IGNORE INTO payments SELECT :key, known FROM payments LIMIT 1"
_TOUCHED: Final = "INSERT INTO touched VALUES (:key, :row)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    name: str
    ask: Callable[[SqliteHistory, int], Awaitable[bool]]


def payment(number: int) -> str:
    return f"stripe/{ACCOUNTS[number // OF_A_PAYMENT % len(ACCOUNTS)]}/pi_{number // OF_A_PAYMENT:024d}"


def delivery_id(number: int) -> str:
    return f"01936f0e-{number // 65536 % 65536:04x}-7{number % 4096:03x}-8000-{number:012d}"


def event_id(number: int) -> str:
    return f"{random.Random(number).getrandbits(32):08x}-0000-5000-8000-{number:012d}"


async def build(path: Path, count: int) -> None:
    """The originals by paymux itself, the copies in SQL."""
    journal = await SqliteJournal.open(path)
    body = samples.webhook("stripe", "payment_intent.succeeded").body
    for number, each in enumerate((body, body.replace(b'"payment_intent.succeeded"', b'"payment_intent.renamed"'))):
        account = Account(provider=STRIPE, name=ACCOUNTS[0], checks=())
        delivery = Delivery(
            id=f"original-{number}", provider="stripe", account=ACCOUNTS[0], received_at=FIRST, body=each
        )
        verified = remembered(delivery, Proof.SIGNATURE, 0)
        await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))
    await journal.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    for start in range(3, count + 1, 20_000):
        progress(f"{start:,} of {count:,} deliveries")
        connection.execute("BEGIN")
        rows = [_row(number) for number in range(start, min(start + 20_000, count + 1))]
        for sql in _COPIES:
            connection.executemany(sql, rows)
        spoken = [row for row in rows if not row["quarantined"]]
        connection.executemany(_TOUCHED, spoken)
        connection.executemany(_PAYMENT, spoken)
        connection.execute("COMMIT")
    connection.close()


def _row(number: int) -> dict[str, object]:
    quarantined = number % QUARANTINED == 0
    return {
        "row": number,
        "id": delivery_id(number),
        "account": payment(number).split("/")[1],
        "at": int((FIRST + timedelta(seconds=number)).timestamp() * 1_000_000),
        "event": f"evt_{number:024d}",
        "event_id": event_id(number),
        "key": payment(number),
        "quarantined": quarantined,
        "source": 2 if quarantined else 1,
    }


def questions(count: int) -> list[Question]:
    def spread(number: int) -> int:
        """Of a delivery that was translated."""
        return number if number % QUARANTINED else number + 1

    async def explained(history: SqliteHistory, number: int) -> bool:
        found = await history.delivery(delivery_id(number))
        return found is not None and bool(await history.records([found.row]))

    async def story(history: SqliteHistory, number: int) -> bool:
        key = payment(spread(number))
        page = await history.deliveries(Sought(payment=key), limit=500)
        records = await history.records([each.row for each in page.deliveries])
        return await history.payment(key) is not None and bool(records)

    async def page(history: SqliteHistory, number: int, **sought: str) -> bool:
        found = await history.deliveries(Sought(**sought), limit=50, before=max(number, count // 10))  # type: ignore[arg-type]
        return len(found.deliveries) > 0

    async def at(history: SqliteHistory, number: int) -> bool:
        moment = FIRST + timedelta(seconds=number)
        return bool((await history.deliveries(Sought(until=moment + timedelta(seconds=60)), limit=50)).deliveries)

    async def named(history: SqliteHistory, text: str) -> bool:
        return bool(await history.named(text, limit=20))

    return [
        Question(name="explain a delivery by its id", ask=explained),
        Question(name="a payment's story", ask=story),
        Question(name="by an event key", ask=lambda history, n: named(history, f"evt_{n:024d}")),
        Question(name="by an event id", ask=lambda history, n: named(history, event_id(n))),
        Question(name="by the beginning of an event key", ask=lambda history, n: named(history, f"evt_{n:024d}"[:-2])),
        Question(name="by the beginning of an event id", ask=lambda history, n: named(history, event_id(n)[:7])),
        Question(name="by a payment's id", ask=lambda history, n: named(history, payment(spread(n)).split("/")[2])),
        Question(name="a page of 50", ask=page),
        Question(name="a page of an account", ask=lambda history, n: page(history, n, account="north")),
        Question(name="a page of what is quarantined", ask=lambda history, n: page(history, n, outcome="quarantined")),
        Question(name="a page before a time", ask=at),
    ]


async def asked(question: Question, path: Path, places: list[int]) -> dict[str, Cell]:
    progress(question.name)
    history = SqliteHistory(path)
    seconds = []
    for place in places:
        began = time.perf_counter()
        if not await question.ask(history, place):
            raise RuntimeError(f"{question.name}: nothing was found at {place}")
        seconds.append((time.perf_counter() - began) * 1000)
    await history.close()
    seconds.sort()
    return {
        "question": question.name,
        "asked": len(seconds),
        "p50 ms": seconds[len(seconds) // 2],
        "p99 ms": seconds[min(int(len(seconds) * 0.99), len(seconds) - 1)],
        "slowest ms": seconds[-1],
    }


async def measure(path: Path, count: int, times: int) -> list[dict[str, Cell]]:
    await build(path, count)
    chosen = random.Random(20_261_121)
    rows = [
        await asked(question, path, [chosen.randrange(3, count) for _ in range(times)]) for question in questions(count)
    ]
    history = SqliteHistory(path)
    began = time.perf_counter()
    groups = await history.quarantine()
    took = (time.perf_counter() - began) * 1000
    await history.close()
    rows.append({"question": f"quarantine in {len(groups)} groups", "asked": 1, "p50 ms": took, "slowest ms": took})
    return rows


def main() -> None:
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--deliveries", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=200, help="how often each question is asked")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paymux-find-") as home:
        path = Path(home) / "paymux.db"
        rows = asyncio.run(measure(path, options.deliveries, options.times))
        size = path.stat().st_size / 1e9
    note = f"{options.deliveries:,} deliveries, {size:.1f} GB. To reach: under 100 ms for exact ids and beginnings."
    show(Report(name="find", columns=COLUMNS, rows=rows, arguments=vars(options), notes=[note]), as_json=options.json)


if __name__ == "__main__":
    main()

"""Values to rows of the SQLite journal, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from paymux import lifecycle
from paymux.delivery import Asked, Delivery, ObjectRef, Proof, Via
from paymux.journal import LookupRow, OutboxRow, Rejection
from paymux.journal.archive import Kept
from paymux.journal.audit import Act, Audited
from paymux.journal.changes import DISCARDED, Filed
from paymux.journal.jobs import Change, Job, JobState
from paymux.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paymux.journal.changes import Changes, KeptDelivery, KeptItem

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


DELIVERY_COLUMNS: Final = (
    "row, id, provider, account, received_at, via, proof, secret, method, path, query, url, asked, headers, body"
)
FILED_COLUMNS: Final = "row, delivery, dedupe_key, result, outcome, reason, path, attempt, event_type"

LOOKUP_COLUMNS: Final = (
    "id, provider, account, object, object_id, settles, occurred_at, asked, attempts, rounds, due_at, delivery_id, "
    "event_key, event_type, received_at, proof"
)

# Most deliveries come in a minute that is known already: then nothing is written.
_HEARD: Final = """
    INSERT INTO heard VALUES (?, ?, ?, ?) ON CONFLICT (provider, account, hour)
    DO UPDATE SET minutes = minutes | excluded.minutes WHERE minutes | excluded.minutes != minutes
"""


def micro(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int | None) -> datetime | None:
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def statements(changes: Changes) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """What a batch writes: a statement and its rows, table by table."""
    return [  # the only values in these f-strings are question marks
        *_deliveries(changes),
        *_payments(changes),
        *_lookups(changes),
        (f"INSERT INTO outbox VALUES ({_slots(9)})", [_outbox(row) for row in changes.outbox]),
        ("DELETE FROM outbox WHERE seq = ?", [(seq,) for _, seq in changes.forgotten]),
        *_erased(changes),
        *_jobs(changes),
        (_HEARD, [(*scope, hour, minutes) for (scope, hour), minutes in changes.heard.items()]),
        (f"INSERT INTO audit VALUES ({_slots(8)})", [audited_row(each) for each in changes.audit]),
    ]


def _deliveries(changes: Changes) -> list[tuple[str, list[tuple[Any, ...]]]]:
    return [
        (f"INSERT INTO deliveries VALUES ({_slots(17)}, NULL)", [_delivery(kept) for kept in changes.deliveries]),
        (
            "UPDATE deliveries SET attempts = attempts + ? WHERE row = ?",
            [(more, row) for row, more in changes.attempts.items()],
        ),
        (
            "UPDATE deliveries SET body = NULL, headers = x'', query = '' WHERE row = ?",
            [(row,) for row in changes.expired],
        ),
        ("DELETE FROM items WHERE row = ?", [(row,) for row in changes.refiled]),
        (f"INSERT INTO items VALUES ({_slots(18)})", [_item(item) for item in changes.items]),
        (
            "UPDATE items SET outcome = 'ignored', reason = ?, detail = ? WHERE row = ?",
            [(DISCARDED, why, row) for row, why in changes.discarded],
        ),
        (
            "INSERT OR IGNORE INTO touched VALUES (?, ?)",
            [(key, item.delivery) for item in changes.items for key in item.payment_keys]
            + [(key, delivery) for delivery, keys in changes.respoken.values() for key in keys],
        ),
        (
            "UPDATE items SET payment_keys = ? WHERE row = ?",
            [("\n".join(keys), row) for row, (_, keys) in changes.respoken.items()],
        ),
    ]


def _payments(changes: Changes) -> list[tuple[str, list[tuple[Any, ...]]]]:
    return [
        (
            "INSERT INTO payments VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET known = excluded.known",
            [(key, lifecycle.dump(known)) for key, known in changes.known.items()],
        ),
        (
            "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?)",
            [(*scope, alias, payment) for (scope, alias), payment in changes.links.items()],
        ),
        (
            "INSERT OR IGNORE INTO orphans VALUES (?, ?, ?, ?)",
            [(*scope, alias, key) for (scope, alias), keys in changes.orphans.items() for key in keys],
        ),
    ]


def _lookups(changes: Changes) -> list[tuple[str, list[tuple[Any, ...]]]]:
    kept = [row for row in changes.lookups.values() if row is not None]
    gone = [(*scope, ref.object, ref.id) for (scope, ref), row in changes.lookups.items() if row is None]
    return [
        (f"INSERT OR REPLACE INTO lookups VALUES ({_slots(16)})", [_lookup(row) for row in kept]),
        ("DELETE FROM lookups WHERE provider = ? AND account = ? AND object = ? AND object_id = ?", gone),
        (
            "UPDATE items SET outcome = ?, reason = ?, detail = ? WHERE delivery = ? AND outcome = 'lookup'",
            [("quarantined", reason, detail, row) for row, reason, detail in changes.given_up],
        ),
    ]


def _jobs(changes: Changes) -> list[tuple[str, list[tuple[Any, ...]]]]:
    return [
        (f"INSERT OR REPLACE INTO jobs VALUES ({_slots(14)})", [_job(job) for job in changes.jobs.values()]),
        ("DELETE FROM changes WHERE job = ? AND delivery < ?", list(changes.unfound.items())),
        (f"INSERT OR REPLACE INTO changes VALUES ({_slots(12)})", [_change(each) for each in changes.found]),
        ("INSERT OR IGNORE INTO listed VALUES (?, ?)", changes.listed),
        ("DELETE FROM listed WHERE job = ?", [(job,) for job in changes.unlisted]),
    ]


_DELETE_LOOKUPS: Final = """
    DELETE FROM lookups WHERE delivery_id = (SELECT id FROM deliveries WHERE row = ?1)
        AND (object_id IN (SELECT value FROM json_each(?2)) OR (SELECT count(*) FROM items WHERE delivery = ?1) = 1)
"""


def _erased(changes: Changes) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Every place where a delivery's own words may stand."""
    rows = [(row,) for row in changes.erased]
    listed = [(orjson.dumps(changes.erased).decode(),)] if rows else []
    return [
        (
            "UPDATE deliveries SET body = NULL, headers = x'', query = '', erased_at = ? WHERE row = ?",
            [(micro(changes.erased_at), row) for row in changes.erased] if changes.erased_at else [],
        ),
        ("UPDATE items SET detail = NULL WHERE delivery = ?", rows),
        (_DELETE_LOOKUPS, [(row, orjson.dumps(changes.erased_names).decode()) for row in changes.erased]),
        ("UPDATE changes SET old = NULL, new = NULL WHERE row IN (SELECT value FROM json_each(?))", listed),
        (
            "UPDATE outbox SET headers = ?, value = ? WHERE seq = ?",
            [(_dump_headers(record), record.value, seq) for (_, seq), record in changes.reworded.items()],
        ),
    ]


def _slots(count: int) -> str:
    return ", ".join("?" * count)


def _delivery(kept: KeptDelivery) -> tuple[Any, ...]:
    delivery = kept.delivery
    asked = delivery.asked
    return (
        kept.row,
        delivery.id,
        delivery.provider,
        delivery.account,
        micro(delivery.received_at),
        1,
        kept.sha256,
        delivery.via.value,
        kept.proof.value,
        kept.secret,
        delivery.method,
        _text(delivery.path),
        _text(delivery.query),
        _text(delivery.url or "") or None,
        orjson.dumps(asked).decode() if asked else None,
        _dump_pairs(delivery.headers),
        delivery.body,
    )


def stored_delivery(row: Any) -> Kept:
    """DELIVERY_COLUMNS"""
    return Kept(
        row=row[0],
        proof=Proof(row[6]),
        secret=row[7],
        delivery=Delivery(
            id=row[1],
            provider=row[2],
            account=row[3],
            received_at=moment(row[4]) or _EPOCH,
            via=Via(row[5]),
            method=row[8],
            path=row[9],
            query=row[10],
            url=row[11],
            asked=_asked(row[12]) if row[12] else None,
            headers=tuple(header_pairs(row[13])),
            body=row[14],
        ),
    )


def _asked(stored: str) -> Asked:
    value = orjson.loads(stored)
    at = value["occurred_at"]
    return Asked(ref=ObjectRef(**value["ref"]), occurred_at=datetime.fromisoformat(at) if at else None)


def _item(kept: KeptItem) -> tuple[Any, ...]:
    item = kept.item
    return (
        kept.place,
        kept.delivery,
        item.position,
        *kept.scope,
        kept.dedupe_key,
        item.event_key,
        item.event_type,
        micro(item.occurred_at) if item.occurred_at else None,
        item.livemode,
        kept.result.value,
        kept.outcome,
        kept.reason,
        kept.path,
        kept.detail,
        item.fingerprint,
        "\n".join(kept.payment_keys),
        kept.attempt,
    )


def _lookup(row: LookupRow) -> tuple[Any, ...]:
    return (
        row.id,
        row.provider,
        row.account,
        row.ref.object,
        row.ref.id,
        " ".join(sorted(row.settles)),
        micro(row.occurred_at) if row.occurred_at else None,
        row.asked,
        row.attempts,
        row.rounds,
        micro(row.due_at),
        row.delivery_id,
        row.event_key,
        row.event_type,
        micro(row.received_at),
        row.proof.value,
    )


def lookup_row(row: Any) -> LookupRow:
    return LookupRow(
        id=row[0],
        provider=row[1],
        account=row[2],
        ref=ObjectRef(object=row[3], id=row[4]),
        settles=frozenset(row[5].split()),
        occurred_at=moment(row[6]),
        asked=row[7],
        attempts=row[8],
        rounds=row[9],
        due_at=moment(row[10]) or _EPOCH,
        delivery_id=row[11],
        event_key=row[12],
        event_type=row[13],
        received_at=moment(row[14]) or _EPOCH,
        proof=Proof(row[15]),
    )


def _outbox(row: OutboxRow) -> tuple[Any, ...]:
    record = row.record
    return (
        row.seq,
        row.delivery,
        row.chain,
        record.event_id,
        micro(row.created_at),
        record.topic,
        record.key,
        _dump_headers(record),
        record.value,
    )


def _dump_headers(record: Record) -> bytes:
    return _dump_pairs((name.encode(), value) for name, value in record.headers)


def outbox_row(shard: int, row: Any) -> OutboxRow:
    seq, chain, event_id, created_at, topic, key, headers, value = row
    return OutboxRow(
        shard=shard,
        seq=seq,
        created_at=moment(created_at) or _EPOCH,
        chain=chain,
        record=Record(
            event_id=event_id,
            topic=topic,
            key=key,
            value=value,
            headers=tuple((name.decode(), content) for name, content in header_pairs(headers)),
        ),
    )


def filed(row: Any) -> Filed:
    """FILED_COLUMNS"""
    return Filed(
        row=row[0],
        delivery=row[1],
        dedupe_key=row[2],
        result=row[3],
        outcome=row[4],
        reason=row[5],
        path=row[6],
        attempt=row[7],
        event_type=row[8],
    )


def _job(job: Job) -> tuple[Any, ...]:
    return (
        job.id,
        job.kind,
        job.state.value,
        micro(job.created_at),
        job.created_by,
        micro(job.updated_at),
        orjson.dumps(job.spec).decode(),
        orjson.dumps(job.cursor).decode(),
        job.done,
        job.total,
        orjson.dumps(job.counts).decode(),
        job.rate,
        job.worked,
        job.error,
    )


def stored_job(row: Any) -> Job:
    return Job(
        id=row[0],
        kind=row[1],
        state=JobState(row[2]),
        created_at=moment(row[3]) or _EPOCH,
        created_by=row[4],
        updated_at=moment(row[5]) or _EPOCH,
        spec=orjson.loads(row[6]),
        cursor=orjson.loads(row[7]),
        done=row[8],
        total=row[9],
        counts=orjson.loads(row[10]),
        rate=row[11],
        worked=row[12],
        error=row[13],
    )


def _change(change: Change) -> tuple[Any, ...]:
    return (
        change.job,
        change.event_id,
        change.key,
        change.row,
        change.delivery,
        change.kind,
        change.type,
        change.provider,
        change.account,
        "\n".join(change.paths),
        change.old,
        change.new,
    )


def stored_change(row: Any) -> Change:
    return Change(
        job=row[0],
        event_id=row[1],
        key=row[2],
        row=row[3],
        delivery=row[4],
        kind=row[5],
        type=row[6],
        provider=row[7],
        account=row[8],
        paths=tuple(row[9].split("\n")) if row[9] else (),
        old=row[10],
        new=row[11],
    )


def audited_row(each: Audited) -> tuple[Any, ...]:
    act = each.act
    detail = orjson.dumps(act.detail, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z).decode()
    return (each.row, micro(each.at), act.who, act.action, act.target, detail, act.result, each.chain)


def stored_audit(row: Any) -> Audited:
    act = Act(who=row[2], action=row[3], target=row[4], detail=orjson.loads(row[5]), result=row[6])
    return Audited(row=row[0], at=moment(row[1]) or _EPOCH, act=act, chain=row[7])


def _text(value: str) -> str:
    """What UTF-8 cannot hold (bytes of a URL that were no text) is spelled out."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _dump_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines as they came: no header holds a line feed."""
    return b"\n".join(name + b":" + value for name, value in pairs)


def header_pairs(stored: bytes) -> list[tuple[bytes, bytes]]:
    lines = stored.split(b"\n") if stored else []
    return [(name, value) for name, _, value in (line.partition(b":") for line in lines)]


def stored_rejection(row: Any) -> Rejection:
    at, provider, account, reason, address, size, sha256, age = row
    return Rejection(
        at=moment(at) or _EPOCH,
        provider=provider,
        account=account,
        reason=reason,
        address=address,
        size=size,
        sha256=sha256,
        age=age,
    )

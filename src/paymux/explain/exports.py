"""What is stored, line by line, for other programs: JSON, one object a line."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from paymux.journal.archive import Archive, Kept
    from paymux.journal.history import Sought

STEP: Final = 200


async def deliveries(archive: Archive, sought: Sought) -> AsyncIterator[bytes]:
    """Deliveries that fit and whose bodies are kept, oldest first, with the exact bytes: what an import takes back."""
    first, end = await archive.bounds(sought)
    after = first - 1
    while after < end - 1:
        found = await archive.rows(sought, after=after, end=end, limit=STEP)
        kept, filed = await archive.kept(found.rows), await archive.filed(found.rows)
        for row in found.rows:
            if row in kept:
                outcomes = [{"outcome": each.outcome, "reason": each.reason} for each in filed[row]]
                yield orjson.dumps(_delivery(kept[row]) | {"items": outcomes}, option=orjson.OPT_UTC_Z) + b"\n"
        after = found.reached


async def events(archive: Archive, sought: Sought, topic: str) -> AsyncIterator[bytes]:
    """The canonical events of deliveries that fit, byte for byte as they were published, in that order."""
    after, end = 0, await archive.end()
    while records := await archive.records(sought, topic=topic, after=after, end=end, limit=STEP):
        for each in records:
            yield each.record.value + b"\n"
        after = records[-1].seq


def _delivery(kept: Kept) -> dict[str, Any]:
    delivery = kept.delivery
    return {
        "id": delivery.id,
        "provider": delivery.provider,
        "account": delivery.account,
        "received_at": delivery.received_at,
        "via": delivery.via.value,
        "proof": kept.proof.value,
        "method": delivery.method,
        "path": delivery.path,
        "query": delivery.query,
        "url": delivery.url,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in delivery.headers],
        "asked": asdict(delivery.asked) if delivery.asked else None,
        "body_base64": base64.b64encode(delivery.body).decode(),
    }

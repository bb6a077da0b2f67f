"""What is old enough to be let go of, and may be.

A body is old by when it came to us: an import's time of receipt is somebody else's. Where this machine's clock was
wrong, the time of receipt protects what is younger.
"""

from __future__ import annotations

from typing import Final

_OLD_BODIES: Final = """
    FROM deliveries INDEXED BY deliveries_bodies
    WHERE body IS NOT NULL AND received_at < ? AND row < ? AND id NOT IN (SELECT delivery_id FROM lookups)
    AND NOT EXISTS (SELECT 1 FROM items WHERE items.delivery = deliveries.row AND items.outcome = 'quarantined')
    AND row < coalesce(
        (SELECT delivery FROM outbox WHERE seq > ? AND delivery IS NOT NULL ORDER BY seq LIMIT 1), 9223372036854775807
    )
"""
# As long as a body is kept, what was published of it is: a replay compares with it.
_OLD_RECORDS: Final = """
    FROM outbox WHERE seq < ? AND created_at < ?
    AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE row = outbox.delivery AND body IS NOT NULL
        AND row NOT IN (SELECT value FROM json_each(?))
    )
"""

OLD_BODIES: Final = f"SELECT row {_OLD_BODIES} ORDER BY received_at LIMIT ?"
OLD_RECORDS: Final = f"SELECT seq {_OLD_RECORDS} ORDER BY seq LIMIT ?"
ALL_OLD_BODIES: Final = f"SELECT row {_OLD_BODIES}"
COUNT_OLD_RECORDS: Final = f"SELECT count(*) {_OLD_RECORDS}"
BODIES: Final = "SELECT count(*), min(received_at) FROM deliveries INDEXED BY deliveries_bodies WHERE body IS NOT NULL"
AGED_BODIES: Final = f"{BODIES} AND received_at < ? AND row < ?"

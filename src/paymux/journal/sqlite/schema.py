"""The SQLite journal's tables, from the first release on. Migrations only ever run forward."""

from __future__ import annotations

from typing import Final

# One entry for each schema version: the statements that lead to it from the one before.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        # An integer key and the body last: a quarter of the cost of a random key with the body inside.
        """
        CREATE TABLE deliveries (
            row INTEGER PRIMARY KEY, id TEXT NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
            received_at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, sha256 BLOB NOT NULL,
            via TEXT NOT NULL, proof TEXT NOT NULL, secret INTEGER, method TEXT NOT NULL, path TEXT NOT NULL,
            query TEXT NOT NULL, url TEXT, asked TEXT, headers BLOB NOT NULL, body BLOB, erased_at INTEGER
        )
        """,
        "CREATE UNIQUE INDEX deliveries_id ON deliveries (id)",
        "CREATE INDEX deliveries_bodies ON deliveries (received_at) WHERE body IS NOT NULL",
        """
        CREATE TABLE items (
            row INTEGER PRIMARY KEY, delivery INTEGER NOT NULL, position INTEGER, provider TEXT NOT NULL,
            account TEXT NOT NULL, dedupe_key TEXT, event_key TEXT, event_type TEXT, occurred_at INTEGER,
            livemode INTEGER, result TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT, path TEXT, detail TEXT,
            fingerprint TEXT NOT NULL, payment_keys TEXT NOT NULL, attempt INTEGER NOT NULL
        )
        """,
        """
        CREATE UNIQUE INDEX items_dedupe ON items (provider, account, dedupe_key)
        WHERE dedupe_key IS NOT NULL
        """,
        "CREATE INDEX items_delivery ON items (delivery)",
        "CREATE INDEX items_quarantined ON items (delivery) WHERE outcome = 'quarantined'",
        # Which deliveries spoke of a payment.
        """
        CREATE TABLE touched (key TEXT NOT NULL, delivery INTEGER NOT NULL, PRIMARY KEY (key, delivery)) WITHOUT ROWID
        """,
        """
        CREATE TABLE payments (key TEXT PRIMARY KEY, known BLOB NOT NULL) WITHOUT ROWID
        """,
        """
        CREATE TABLE links (
            provider TEXT NOT NULL, account TEXT NOT NULL, alias TEXT NOT NULL, payment_id TEXT NOT NULL,
            PRIMARY KEY (provider, account, alias)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX links_payment ON links (provider, account, payment_id)",
        """
        CREATE TABLE orphans (
            provider TEXT NOT NULL, account TEXT NOT NULL, alias TEXT NOT NULL, key TEXT NOT NULL,
            PRIMARY KEY (provider, account, alias, key)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE lookups (
            id INTEGER PRIMARY KEY, provider TEXT NOT NULL, account TEXT NOT NULL, object TEXT NOT NULL,
            object_id TEXT NOT NULL, settles TEXT NOT NULL, occurred_at INTEGER, asked INTEGER NOT NULL,
            attempts INTEGER NOT NULL, rounds INTEGER NOT NULL, due_at INTEGER NOT NULL, delivery_id TEXT NOT NULL,
            event_key TEXT, event_type TEXT, received_at INTEGER NOT NULL, proof TEXT NOT NULL,
            UNIQUE (provider, account, object, object_id)
        )
        """,
        "CREATE INDEX lookups_due ON lookups (due_at)",
        "CREATE INDEX lookups_account_due ON lookups (provider, account, due_at)",
        # One shard: seq is the row number, so that the newest row is always at the end of the file.
        """
        CREATE TABLE outbox (
            seq INTEGER PRIMARY KEY, delivery INTEGER, chain TEXT NOT NULL, event_id TEXT NOT NULL,
            created_at INTEGER NOT NULL, topic TEXT NOT NULL, key BLOB NOT NULL, headers BLOB NOT NULL,
            value BLOB NOT NULL
        )
        """,
        "CREATE INDEX outbox_event ON outbox (event_id)",
        "CREATE INDEX outbox_delivery ON outbox (delivery)",
        "CREATE TABLE marks (shard INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
        """
        CREATE TABLE rejections (
            slot INTEGER PRIMARY KEY, at INTEGER NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
            reason TEXT NOT NULL, address TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, age INTEGER
        )
        """,
        """
        CREATE TABLE jobs (
            id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, created_at INTEGER NOT NULL,
            created_by TEXT NOT NULL, updated_at INTEGER NOT NULL, spec TEXT NOT NULL, cursor TEXT NOT NULL,
            done INTEGER NOT NULL, total INTEGER, counts TEXT NOT NULL, rate REAL,
            worked REAL NOT NULL, error TEXT
        ) WITHOUT ROWID
        """,
        # What a diff found.
        """
        CREATE TABLE changes (
            job TEXT NOT NULL, event_id TEXT NOT NULL, key TEXT NOT NULL, row INTEGER NOT NULL, delivery TEXT NOT NULL,
            kind TEXT NOT NULL,            type TEXT NOT NULL, provider TEXT NOT NULL,
            account TEXT NOT NULL, paths TEXT NOT NULL, old TEXT, new TEXT,
            PRIMARY KEY (job, event_id)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE audit (
            row INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
            detail TEXT NOT NULL, result TEXT NOT NULL, chain TEXT NOT NULL
        )
        """,
        # Events that another journal published, of which this one is a restored copy.
        "CREATE TABLE taken (event_id TEXT PRIMARY KEY) WITHOUT ROWID",
        # What a reconcile that goes on came across at the provider.
        "CREATE TABLE listed (job TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (job, key)) WITHOUT ROWID",
        # In which minutes of an hour since 1970 an account's provider was heard, as bits.
        """
        CREATE TABLE heard (
            provider TEXT NOT NULL, account TEXT NOT NULL, hour INTEGER NOT NULL, minutes INTEGER NOT NULL,
            PRIMARY KEY (provider, account, hour)
        ) WITHOUT ROWID
        """,
    ),
)

APPLICATION_ID: Final = 0x70617978  # "payx": tells a paymux journal from any other SQLite file

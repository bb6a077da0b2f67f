"""`paymux erase` and `retention --now` while `serve` holds the journal: done there, by who may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.gateways import fetch, run, serving
from tests.cli.test_raw import ENVIRON, GUARDIAN, OPS, room
from tests.http.world import PATH, signature

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["room"]

CUSTOMER = "cus_of-somebody-0001"
IGNORED = json.dumps(
    {"id": "evt_1", "object": "event", "type": "account.updated", "created": 1, "livemode": False,
     "data": {"object": {"id": CUSTOMER, "object": "account"}}}
).encode()  # fmt: skip


def test_while_serve_runs(room: Path):
    """Through the private API: not for operators; a guardian's is done, and is gone from the files that serve holds."""
    with serving(room, **ENVIRON) as served:
        assert fetch(served.public + PATH, IGNORED, Stripe_Signature=signature(IGNORED))[0] == 200
        wanted = ("erase", "--customer", f"stripe/acme/{CUSTOMER}", "--why", "asked by letter")
        refused = run(*wanted, cwd=room, **ENVIRON, PAYMUX_TOKEN=OPS)
        assert (refused.returncode, "privacy" in refused.stderr) == (1, True), refused.stderr
        assert CUSTOMER.encode() in stored(room)
        done = run(*wanted, "--json", cwd=room, **ENVIRON, PAYMUX_TOKEN=GUARDIAN)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"deliveries": 1, "records": 0, "payments": []}
        assert stored(room).count(CUSTOMER.encode()) == stored(room).count(f"stripe/acme/{CUSTOMER}".encode()) > 0
        swept = run("retention", "--now", "--json", cwd=room, **ENVIRON, PAYMUX_TOKEN=OPS)
        assert (swept.returncode, json.loads(swept.stdout)) == (0, {"rows": 0})
        told = run("audit", "list", "--json", cwd=room, **ENVIRON)
        acts = [json.loads(line) for line in told.stdout.splitlines()]
        assert [(act["who"], act["action"]) for act in acts] == [
            ("guardian", "erase.customer"),
            ("ops", "retention.sweep"),
        ]
        assert served.end() == 0


def stored(room: Path) -> bytes:
    """Every byte of the journal's files."""
    return b"".join(file.read_bytes() for file in sorted(room.glob("paymux.db*")))

"""`paymux deliveries raw`: the body as it came, and that somebody saw it is written down."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from paymux.journal.audit import first_broken
from paymux.journal.sqlite.history import SqliteHistory
from paymux.sandbox.brokers import free_ports
from tests.cli.gateways import PAYMUX, fetch, run, serving
from tests.http.world import BODY, PATH, SECRET, signature

if TYPE_CHECKING:
    from pathlib import Path

GUARDIAN, OPS = "the-token-of-the-guardian", "the-token-of-the-operators"
CONFIG = """
[server]
listen = "127.0.0.1:{public}"
admin_listen = "127.0.0.1:{private}"
[admin]
tokens = [
    {{name = "guardian", role = "privacy", token = "env:GUARDIAN"}},
    {{name = "ops", role = "operator", token = "env:OPS"}},
]
[kafka]
bootstrap_servers = "127.0.0.1:1"
[[accounts]]
provider = "stripe"
name = "acme"
secrets = ["env:SECRET"]
"""
ENVIRON = {"GUARDIAN": GUARDIAN, "OPS": OPS, "SECRET": SECRET}


@pytest.fixture
def room(tmp_path: Path) -> Path:
    public, private = free_ports(2)
    (tmp_path / "paymux.toml").write_text(CONFIG.format(public=public, private=private))
    return tmp_path


def raw(room: Path, delivery_id: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    command = [*PAYMUX, "deliveries", "raw", delivery_id]
    return subprocess.run(command, cwd=room, env=ENVIRON | environ, capture_output=True, timeout=60, check=False)


def test_a_body_while_serve_runs_and_after_it(room: Path):
    """Byte for byte, each time in the audit trail under who asked; not for a token without the role."""
    with serving(room, **ENVIRON) as served:
        assert fetch(served.public + PATH, BODY, Stripe_Signature=signature(BODY))[0] == 200
        (line,) = run("deliveries", "list", "--json", cwd=room, **ENVIRON).stdout.splitlines()
        delivery_id = json.loads(line)["id"]
        refused = raw(room, delivery_id, PAYMUX_TOKEN=OPS)
        assert (refused.returncode, refused.stdout, b"privacy" in refused.stderr) == (1, b"", True)
        asked = raw(room, delivery_id, PAYMUX_TOKEN=GUARDIAN)
        assert (asked.returncode, asked.stdout) == (0, BODY), asked.stderr
        bearer = {"Authorization": f"Bearer {OPS}"}
        acts = json.loads(fetch(f"{served.private}/api/v1/audit", **bearer)[1])["acts"]
        assert [(act["who"], act["action"], act["target"]) for act in acts] == [
            ("guardian", "delivery.raw", delivery_id)
        ]
        assert served.end() == 0
    alone = raw(room, delivery_id)
    assert (alone.returncode, alone.stdout) == (0, BODY), alone.stderr
    nothing = raw(room, "nothing")
    assert (nothing.returncode, b"there is no delivery nothing" in nothing.stderr) == (1, True)
    assert asyncio.run(seen_by(room)) == ["guardian", "user"]


async def seen_by(room: Path) -> list[str]:
    """The first word of who did what, from a whole trail."""
    history = SqliteHistory(room / "paymux.db")
    acts = await history.audit(after=0, limit=10)
    await history.close()
    assert first_broken(acts) is None
    return [each.act.who.split(" ")[0] for each in acts]

"""`paymux export` and `paymux replay --from-file`: what goes out comes in again, elsewhere, once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import orjson
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from paymux.cli import main
from paymux.delivery import Delivery, Proof
from paymux.journal import Entry
from paymux.journal.sqlite import SqliteJournal
from paymux.provider import Account
from paymux.providers.flexprice import FLEXPRICE
from paymux.providers.flowlix import FLOWLIX
from paymux.sandbox import samples
from paymux.signatures import remembered
from paymux.translate import translate

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONFIG = """
[journal]
url = "sqlite:///./{name}.db"
writer = "thread"
[[accounts]]
provider = "flowlix"
name = "acme"
secrets = ["{secret}"]
[[accounts]]
provider = "flexprice"
name = "acme"
secrets = ["{secret}"]
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Two installations in one folder: `old` has stored webhooks, `new` has none."""
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        (tmp_path / f"{name}.toml").write_text(CONFIG.format(name=name, secret=SECRET))
        (tmp_path / f"{name}.toml").chmod(0o600)
    asyncio.run(_fill(tmp_path / "old.db", deliveries()))
    asyncio.run(_fill(tmp_path / "new.db", ()))
    return tmp_path


def deliveries():

    flowlix = samples.webhook("flowlix", "payment.succeeded").body
    unknown = flowlix.replace(b'"payment.succeeded"', b'"payment.teleported"').replace(b'"evt_', b'"evt_9')
    flexprice = samples.webhook("flexprice", "payment.success").body
    headers = ((b"svix-id", b"msg_1"), (b"X-Odd", "caf\u00e9".encode("latin-1")), (b"Authorization", b"secret"))
    for number, (provider, body) in enumerate((("flowlix", flowlix), ("flowlix", unknown), ("flexprice", flexprice))):
        yield Delivery(
            id=f"0190b2a6-0000-7000-8000-{number:012d}",
            provider=provider,
            account="acme",
            received_at=datetime(2026, 11, 1, 12, number, tzinfo=UTC),
            headers=headers,
            body=body,
        )


async def _fill(path, found):
    journal = await SqliteJournal.open(path)
    for each in found:
        account = Account(provider={"flowlix": FLOWLIX, "flexprice": FLEXPRICE}[each.provider], name="acme")
        verified = remembered(each, Proof.SIGNATURE, 0)
        await journal.append(Entry(account=account, verified=verified, items=translate(account, verified)))
    await journal.close()


def run(*arguments, code=0, **more):
    result = CliRunner().invoke(main, arguments, **more)
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def rows(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


EVENTS = "SELECT event_id FROM outbox WHERE topic = 'payments.events.v1' ORDER BY event_id"


def test_an_export_is_imported_elsewhere(house):
    """The same bytes, times and event ids, as `import` that is `trusted`; a second time everything is a duplicate."""
    run("export", "deliveries", "--to", "out.jsonl", "--config", "old.toml")
    lines = [json.loads(line) for line in (house / "out.jsonl").read_text().splitlines()]
    assert [line["items"][0]["outcome"] for line in lines] == ["events", "quarantined", "events"]
    assert "secret" not in (house / "out.jsonl").read_text()

    arguments = ("replay", "--from-file", "out.jsonl", "--trust", "--config", "new.toml", "--json")
    assert json.loads(run(*arguments).stdout) == {"events": 2, "published": 2, "quarantined": 1}

    assert rows("new.db", EVENTS) == rows("old.db", EVENTS)
    same = "SELECT provider, account, received_at, hex(body), hex(sha256) FROM deliveries ORDER BY received_at"
    assert rows("new.db", same) == rows("old.db", same)
    assert set(rows("new.db", "SELECT via, proof FROM deliveries")) == {("import", "trusted")}
    origin = json.loads(rows("new.db", "SELECT value FROM outbox")[0][0])["data"]["origin"]
    assert (origin["via"], origin["proof"]) == ("import", "trusted")
    assert json.loads(run(*arguments).stdout) == {"duplicate": 3}
    assert rows("new.db", "SELECT action, target FROM audit ORDER BY row LIMIT 2") == [
        ("import", "flowlix/acme"),
        ("import", "flexprice/acme"),
    ]
    assert rows("old.db", "SELECT action, target FROM audit") == [("export.deliveries", "deliveries")]


def test_only_what_fits_is_exported(house):
    """The filters are those of every other command; nothing at all is exit 1."""
    found = run("export", "deliveries", "--config", "old.toml", "--outcome", "quarantined").stdout
    assert json.loads(found)["provider"] == "flowlix"
    assert run("export", "events", "--config", "old.toml", "--provider", "paypal", code=1).stdout == ""


def test_events_as_they_were_published(house):
    """Byte for byte, in their order."""
    found = run("export", "events", "--config", "old.toml").stdout_bytes.splitlines()
    values = rows("old.db", "SELECT value FROM outbox WHERE topic = 'payments.events.v1' ORDER BY seq")
    assert found == [value for (value,) in values]


def test_parquet(house):
    """One row for each delivery, nested parts as JSON; the file is there whole or not at all."""
    run("export", "deliveries", "--format", "parquet", "--to", "out.parquet", "--config", "old.toml")
    table = pyarrow.parquet.read_table("out.parquet").to_pylist()
    assert [row["provider"] for row in table] == ["flowlix", "flowlix", "flexprice"]
    assert json.loads(table[1]["items"]) == [{"outcome": "quarantined", "reason": "unknown_event_type"}]
    run("export", "deliveries", "--format", "parquet", "--config", "old.toml", code=2)
    run("export", "deliveries", "--to", "out.parquet", "--config", "old.toml", code=2)
    assert sorted(file.name for file in house.glob("*part*")) == []


def test_a_list_of_events(house):
    """As an API lists them: each is a payload, its digits as they stood."""
    event = orjson.loads(samples.webhook("flowlix", "payment.succeeded").body)
    event["data"]["payment"]["metadata"] = {"weight": 0}
    listed = orjson.dumps({"object": "list", "data": [event, {**event, "id": "evt_2", "type": "payment.x"}]})
    listed = listed.replace(b'"weight":0', b'"weight":1.10')
    (house / "list.json").write_bytes(listed)
    told = run(
        "replay", "--from-file", "list.json", "--provider", "flowlix", "--account", "acme", "--trust",
        "--config", "new.toml", "--json",
    )  # fmt: skip
    assert json.loads(told.stdout) == {"events": 1, "published": 1, "quarantined": 1}
    assert b'"weight":1.10' in rows("new.db", "SELECT body FROM deliveries ORDER BY row")[0][0]


def test_half_a_line(house):
    """It is named, what is whole is taken, and the exit code tells of it."""
    run("export", "deliveries", "--to", "out.jsonl", "--config", "old.toml")
    whole = (house / "out.jsonl").read_bytes()
    (house / "half.jsonl").write_bytes(whole[:-300])
    told = run("replay", "--from-file", "half.jsonl", "--trust", "--config", "new.toml", "--json", code=1)
    assert json.loads(told.stdout) == {"events": 1, "published": 1, "quarantined": 1, "unreadable": 1}
    assert "half.jsonl:3" in told.stderr


# Of a line of an export: what is changed in it, and a word of what is said.
ODD = [
    ({"received_at": "2026-11-01T00:00:00"}, "RFC 3339"),
    ({"received_at": 5}, "no delivery of an export"),
    ({"headers": [["x-a", "1\r\nx-b: 2"]]}, "end of a line"),
    ({"headers": [["x-a\n", "1"]]}, "end of a line"),
    ({"headers": [["", "1"]]}, "no name"),
    ({"headers": [["x:a", "1"]]}, "no name"),
    ({"asked": {"ref": {}, "occurred_at": None}}, "no delivery of an export"),
    ({"account": "nobody"}, "there is no account flowlix/nobody"),
]


def test_odd_lines_of_an_export(house):
    """Each is named and counted, and the good ones before and after them are taken."""
    run("export", "deliveries", "--to", "out.jsonl", "--config", "old.toml")
    first, *others = (house / "out.jsonl").read_bytes().splitlines()
    odd = [orjson.dumps(orjson.loads(first) | more) for more, _ in ODD]
    (house / "odd.jsonl").write_bytes(b"\n".join([first, *odd, *others]))
    told = run("replay", "--from-file", "odd.jsonl", "--trust", "--config", "new.toml", "--json", code=1)
    assert json.loads(told.stdout)["unreadable"] == len(ODD)
    for _, says in ODD:
        assert says in told.stderr
    assert rows("new.db", "SELECT count(*) FROM deliveries") == [(1 + len(others),)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--from-file", "out.jsonl"), 2, "give --trust"),
        (("--from-file", "out.jsonl", "--trust", "--provider", "flowlix"), 2, "go together"),
        (("--from-file", "nowhere.json", "--trust"), 1, "nowhere.json"),
        (("--from-file", "out.jsonl", "--trust", "--provider", "flowlix", "--account", "nobody"), 1, "flowlix/nobody"),
        ((), 2, "Usage"),
    ],
    ids=["no trust", "half a name", "no file", "no account", "nothing"],
)
def test_an_import_that_cannot_be(house, arguments, code, says):
    """What is wrong is said, and nothing is kept."""
    (house / "out.jsonl").write_bytes(samples.webhook("flowlix", "payment.succeeded").body.replace(b"\n", b""))
    told = run("replay", *arguments, "--config", "new.toml", code=code)
    assert says in told.output
    assert rows("new.db", "SELECT count(*) FROM deliveries") == [(0,)]


def test_a_payload_of_another_provider(house):
    """It is kept and quarantined, never guessed."""
    (house / "other.json").write_bytes(samples.webhook("flexprice", "payment.success").body)
    told = run(
        "replay", "--from-file", "other.json", "--provider", "flowlix", "--account", "acme", "--trust",
        "--config", "new.toml", "--json",
    )  # fmt: skip
    assert json.loads(told.stdout) == {"quarantined": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [(b'[{"id": "evt_1", "amount": NaN}]', "NaN"), (b"[" * 100_000, "deep")],
    ids=["a number that is none", "too deep"],
)
def test_a_list_that_is_no_json(house, content, says):
    """It is said and passed over: nothing of it is taken for something else."""
    (house / "list.json").write_bytes(content)
    arguments = ("--provider", "flowlix", "--account", "acme", "--trust", "--config", "new.toml")
    assert says in run("replay", "--from-file", "list.json", *arguments, code=1).output
    assert rows("new.db", "SELECT count(*) FROM deliveries") == [(0,)]

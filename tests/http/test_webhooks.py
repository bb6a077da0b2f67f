"""The public listener, row by row of the design's table."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import json
import os
import re
import resource
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from paymux.delivery import Proof
from paymux.errors import JournalUnavailable
from paymux.http import routes, webhooks
from paymux.journal import group_commit
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.telemetry import configure
from tests.http.world import BODY, PATH, SECRET, STRIPE, request, routes_of, running, signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from paymux.delivery import Delivery

OTHER_SECRET = "whsec_vutsrqponmlkjihgfedcba9876543210"
HINTED = {
    "provider": "flexportal",
    "name": "acme",
    "api_key": "a-key-for-flexportal",
    "options": {"tenant_id": "100"},
}
HEADERS = {
    *("content-type", "ce_specversion", "ce_id", "ce_type", "ce_source"),
    *("paymux_sequence", "paymux_transition", "paymux_reason"),
}
HINT = json.dumps({"event": "payment.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": {"paymentId": "p1"}})


async def test_a_signed_delivery_is_stored_and_acknowledged():
    """The provider's ack comes back, the delivery is in the journal with its bytes and headers."""
    async with running() as world:
        got = await world.deliver(user_agent="Stripe/1.0")
        kept = world.journal.store.deliveries[1].delivery
    assert (got.status, got.body) == (200, b'{"received":true}')
    assert kept.body == BODY
    assert kept.header(b"user-agent") == [b"Stripe/1.0"]
    assert (kept.method, kept.path) == ("POST", PATH)


async def test_the_same_delivery_again_is_acknowledged_and_counted_as_duplicate():
    """V-14: a hundred copies are one event and a hundred acknowledgements."""
    async with running() as world:
        statuses = {(await world.deliver()).status for _ in range(100)}
        metrics = world.metrics.render().decode()
        assert await world.journal.end(0) == 1
    assert statuses == {200}
    assert 'paymux_deliveries_total{outcome="duplicate",provider="stripe"} 99.0' in metrics
    assert 'paymux_secret_matches_total{account="acme",provider="stripe",secret="0"} 100.0' in metrics


async def test_an_unknown_event_type_is_acknowledged_and_quarantined():
    """P6: kept, with a reason on the quarantine topic, and counted."""
    body = BODY.replace(b'"payment_intent.succeeded"', b'"payment_intent.teleported"')
    async with running() as world:
        got = await world.deliver(body)
        metrics = world.metrics.render().decode()
    assert got.status == 200
    assert 'paymux_quarantined_total{provider="stripe",reason="unknown_event_type"} 1.0' in metrics


async def test_a_body_that_is_no_json_but_signed_is_acknowledged_and_quarantined():
    """Once it is proven, only the journal refuses it."""
    async with running() as world:
        got = await world.deliver(b"\xff\xfe not json")
        assert world.kept == 1
    assert got.status == 200


BAD_SIGNATURES = {
    "signature_missing": dict,
    "signature_malformed": lambda: {"stripe_signature": "t=1"},
    "signature_mismatch": lambda: {"stripe_signature": signature(BODY, OTHER_SECRET)},
    "too_old": lambda: {"stripe_signature": signature(BODY, at=0)},
    "too_new": lambda: {"stripe_signature": signature(BODY, at=99_999_999_999)},
}


@pytest.mark.parametrize("reason", BAD_SIGNATURES)
async def test_v21_every_bad_signature_gets_the_same_401(reason):
    """V-21: the body tells no reason; the ring of rejections and the metric do, and nothing is stored."""
    async with running() as world:
        got = await world.post(**BAD_SIGNATURES[reason]())
        assert await world.reasons() == [reason]
        (rejection,) = await world.journal.rejections(10)
        assert (rejection.age is None) == (reason not in ("too_old", "too_new"))
        assert world.kept == 0
        assert f'paymux_rejections_total{{provider="stripe",reason="{reason}"}} 1.0' in world.metrics.render().decode()
    assert (got.status, got.body) == (401, b'{"error":"unauthorized"}')


async def test_v01_a_delivery_signed_with_the_empty_key_is_rejected():
    """V-01: CVE-2026-41432's request, an HMAC under the empty key, gets 401."""
    async with running() as world:
        got = await world.deliver(secret="")
    assert got.status == 401


async def test_v05_bytes_beyond_ascii_in_the_signature_are_a_mismatch():
    """V-05: 401, not an error of ours."""
    async with running() as world:
        got = await world.send(request(BODY, stripe_signature="t=1720000000,v1=é\xff"))
        assert await world.reasons() in (["signature_mismatch"], ["too_old"])
    assert got.status == 401


async def test_v17_a_delivery_signed_for_one_account_is_nothing_to_another():
    """V-17: A's signed body to B's path gets 401."""
    second = STRIPE | {"name": "other", "secrets": [OTHER_SECRET]}
    async with running(STRIPE, second) as world:
        assert (await world.deliver(path="/webhooks/stripe/other")).status == 401
        assert (await world.deliver(secret=OTHER_SECRET, path="/webhooks/stripe/other")).status == 200


async def test_v18_a_test_mode_event_on_a_live_account_is_quarantined():
    """V-18: acknowledged and kept as `wrong_mode`; what its account publishes is the quarantine record alone."""
    assert b'"livemode": false' in BODY
    async with running(STRIPE | {"livemode": True}) as world:
        got = await world.deliver()
        (row,) = await world.journal.read(0, 0, 10)
    assert got.status == 200
    assert (row.record.topic, dict(row.record.headers)["paymux_reason"]) == ("payments.quarantine.v1", b"wrong_mode")


HOSTILE = {
    "nul": "evt_\x00paymux_sequence",
    "crlf": "evt_1\r\nce_type: payment.succeeded",
    "a megabyte": "e" * 1_000_000,
    "beyond ASCII": "evt_\u00e9\u4e2d\U0001f4b3",
}
PLAIN = re.compile(rb"[\x21-\x7e]{1,256}(?: [\x21-\x7e]+)*")


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("key", ["id", "type"])
async def test_v57_hostile_ids_and_types_do_not_reach_record_headers(what, key):
    """V-57: acknowledged; every header of every record is short printable ASCII under the names that are documented."""
    body = json.dumps(json.loads(BODY) | {key: HOSTILE[what]}).encode()
    async with running(STRIPE | {"max_body": 2_000_000}) as world:
        got = await world.deliver(body)
        rows = await world.journal.read(0, 0, 10)
    assert got.status == 200
    assert rows
    for row in rows:
        assert {name for name, _ in row.record.headers} <= HEADERS
        assert all(PLAIN.fullmatch(value) for _, value in row.record.headers)


async def test_v57_an_id_that_is_no_utf8_is_quarantined():
    """V-57: as above, for bytes that no text has."""
    async with running() as world:
        got = await world.deliver(BODY.replace(b'"evt_', b'"\xffevt_'))
        (row,) = await world.journal.read(0, 0, 10)
    assert (got.status, row.record.topic) == (200, "payments.quarantine.v1")
    assert all(PLAIN.fullmatch(value) for _, value in row.record.headers)


async def test_an_accounts_name_may_have_capitals_and_dots():
    """It is matched exactly, so that another spelling is another account."""
    async with running(STRIPE | {"name": "Acme.EU"}) as world:
        assert (await world.deliver(path="/webhooks/stripe/Acme.EU")).status == 200
        assert (await world.deliver(path="/webhooks/stripe/acme.eu")).status == 404
        assert (await world.deliver(path="/webhooks/stripe/AcmeXEU")).status == 404


def test_limits_go_on_when_accounts_are_read_again():
    """A reload does not fill the quotas of accounts whose limits stay, whatever else of them changes."""
    limited, other = STRIPE | {"rate_limit": 2}, STRIPE | {"name": "other", "rate_limit": 2}
    before = routes_of(limited, other, HINTED)
    after = routes_of(limited | {"secrets": [OTHER_SECRET]}, other | {"rate_limit": 3}, HINTED, before=before)
    assert after[PATH].quota is before[PATH].quota is not None
    assert after["/webhooks/stripe/other"].quota is not before["/webhooks/stripe/other"].quota
    assert after["/webhooks/flexportal/acme"].hints is before["/webhooks/flexportal/acme"].hints is not None
    assert after[PATH].account.checks != before[PATH].account.checks


async def test_a_rejection_keeps_size_and_digest_and_nothing_else():
    """V-63: the ring says when, who, why, how much."""
    async with running() as world:
        await world.post(b"x" * 1000)
        (kept,) = await world.journal.rejections(10)
    assert (kept.provider, kept.account, kept.address) == ("stripe", "acme", "127.0.0.1")
    assert (kept.size, kept.sha256) == (1000, hashlib.sha256(b"x" * 1000).hexdigest())


UNKNOWN = [
    "/webhooks/stripe/nobody",
    "/webhooks/nobody/acme",
    "/webhooks/stripe",
    "/webhooks/stripe/acme/",
    "/webhooks/stripe/acme/token",
    "/webhooks/stripe/ACME",
    "/webhooks/stripe/./acme",
    "/webhooks/stripe/%61cme",
    "/webhooks//acme",
    "/",
]


@pytest.mark.parametrize("path", UNKNOWN)
async def test_an_unknown_path_is_404(path):
    """One body for all of them."""
    async with running() as world:
        got = await world.post(path=path)
        assert world.kept == 0
    assert (got.status, got.body) == (404, b'{"error":"not_found"}')


@pytest.mark.parametrize(
    ("path", "provider", "account"),
    [
        ("/webhooks/stripe/token-in-the-wrong-place", "stripe", "other"),
        ("/webhooks/stripe/acme/token-nobody-asked-for", "stripe", "acme"),
        ("/webhooks/acme/token-in-the-wrong-place", "other", "other"),
        ("/webhooks/stripe", "stripe", "other"),
    ],
)
async def test_an_unknown_account_is_in_the_ring_without_its_name(path, provider, account, capsys):
    """An operator sees that a URL was mistyped; what stands in place of a name may be a token (P10)."""
    async with running() as world:
        await world.post(path=path)
        (kept,) = await world.journal.rejections(10)
        metrics = world.metrics.render().decode()
    assert (kept.provider, kept.account, kept.reason) == (provider, account, "unknown_account")
    assert 'paymux_rejections_total{provider="other",reason="unknown_account"} 1.0' in metrics
    assert "token-" not in metrics + capsys.readouterr().err


TOKENED = STRIPE | {"path_token": "token-0123456789abcdef"}


async def test_an_account_with_a_path_token_answers_to_it_only():
    """It is a proof: without the token, and with another one, the answer is that of every bad proof."""
    async with running(TOKENED) as world:
        good = await world.deliver(path=f"{PATH}/token-0123456789abcdef")
        missing = await world.deliver()
        wrong = await world.deliver(path=f"{PATH}/token-0123456789abcdeX")
        kept = [row.delivery for row in world.journal.store.deliveries.values()]
        assert await world.reasons() == ["path_token_mismatch"] * 2
    assert good.status == 200
    assert (missing.status, missing.body) == (wrong.status, wrong.body) == (401, b'{"error":"unauthorized"}')
    assert [(delivery.path, delivery.path_token) for delivery in kept] == [(PATH, None)]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(method):
    """None of the providers needs another one than POST."""
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(request(method=method))
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert b" 405 " in head
    assert b"Allow: POST" in head


async def test_health_pages_answer_without_a_token():
    """The process, and the journal."""
    async with running() as world:
        assert (await world.send(request(path="/healthz", method="GET"))).body == b'{"status":"ok"}'
        assert (await world.send(request(path="/readyz", method="GET"))).status == 200
        assert (await world.send(request(path="/readyz", method="POST"))).status == 405


async def test_readiness_ends_when_draining_begins():
    """A load balancer is told before the port closes; the process still lives, and still takes deliveries."""
    async with running() as world:
        world.webhooks.draining = True
        assert (await world.send(request(path="/readyz", method="GET"))).status == 503
        assert (await world.send(request(path="/healthz", method="GET"))).status == 200
        got = await world.deliver()
    assert (got.status, got.headers["connection"]) == (200, "close")


async def test_v63_too_many_bad_requests_from_one_address_are_429():
    """They get Retry-After and fill neither ring nor log; what is genuine is taken from there all the same."""
    async with running(unverified_rate=5.0) as world:
        statuses = [(await world.post()).status for _ in range(30)]
        last = await world.post()
        genuine = await world.deliver()
        ring = len(await world.reasons())
    assert statuses[:10] == [401] * 10
    assert (last.status, last.headers["retry-after"]) == (429, "1")
    assert genuine.status == 200
    assert 10 <= ring < 20


async def test_verified_deliveries_over_the_accounts_limit_are_429(monkeypatch):
    """They are not stored, and the provider is told when to come again."""
    monkeypatch.setattr(webhooks, "LONGEST_PAUSE", 0.0)
    async with running(STRIPE | {"rate_limit": 2}) as world:
        answers = [await world.deliver() for _ in range(8)]
        assert world.kept == 1
    assert [got.status for got in answers[:4]] == [200] * 4
    assert (answers[-1].status, answers[-1].headers["retry-after"]) == (429, "1")


async def test_a_commit_that_hangs_is_503_and_the_retry_a_duplicate(tmp_path, monkeypatch):
    """A disk that does not answer holds nobody for ever, and readiness tells; what it wrote at last was kept once."""
    monkeypatch.setattr(group_commit, "LONGEST_BATCH", 0.3)
    disk = threading.Event()
    journal = await SqliteJournal.open(tmp_path / "paymux.db")
    try:
        async with running(journal=journal) as world:
            journal._store._writing._thread.submit(disk.wait)
            await journal.healthy()
            assert (await world.deliver()).status == 503
            with pytest.raises(JournalUnavailable, match="running for"):
                await journal.healthy()
            began = time.monotonic()
            assert (await world.deliver()).status == 503
            assert time.monotonic() - began < 0.4, "it was put behind what hangs"
            disk.set()
            await asyncio.sleep(0.2)
            await journal.healthy()
            assert (await world.deliver()).status == 200
            assert await journal.end(0) == 1
            assert 'outcome="duplicate",provider="stripe"} 1.0' in world.metrics.render().decode()
    finally:
        disk.set()


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        del text
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_log_that_cannot_be_written_changes_no_answer(form):
    """Of deliveries and of rejections; what was lost is counted."""
    async with running() as world:
        log = configure(stream=FullDisk(), form=form)
        world.webhooks._reports = replace(world.webhooks._reports, deliveries=log)
        assert [(await world.deliver()).status, (await world.deliver(secret=OTHER_SECRET)).status] == [200, 401]
        assert log.errors == 2


class BrokenLog:
    wanted = True

    def write(self, facts: dict) -> None:
        raise RuntimeError(facts)


async def test_an_error_after_the_commit_changes_no_answer():
    """The delivery is durable: it is acknowledged, and the error counted."""
    async with running() as world:
        world.webhooks._reports = replace(world.webhooks._reports, deliveries=BrokenLog())
        assert (await world.deliver()).status == 200
        assert 'paymux_internal_errors_total{where="webhooks"} 1.0' in world.metrics.render().decode()


async def test_a_stranger_cannot_use_up_an_accounts_limit():
    """Only what is proven counts against it."""
    async with running(STRIPE | {"rate_limit": 2}) as world:
        for _ in range(20):
            await world.post(stripe_signature=signature(BODY, OTHER_SECRET))
        assert (await world.deliver()).status == 200


async def test_a_hint_asks_for_a_lookup_and_publishes_nothing():
    """P2: its body only says which object to get; the lookups are woken, and not by what needs none."""
    async with running(HINTED, STRIPE) as world:
        got = await world.post(HINT.encode(), "/webhooks/flexportal/acme")
        assert await world.journal.lookups_waiting() == 1
        assert await world.journal.end(0) == 0
        await world.deliver()
    assert (got.status, world.asked) == (200, ["a lookup"])


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"junk",
        b'{"event": 7}',
        b'{"event": "payment.succeeded"}',
        b'{"event": "payment.succeeded", "data": {}}',
        b'{"event": "payment.succeeded", "data": {"paymentId": "../x"}}',
    ],
)
async def test_a_hint_that_names_nothing_is_rejected_and_not_quarantined(body):
    """A stranger's words do not reach the quarantine topic."""
    async with running(HINTED) as world:
        got = await world.post(body, "/webhooks/flexportal/acme")
        assert await world.reasons() == ["hint_malformed"]
        assert (world.kept, await world.journal.end(0)) == (0, 0)
    assert got.status == 401


UNKNOWN_HINT = HINT.replace("payment.succeeded", "payment.teleported").encode()


async def test_a_hint_of_an_unknown_event_type_is_acknowledged_and_not_kept():
    """The provider added an event, and would disable an endpoint that answers 4xx: 200, a number and a ring entry."""
    async with running(HINTED) as world:
        got = await world.post(UNKNOWN_HINT, "/webhooks/flexportal/acme")
        assert await world.reasons() == ["hint_unknown_event"]
        assert (world.kept, await world.journal.end(0), await world.journal.lookups_waiting()) == (0, 0, 0)
        metrics = world.metrics.render().decode()
    assert (got.status, got.body) == (200, b'{"received":true}')
    assert 'paymux_rejections_total{provider="flexportal",reason="hint_unknown_event"} 1.0' in metrics


async def test_many_hints_of_an_unknown_event_type_are_acknowledged_and_told_of_a_few_times():
    """They flush nothing else out of the ring, and the provider gets no 429 for them."""
    async with running(HINTED, unverified_rate=2.0) as world:
        statuses = [(await world.post(UNKNOWN_HINT, "/webhooks/flexportal/acme")).status for _ in range(20)]
        told = await world.reasons()
        metrics = world.metrics.render().decode()
    assert statuses == [200] * 20
    assert 4 <= len(told) < 10
    assert 'paymux_rejections_total{provider="flexportal",reason="hint_unknown_event"} 20.0' in metrics


async def test_bodies_in_pieces_beyond_the_room_are_503(monkeypatch):
    """Counted as such; one that comes whole needs no room, and what was taken is given back."""
    monkeypatch.setattr(webhooks, "MOST_UNFINISHED", 20_000)
    async with running() as world:
        head = request(path=PATH, content_length="30000")
        refused = await world.send(head, b"x" * 15_000, b"x" * 15_000, pause=0.05)
        assert (refused.status, refused.headers["connection"]) == (503, "close")
        assert (await world.deliver()).status == 200
        small = request(BODY[:10], content_length=str(len(BODY)), stripe_signature=signature(BODY))
        assert (await world.send(small, BODY[10:], pause=0.05)).status == 200
        assert 'paymux_rejections_total{provider="stripe",reason="overloaded"} 1.0' in world.metrics.render().decode()


async def test_what_is_over_the_limit_is_told_so_after_a_pause():
    """A flood that waits for its answers slows down; after the pause there is room again."""
    async with running(STRIPE | {"rate_limit": 2}) as world:
        began = time.monotonic()
        statuses = [(await world.deliver()).status for _ in range(6)]
        took = time.monotonic() - began
    assert statuses == [200] * 4 + [429, 200]
    assert 0.3 < took < 3


async def test_one_accounts_flood_leaves_the_others_their_turns(monkeypatch):
    """So many of an account's deliveries are under way at once; another account's goes straight through."""
    monkeypatch.setattr(routes, "ABREAST", 2)
    async with running(STRIPE, STRIPE | {"name": "quiet"}) as world:
        turns = world.webhooks.routes[PATH].turns
        await turns.acquire()
        await turns.acquire()
        waiting = asyncio.create_task(world.deliver())
        assert (await world.deliver(path=PATH.replace(STRIPE["name"], "quiet"))).status == 200
        await asyncio.sleep(0.05)
        assert not waiting.done()
        turns.release()
        assert (await waiting).status == 200


async def test_hints_have_a_quota_for_each_address(monkeypatch):
    """Anybody can send them, so nobody may send many."""
    monkeypatch.setattr(webhooks, "LONGEST_PAUSE", 0.0)
    async with running(HINTED | {"hint_rate": 2}) as world:
        statuses = [(await world.post(HINT.encode(), "/webhooks/flexportal/acme")).status for _ in range(8)]
    assert statuses == [200] * 4 + [429] * 4


async def test_hints_that_left_too_much_to_look_up_are_429():
    """One about a new object is to come later; one about an object that waits already is taken."""
    async with running(HINTED, journal=MemoryJournal(max_hints=1)) as world:
        again = HINT.replace('"p1"', '"p2"')
        sent = [await world.post(hint.encode(), "/webhooks/flexportal/acme") for hint in (HINT, again, HINT)]
        metrics = world.metrics.render().decode()
    assert [got.status for got in sent] == [200, 429, 200]
    assert int(sent[1].headers["retry-after"]) == 30
    assert 'paymux_rejections_total{provider="flexportal",reason="lookups_full"} 1.0' in metrics


async def test_a_hint_beyond_64_kib_is_413():
    """Nobody vouches for it, so little of it is read."""
    async with running(HINTED) as world:
        assert (await world.post(b"x" * 65_537, "/webhooks/flexportal/acme")).status == 413


async def test_deliveries_from_elsewhere_than_allow_from_are_401():
    """A second layer: before anything is read."""
    async with running(STRIPE | {"allow_from": ["203.0.113.0/24"]}) as world:
        got = await world.deliver()
        assert await world.reasons() == ["address_not_allowed"]
    assert got.status == 401


async def test_a_trusted_proxy_says_where_it_came_from():
    """X-Forwarded-For counts from a trusted proxy, and from nobody else."""
    account = STRIPE | {"allow_from": ["203.0.113.0/24"]}
    trusted = routes_of(STRIPE | {"allow_from": ["127.0.0.0/8"]})[PATH].allow_from
    async with running(account, trusted_proxies=trusted) as world:
        assert (await world.deliver(x_forwarded_for="10.0.0.1, 203.0.113.7")).status == 200
        assert (await world.deliver(x_forwarded_for="203.0.113.7, 10.0.0.1")).status == 401
    async with running(account) as world:
        assert (await world.deliver(x_forwarded_for="203.0.113.7")).status == 401


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses every write beyond it, as a full disk does; Python ignores the signal that comes along."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_503_with_retry_after_and_recovers(tmp_path: Path, capsys):
    """P8: never 2xx, never 4xx; the log says why, not once for each; the same delivery is taken once there is room."""
    journal = await SqliteJournal.open(tmp_path / "journal.db")
    async with running(journal=journal) as world:
        assert (await world.deliver()).status == 200
        with files_no_larger_than((tmp_path / "journal.db-wal").stat().st_size + 100_000):
            filling = [BODY.replace(b'"evt_', b'"evt_%d' % n) + b" " * 20_000 for n in range(10)]
            answers = [await world.deliver(body) for body in filling]
            for _ in range(2):  # each probe writes: a commit of nothing would succeed
                with pytest.raises(JournalUnavailable, match=r"disk|full"):
                    await journal.healthy()
        again = await world.deliver(filling[-1])
        assert 'paymux_deliveries_total{outcome="unavailable",provider="stripe"}' in world.metrics.render().decode()
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"journal_unavailable"' in line]
    assert 1 <= len(told) <= 3 < [got.status for got in answers].count(503)
    assert "disk" in told[0]["detail"]
    assert (answers[-1].status, answers[-1].headers.get("retry-after")) == (503, "5")
    assert {got.status for got in answers} == {200, 503}
    assert again.status == 200


@dataclass(frozen=True, slots=True)
class Broken:
    """A scheme of somebody's own with a mistake in it."""

    proof: ClassVar[Proof] = Proof.SIGNATURE
    secret_headers: ClassVar[frozenset[bytes]] = frozenset()

    def key(self, secret: str) -> bytes:
        return secret.encode()

    def verify(self, delivery: Delivery, keys: Sequence[bytes]) -> int:  # noqa: ARG002  # the protocol's
        raise KeyError(delivery.body)


async def test_an_unforeseen_error_before_verification_is_503(capsys):
    """No traceback, and a log line that says where, not what was sent."""
    async with running() as world:
        route = world.webhooks.routes[PATH]
        world.webhooks.routes = {PATH: replace(route, account=replace(route.account, checks=((Broken(), (b"",)),)))}
        got = await world.deliver()
        assert 'paymux_internal_errors_total{where="webhooks"} 1.0' in world.metrics.render().decode()
    logged = capsys.readouterr().err
    assert (got.status, got.headers["retry-after"], got.body) == (503, "5", b'{"error":"unavailable"}')
    assert "KeyError" in logged
    assert "evt_" not in logged


async def test_one_wide_line_tells_everything_about_a_delivery(capsys):
    """One line of JSON: ids, outcome, proof, size, time."""
    async with running() as world:
        await world.deliver()
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"delivery"' in line]
    assert (
        line.items()
        >= {
            "event": "delivery",
            "level": "info",
            "provider": "stripe",
            "account": "acme",
            "outcome": "events",
            "event_type": "payment_intent.succeeded",
            "proof": "signature",
            "secret": 0,
            "bytes": len(BODY),
            "address": "127.0.0.1",
            "events": 1,
        }.items()
    )
    assert line["append_ms"] >= 0


async def test_routes_may_change_while_a_request_is_under_way():
    """A reload drops no request: the one under way ends as it began, the next one meets the new secrets."""
    async with running() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        whole = request(BODY, stripe_signature=signature(BODY))
        writer.write(whole[:-10])
        await asyncio.sleep(0.1)
        world.webhooks.routes = routes_of(STRIPE | {"secrets": [OTHER_SECRET]})
        writer.write(whole[-10:])
        assert b" 200 " in await reader.readline()
        writer.close()
        assert (await world.deliver(secret=SECRET)).status == 401
        assert (await world.deliver(secret=OTHER_SECRET)).status == 200

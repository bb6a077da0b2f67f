"""A person's data taken out of the journal: what goes, what stays, and what refuses it afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from paymux.delivery import Via
from paymux.errors import EraseRefused, JournalUnavailable, NotStored
from paymux.journal.audit import first_broken
from paymux.journal.history import Sought
from paymux.journal.jobs import JobState
from paymux.journal.memory import MemoryJournal
from paymux.journal.sqlite import SqliteJournal
from paymux.keeping.erasing import Erasing, person
from paymux.records import is_erased
from paymux.wiring.parts import reading
from tests.journal.stored import deliveries, everything, items
from tests.journal.tiny import append, batch, delivered, payment, put, says
from tests.replay.houses import RIGHT, TOPIC, WRONG, House, account

CANARY = "Jane-Doe-of-Elm-Street"
HEADERS = ((b"X-Shopper", CANARY.encode()),)


class Home(House):
    """House, with what erases."""

    def __init__(self, journal):
        history, archive = reading(journal)
        super().__init__(journal, archive, history)
        self.erasing = Erasing(journal, history, archive, topic=TOPIC)

    async def published(self):
        await self.journal.advance(0, await self.journal.end(0))

    async def erase(self, key="tiny/acme/payment-1", kind="payment"):
        return await self.erasing.erase(person(kind, key), "asked by letter", "guardian")

    async def acts(self):
        return await self.history.audit(after=0, limit=100)


@pytest.fixture(params=["memory", "sqlite"])
async def home(request, tmp_path):
    memory = request.param == "memory"
    made = Home(MemoryJournal() if memory else await SqliteJournal.open(tmp_path / "paymux.db"))
    yield made
    await made.archive.close()
    await made.history.close()
    await made.journal.close()


def told(key, payment_id="payment-1", **fields):
    return says("payment", key, payment_id, **{"status": "succeeded", "amount": 4999, "note": CANARY, **fields})


async def test_a_payments_data_is_gone_and_its_facts_stay(home):
    """Body, headers, query and what its event said go; id, digest, time, outcome, amounts and the order stay, and the
    audit trail says who did it and why.
    """
    await append(home.journal, batch(told("e1"), headers=HEADERS, query=f"name={CANARY}"))
    await put(home.journal, told("e2", "payment-2", note="somebody else"))
    await home.published()
    before = (await home.history.deliveries(Sought(), limit=9)).deliveries[-1]
    (row, other) = await home.rows()

    done = await home.erase()

    assert (done.deliveries, done.records, done.payments) == (1, 1, ("tiny/acme/payment-1",))
    assert CANARY.encode() not in everything(home.journal)
    after = (await home.history.deliveries(Sought(), limit=9)).deliveries[-1]
    assert (after.id, after.sha256, after.received_at, after.items) == (
        before.id,
        before.sha256,
        before.received_at,
        before.items,
    )
    assert after.size is None
    kept, untouched = await home.rows()
    assert (kept.seq, kept.chain, kept.record.event_id, kept.record.key) == (
        row.seq,
        row.chain,
        row.record.event_id,
        row.record.key,
    )
    event = json.loads(kept.record.value)
    assert (event["id"], event["type"], event["data"]["payment"]) == (row.record.event_id, "payment.succeeded", None)
    assert event["data"]["lifecycle"]["state"]["amount"]["minor"] == 4999
    assert untouched == other
    (act,) = [each.act for each in await home.acts()]
    assert (act.who, act.action, act.target) == ("guardian", "erase.payment", "tiny/acme/payment-1")
    assert (act.detail["why"], list(act.detail["records"])) == ("asked by letter", [1])
    assert first_broken(await home.acts()) is None


async def test_by_another_name_and_with_what_joined_it(home):
    """A charge's id finds the payment; a refund that came before its payment was known is its, too."""
    await put(home.journal, says("refund", "e1", "refund-1", by="charge-1", status="succeeded", amount=9))
    await put(home.journal, told("e2", aliases=["charge-1"]))
    await home.published()
    done = await home.erase("tiny/acme/charge-1")
    assert done.payments == ("tiny/acme/payment-1", "tiny/acme/refund-1")
    assert done.deliveries == 2
    assert all(is_erased(row.record) for row in await home.rows())


async def test_what_was_not_understood_goes_too(home):
    """Quarantined, ignored, and bodies that came twice: whatever names the id as a word; longer ids are others."""
    await put(home.journal, told("e1"))
    await put(home.journal, told("e1", extra=CANARY))  # the same event in other bytes
    await put(home.journal, says("no such type", "e3", "payment-1", note=CANARY))
    await put(home.journal, says("ping", "e4", "payment-1", note=CANARY))
    await put(home.journal, says("no such type", "e5", "payment-10", note="another"))
    await home.published()
    done = await home.erase()
    assert (done.deliveries, done.records) == (4, 2)
    assert [delivery.body == b"" or delivery.body is None for delivery in deliveries(home.journal)] == [True] * 4 + [
        False
    ]
    assert CANARY.encode() not in everything(home.journal)
    assert [item[2] for item in items(home.journal)] == ["events", "events", "quarantined", "ignored", "quarantined"]
    assert (await home.history.quarantine())[0].count == 2


async def test_of_a_batch_the_body_goes_and_the_others_events_stay(home):
    """One body holds both; the event of the payment that nobody asked about stays as it was published."""
    await put(home.journal, told("e1"), told("e2", "payment-2", note="somebody else"))
    await home.published()
    before = await home.rows()
    await home.erase()
    after = await home.rows()
    assert is_erased(after[0].record)
    assert after[1] == before[1]
    assert (await home.do("republish")).counts == {"events": 1, "erased": 1}


async def test_a_customers_payments(home, monkeypatch):
    """Whatever names them, and all of each payment of theirs, also what names nobody."""
    await put(home.journal, told("e1", customer="cust-0001"))
    await put(home.journal, says("refund", "e2", "refund-1", payment="payment-1", status="succeeded", amount=9))
    await put(home.journal, says("ping", "e3", "x", customer="cust-0001"))
    await put(home.journal, told("e4", "payment-2", customer="cust-00011"))
    await home.published()
    done = await home.erase("tiny/acme/cust-0001", "customer")
    assert (done.deliveries, done.records, done.payments) == (3, 2, ("tiny/acme/payment-1",))
    assert [is_erased(row.record) for row in await home.rows()] == [True, True, False]


async def test_replays_refuse_what_is_erased(home):
    """Republishing, translating anew, comparing and retrying count it as erased, and publish nothing of it."""
    home.account = WRONG
    await append(home.journal, batch(told("e1")), WRONG)
    await append(home.journal, batch(says("no such type", "e2", "payment-1")), WRONG)
    await append(home.journal, batch(told("e3", "payment-2")), WRONG)
    await home.published()
    await home.erase()
    home.account = RIGHT
    end = await home.journal.end(0)
    assert (await home.replays.preview(order("retranslate"))).counts["erased"] == 2
    assert (await home.replays.preview(order("republish"))).counts == {"events": 1, "erased": 1}
    assert (await home.do("retranslate")).counts["erased"] == 2
    assert (await home.do("retry")).counts["erased"] == 1
    diff = await home.do("diff")
    assert (diff.counts["erased"], diff.counts["changed"], diff.counts["payments_unreadable"]) == (2, 1, 1)
    assert await home.journal.end(0) == end
    republished = await home.do("republish")
    assert (republished.counts, await home.journal.end(0)) == ({"events": 1, "erased": 1}, end + 1)


def order(kind):
    from paymux.replay.orders import Order

    return Order(kind=kind, sought=Sought())


async def test_what_a_diff_found_goes_too(home):
    """The values before and after, which are kept until a diff is accepted."""
    home.account = WRONG
    await append(home.journal, batch(told("e1")), WRONG)
    home.account = RIGHT
    job = await home.do("diff")
    assert (job.state, job.counts["changed"]) == (JobState.READY, 1)
    await home.published()
    await home.erase()
    (change,) = await home.history.changes(job.id, after="", limit=9)
    assert (change.old, change.new, change.paths) == (None, None, ("/payment/amount",))
    done = await home.accept(job)
    assert "published" not in done.counts


@pytest.mark.parametrize(("kind", "look"), [("republish", "records"), ("retranslate", "kept"), ("diff", "kept")])
async def test_erased_between_a_jobs_look_and_its_commit(home, monkeypatch, kind, look):
    """What a job read before is not published by it, nor kept as a change."""
    await append(home.journal, batch(told("e1")), WRONG)
    await append(home.journal, batch(says("later", "e2", "payment-1", status="succeeded", amount=1)), WRONG)
    await home.published()
    home.account = account(2, later=payment)
    end, looked = await home.journal.end(0), getattr(home.archive, look)

    async def looks(*arguments, **more):
        found = await looked(*arguments, **more)
        monkeypatch.undo()
        assert (await home.erase()).deliveries == 2
        return found

    monkeypatch.setattr(home.archive, look, looks)
    job = await home.do(kind)
    assert job.counts["erased"] >= 1
    assert await home.journal.end(0) == end
    assert list(await home.history.changes(job.id, after="", limit=9)) == []


async def test_what_is_not_published_yet(home):
    """Refused: it has to go out first. Nothing is changed."""
    await put(home.journal, told("e1"))
    before = everything(home.journal)
    with pytest.raises(EraseRefused) as refused:
        await home.erase()
    assert refused.value.reason == "unpublished"
    assert everything(home.journal) == before


async def test_nothing_to_erase(home):
    """An id that nothing names, one that is no id, and no reason."""
    with pytest.raises(NotStored):
        await home.erase("tiny/acme/payment-9")
    with pytest.raises(NotStored):
        await home.erase("tiny/acme/cust-9999", "customer")
    with pytest.raises(EraseRefused, match="PROVIDER/ACCOUNT/ID"):
        await home.erase("payment-1")
    with pytest.raises(EraseRefused, match="say why"):
        await home.erasing.erase(person("payment", "tiny/acme/payment-1"), " ", "guardian")


COMMON = ("null", "None", "true", "usd", "succeeded", '"', " ", "2026", "4999", "{", '"payment-1"', "payment-1 ")


@pytest.mark.parametrize("kind", ["payment", "customer"])
async def test_an_id_that_is_none(home, kind):
    """What a script makes of an id that is missing, and any word that bodies have: refused, and nobody's data goes."""
    await put(home.journal, told("e1", currency="usd", more=[None, True, "None", "2026", " ", "payment-1 "]))
    await home.published()
    before = everything(home.journal)
    for word in COMMON:
        with pytest.raises(EraseRefused, match="is known as"):
            await home.erase(f"tiny/acme/{word}", kind)
    assert everything(home.journal) == before


def bought(body, head):
    """A mapping that says whose payment it is, in words that bodies may hide."""
    (said,) = payment(body, head)
    return (replace(said, block=replace(said.block, customer_id=CUSTOMER)),)


CUSTOMER = "acme-corp"


async def test_a_customer_whom_events_name(home, monkeypatch):
    """Known by what was published, whatever the id looks like: the payment goes whole although no body names them, and
    so does what names them and was not understood.
    """
    monkeypatch.setattr("paymux.keeping.erasing.PAGE", 1)
    buyer = account(1, payment=bought)
    await put(home.journal, told("e0", "payment-0"))
    await append(home.journal, batch(told("e1")), buyer)
    await put(home.journal, says("refund", "e2", "refund-1", payment="payment-1", status="succeeded", amount=9))
    await put(home.journal, says("ping", "e3", "x", customer=CUSTOMER))
    await put(home.journal, told("e4", "payment-2"))
    await home.published()
    done = await home.erase(f"tiny/acme/{CUSTOMER}", "customer")
    assert (done.deliveries, done.records, done.payments) == (3, 2, ("tiny/acme/payment-1",))
    assert [is_erased(row.record) for row in await home.rows()] == [False, True, True, False]
    assert not any(CUSTOMER.encode() in row.record.value for row in await home.rows())


async def test_erasing_twice(home):
    """The second time there is nothing left, and that is no mistake."""
    await put(home.journal, told("e1"))
    await home.published()
    await home.erase()
    assert (await home.erase()).deliveries == 0
    assert len(await home.acts()) == 1


async def test_a_preview_changes_nothing(home):
    """It counts what it would be about."""
    await put(home.journal, told("e1"))
    await home.published()
    before = everything(home.journal)
    done = await home.erasing.preview(person("payment", "tiny/acme/payment-1"))
    assert (done.deliveries, done.records) == (1, 1)
    assert everything(home.journal) == before


async def test_open_lookups_of_what_is_erased(home):
    """They would bring it back."""
    await put(home.journal, says("ask", "e1", "x", ids=["payment-1"]))
    await put(home.journal, says("ask", "e2", "x", ids=["payment-2"]))
    assert (await home.erase()).deliveries == 1
    assert await home.journal.lookups_waiting() == 1


async def test_open_lookups_of_what_came_in_one_batch(home):
    """What came with it and is another's is asked for all the same: its delivery was acknowledged."""
    asks = (says("ask", "e1", "x", ids=["payment-1"]), says("ask", "e2", "x", ids=["payment-2"]))
    await append(home.journal, batch(*asks))
    assert (await home.erase()).deliveries == 1
    assert [row.ref.id for row in await home.journal.due_lookups(datetime.max.replace(tzinfo=UTC), 9)] == ["payment-2"]


async def test_what_the_provider_would_not_tell(home):
    """The record of a lookup that was given up goes with the delivery that asked for it."""
    await put(home.journal, says("ask", "e1", "x", ids=["payment-1"]))
    (lookup,) = await home.journal.due_lookups(datetime.max.replace(tzinfo=UTC), 9)
    await home.journal.give_up(lookup, reason="lookup_denied", detail=CANARY)
    await home.published()
    assert (await home.erase()).records == 1
    assert CANARY.encode() not in everything(home.journal)
    assert all(is_erased(row.record) for row in await home.rows())


async def test_the_same_webhook_once_more(home):
    """Its digest is still known: it is a duplicate, and its body is not kept again."""
    verified = batch(told("e1"))
    await append(home.journal, verified)
    await home.published()
    await home.erase()
    (receipt,) = await append(home.journal, verified)
    assert receipt.result == "duplicate"
    assert CANARY.encode() not in everything(home.journal)


@pytest.mark.parametrize("writer", ["thread", "process"])
async def test_no_byte_of_it_is_left_in_the_files(tmp_path, writer):
    """Not in the file's free pages, not in the WAL: of several hundred deliveries, half of them erased, every size."""
    from paymux.wiring.parts import _WRITING

    path = tmp_path / "paymux.db"
    journal = await SqliteJournal.open(path, writing=_WRITING[writer])
    home = Home(journal)
    for number in range(300):
        note = f"{'secret' if number % 2 else 'public'}-{number:04d}-" + "z" * (number * 37 % 3000)
        await put(journal, told(f"e{number}", f"payment-{number % 2}", note=note))
    await home.published()
    await put(journal, says("ping", "last", "x"))  # the mark goes along
    assert found_in(tmp_path, b"secret-") > 100

    await home.erase("tiny/acme/payment-1")

    assert found_in(tmp_path, b"secret-") == 0
    assert found_in(tmp_path, b"public-") >= 300
    await home.archive.close()
    await home.history.close()
    await journal.close()
    assert found_in(tmp_path, b"secret-") == 0


async def test_a_reader_that_stays(tmp_path, monkeypatch):
    """Its snapshot keeps old pages in the WAL: that is told, and done again once it has gone."""
    import sqlite3

    monkeypatch.setattr("paymux.keeping.erasing.SCRUBS", 0)
    monkeypatch.setattr("paymux.journal.sqlite.writer.LOCK_PATIENCE", 0.1)
    home = Home(await SqliteJournal.open(tmp_path / "paymux.db"))
    await put(home.journal, told("e1", note="a-secret-word"))
    await home.published()
    reader = sqlite3.connect(tmp_path / "paymux.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM deliveries").fetchall()
    with pytest.raises(JournalUnavailable, match="while another program reads"):
        await home.erase()
    assert found_in(tmp_path, b"a-secret-word") > 0
    reader.close()
    await home.erase()
    assert found_in(tmp_path, b"a-secret-word") == 0
    await home.archive.close()
    await home.history.close()
    await home.journal.close()


def found_in(folder, word):
    return sum(file.read_bytes().count(word) for file in folder.iterdir())


def test_a_word_is_not_a_part_of_another():
    """Ids are compared whole, whatever stands around them."""
    from paymux.journal.archive import word

    sought = word(["pay_1", "p.2"])
    assert all(sought.search(text) for text in (b'"pay_1"', b"id=pay_1&x", b"/v2/pay_1/", b">p.2<", b"pay_1"))
    assert not any(sought.search(text) for text in (b"pay_12", b"xpay_1", b"pay_1_secret", b"p-2", b"pay_1-x"))


async def test_an_api_answer_about_it(home):
    """What was looked up is erased as what was sent is."""
    body = {"id": "payment-1", "status": "succeeded", "amount": 1, "note": CANARY}
    from tests.journal.tiny import answered

    await append(home.journal, answered(body))
    await append(home.journal, delivered(b"no json " + CANARY.encode() + b" payment-1", via=Via.WEBHOOK))
    await home.published()
    assert (await home.erase()).deliveries == 2
    assert CANARY.encode() not in everything(home.journal)

"""Random histories of an account, on both journals: what is replayed with the mapping of before changes nothing, and
what is corrected is as if it had been right from the beginning.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paymux.delivery import Via
from paymux.journal.jobs import JobState
from paymux.lifecycle import state_of
from paymux.records import REPLAY
from paymux.signatures import trusted
from tests.journal.tiny import answered, append, batch, payment, refund, says
from tests.replay.houses import TOPIC, account, doubled, life, opened

PAYMENTS = st.sampled_from(["p1", "p1", "p2"])
REFUNDS = st.sampled_from(["r1", "r2"])
KEYS = st.sampled_from([f"e{number}" for number in range(25)] + [None])
TIMES = st.one_of(st.none(), st.integers(0, 6))
AMOUNTS = st.sampled_from([None, 100, 300])
ALIASES = st.sampled_from([(), (), ("c1",), ("c1", "c2")])


def _item(kind, ids, **fields):
    return st.builds(says, st.sampled_from(kind), KEYS, ids, after=TIMES, **fields)


ITEMS = st.one_of(
    _item(
        ["payment", "payment", "odd", "ping"],
        PAYMENTS,
        status=st.sampled_from(["processing", "succeeded", "failed", None]),
        amount=AMOUNTS,
        refunded=AMOUNTS,
        aliases=ALIASES,
    ),
    _item(
        ["refund", "odd refund"],
        REFUNDS,
        payment=st.sampled_from(["p1", "p2", None]),
        by=st.sampled_from(["c1", "c2"]),
        status=st.sampled_from(["processing", "succeeded", "failed"]),
        amount=AMOUNTS,
    ),
    _item(
        ["dispute"],
        st.just("d1"),
        payment=st.sampled_from(["p1", None]),
        by=st.sampled_from(["c1", "c2"]),
        status=st.sampled_from(["needs_response", "lost", "won"]),
        fact=st.sampled_from([None, "funds_withdrawn", "funds_reinstated"]),
    ),
    _item(["payout"], st.just("po"), status=st.sampled_from(["in_transit", "paid"])),
    st.builds(lambda key, ids: says("ask", key, ids=ids), KEYS, st.sampled_from([["p1"], ["p1", "p2"]])),
)
ANSWERS = st.builds(
    lambda object_id, after, **fields: {
        name: value for name, value in says("payment", None, object_id, after=after, **fields).items() if name != "key"
    },
    PAYMENTS,
    after=TIMES,
    status=st.sampled_from(["processing", "succeeded"]),
    amount=AMOUNTS,
    refunded=AMOUNTS,
)
BATCHES = st.lists(ITEMS, min_size=1, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("webhook"), BATCHES),
        st.tuples(st.just("import"), BATCHES),
        st.tuples(st.just("answer"), ANSWERS),
        st.tuples(st.sampled_from(["retry", "retranslate"]), st.none()),
    ),
    min_size=1,
    max_size=8,
)


def by_alias(body, head):
    """The mapping with a bug: a refund's payment is known by its other name only."""
    (right,) = refund(body, head)
    alias = body.maybe_id("by")
    return (replace(right, block=replace(right.block, payment_id=None), payment_id=None, payment_alias=alias),)


MORE = {"odd": payment, "odd refund": refund}
NARROW = account(1)
WIDE = account(2, **MORE)
WRONG = account(1, payment=doubled, refund=by_alias)


def consistent(steps):
    """What once named its payment goes on to: otherwise nobody could tell under which key it stands."""
    named = {}

    def item(told):
        if told.get("payment"):
            named[told["id"]] = told["payment"]
        return {**told, "payment": named[told["id"]]} if "by" in told and told["id"] in named else told

    return [(what, [item(each) for each in told] if what in ("webhook", "import") else told) for what, told in steps]


def numbered(steps):
    """Each item under an event key of its own."""
    keys = itertools.count()
    return [
        (what, [{**each, "key": f"n{next(keys)}"} for each in told] if what in ("webhook", "import") else told)
        for what, told in steps
    ]


async def live(made, steps, old):
    """What happens to an account: first with an old mapping, from the first retry on with the one of today."""
    now, made.account = old, made.account
    for what, told in consistent(steps):
        match what:
            case "webhook":
                await append(made.journal, batch(*told), now)
            case "import":
                await append(made.journal, trusted(batch(*told, via=Via.IMPORT).delivery), now)
            case "answer":
                await append(made.journal, answered(told), now)
            case _:
                now = made.account
                await made.do(what)


async def published(made):
    return [row.record for row in await made.rows() if row.record.topic == TOPIC]


async def assert_sound(made):
    """P3, P4: no id twice, no gap, no key that changes."""
    records = await published(made)
    ids = [record.event_id for record in records if REPLAY not in dict(record.headers)]
    assert [each for each, count in Counter(ids).items() if count > 1] == []
    numbers = {}
    for event, record in zip(await made.events(), records, strict=True):
        numbers.setdefault(record.key, []).append(life(event)["sequence"])
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values()), numbers


async def changes(made, job):
    return [(each.kind, each.type, each.paths) for each in await made.history.changes(job.id, after="", limit=99)]


def many(count):
    return settings(
        report_multiple_bugs=False,
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


EXAMPLES = {"memory": many(150), "sqlite": many(30)}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_mapping_of_before_changes_nothing(kind):
    """Whatever was heard, and whenever it was understood: then a diff is empty, and nothing is published anew."""

    @EXAMPLES[kind]
    @given(STEPS)
    def check(steps):
        asyncio.run(_changes_nothing(kind, steps))

    check()


async def _changes_nothing(kind, steps):
    async with opened(kind) as made:
        made.account = WIDE
        await live(made, steps, NARROW)
        await made.do("retry")
        await assert_sound(made)
        before = await made.rows()
        again = await made.do("retranslate")
        assert (await made.rows())[len(before) :] == []
        job = await made.do("diff")
        assert await changes(made, job) == []
        assert (again.state, job.state) == (JobState.DONE, JobState.DONE)
        assert await made.rows() == before


@pytest.mark.parametrize("kind", EXAMPLES)
def test_what_is_corrected_is_as_if_it_had_been_right(kind):
    """The events that stand, and what is known of each payment; a second diff finds nothing more to say."""

    @EXAMPLES[kind]
    @given(STEPS)
    def check(steps):
        asyncio.run(_is_corrected(kind, numbered(consistent(steps))))

    check()


async def _is_corrected(kind, steps):
    async with opened(kind) as made, opened("memory") as right:
        made.account = right.account = WIDE
        await live(made, steps, WRONG)
        await made.do("retry")
        await accepted(made, await made.do("diff"))
        await assert_sound(made)
        await live(right, steps, WIDE)
        if not any(what in ("import", "answer") for what, _ in steps):  # those may change what is known and say nothing
            assert await states(made) == await states(right)
        before = await made.rows()
        await accepted(made, job := await made.do("diff"))
        assert {kind for kind, *_ in await changes(made, job)} <= {"gone"}
        await made.do("retranslate")
        assert (await made.rows())[len(before) :] == []


async def accepted(made, job):
    if job.state is JobState.READY:
        job = await made.accept(job)
    assert job.state is JobState.DONE, job


async def states(made):
    """What is known of each payment."""
    known = await made.archive.known([f"tiny/acme/{each}" for each in ("p1", "p2")])
    return {key: state_of(each, key.rsplit("/", 1)[1]) for key, each in known.items()}

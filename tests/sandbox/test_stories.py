"""Every story of `paymux dev`, told to the line itself: signed, verified, translated, appended."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from paymux.delivery import Asked, Delivery, Via
from paymux.errors import Rejected
from paymux.journal import Entry
from paymux.journal.memory import MemoryJournal
from paymux.provider import Account
from paymux.providers import BY_NAME
from paymux.sandbox import samples
from paymux.sandbox.accounts import NAME, demo_account
from paymux.sandbox.signing import signed
from paymux.sandbox.stories import STORIES, Held, Post, Put, told
from paymux.signatures import confirmed, verify
from paymux.statement import Lookup
from paymux.translate import translate


class Listener:
    """Takes a story's steps as `serve` would, and tells what the topics say."""

    def __init__(self, story):
        provider = BY_NAME[story.provider]
        self.demo, self.other = demo_account(provider.name), demo_account(provider.name)
        scheme = provider.scheme(self.demo.options)
        keys = (scheme.key(self.demo.secret),) if self.demo.secret else ()
        self.scheme = scheme
        self.account = Account(
            provider=provider, name=NAME, checks=((scheme, keys),), livemode=False, options=self.demo.options
        )
        self.journal = MemoryJournal()
        self.held = b""
        self.rejected = []
        self._count = 0

    async def take(self, step):
        if isinstance(step, Held):
            self.held = step.body
            return
        at = datetime.now(UTC)
        secret, url = (self.other if step.forged else self.demo).secret, self.demo.public_url or ""
        sent = signed(self.scheme, secret=secret, body=step.body, message=step.message, at=at, url=url)
        delivery = self._delivery(
            sent.body, headers=tuple((name.encode(), value.encode()) for name, value in sent.headers.items())
        )
        try:
            verified = verify(delivery, self.account.checks)
        except Rejected as error:
            self.rejected.append(error.reason)
            return
        items = translate(self.account, verified)
        await self.journal.append(Entry(account=self.account, verified=verified, items=items))
        if isinstance(items[0].outcome, Lookup):
            await self._look_up(items[0].outcome)

    async def _look_up(self, lookup):
        now = datetime.now(UTC)
        for row in await self.journal.due_lookups(now, 10):
            assert row.ref in lookup.objects
            answer = confirmed(self._delivery(self.held, via=Via.LOOKUP, asked=Asked(ref=row.ref)))
            items = translate(self.account, answer)
            entry = Entry(account=self.account, verified=answer, items=items, answers=row.id, asked=row.asked)
            await self.journal.append(entry)

    def _delivery(self, body, **more):
        self._count += 1
        return Delivery(
            id=f"01900000-0000-7000-8000-{self._count:012}",
            provider=self.account.provider.name,
            account=self.account.name,
            received_at=datetime.now(UTC),
            body=body,
            url=self.demo.public_url,
            **more,
        )

    async def events(self):
        rows = await self.journal.read(0, 0, 1000)
        return [json.loads(row.record.value) for row in rows]

    async def tells(self):
        return tuple(map(_told, await self.events())) + tuple(f"rejected {reason}" for reason in self.rejected)


def _told(event):
    return f"quarantined {event['data']['reason']}" if event["type"] == "paymux.quarantined" else event["type"]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
async def test_a_story_tells_what_it_says(story):
    """Exactly these events, in this order, each payment's numbered without a gap."""
    listener = Listener(story)
    for step in told(story, datetime.now(UTC)):
        await listener.take(step)
    assert await listener.tells() == story.tells
    numbered = [
        event["data"]["lifecycle"]["sequence"] for event in await listener.events() if "lifecycle" in event["data"]
    ]
    assert numbered == list(range(1, len(numbered) + 1))


def test_every_step_has_its_sample():
    """A story can be told only of what there is."""
    for story in STORIES:
        for step in story.steps:
            shelf = samples.answers if isinstance(step, Put) else samples.webhooks
            assert step.sample in {sample.label for sample in shelf(story.provider)}, (story.title, step.sample)


def test_a_repeated_step_is_the_same_delivery():
    """Same bytes, same message id; another `message` is another delivery of the same body."""
    [flexprice] = [story for story in STORIES if story.provider == "flexprice"]
    steps = list(told(flexprice, datetime.now(UTC)))
    assert steps[2] == steps[3]
    assert len({step.message for step in steps}) == len(steps) - 1
    [flowglad] = [story for story in STORIES if story.provider == "flowglad"]
    posts = [step for step in told(flowglad, datetime.now(UTC)) if not isinstance(step, Held)]
    assert posts[0] == posts[1]
    assert (posts[0].body, posts[0].message) != (posts[2].body, posts[2].message)
    assert posts[0].message != posts[2].message


def test_a_story_told_twice_is_about_two_payments():
    """No body and no message id comes again."""
    for story in STORIES:
        first, second = (set(map(repr, told(story, datetime.now(UTC)))) for _ in range(2))
        assert not first & second


def test_the_stories_show_everything_once():
    """All five providers, and each of: a duplicate, a forged one, an unknown type, a lookup."""
    posts = [(story, step) for story in STORIES for step in story.steps if isinstance(step, Post)]
    assert {story.provider for story in STORIES} == BY_NAME.keys()
    assert any(step.forged for _, step in posts)
    assert any(step.says for _, step in posts)
    assert any(story.steps.count(step) > 1 for story, step in posts)
    assert any(isinstance(step, Put) for story in STORIES for step in story.steps)

"""New deliveries as they are committed, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from paymux.http.api import tail
from paymux.sandbox import samples
from tests.http.api.stories import STORY, delivery_id, take
from tests.http.inside import api, bearer

PATIENCE = 5.0


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.02)


def another(number: int = 1) -> bytes:
    """An event that the stories do not have."""
    return samples.webhook("stripe", STORY[1]).body.replace(b"evt_", b"evt_another_%d_" % number)


class Followed:
    def __init__(self, answer):
        self.answer = answer

    async def block(self) -> dict[str, str]:
        """The next event or comment: its fields."""
        async with asyncio.timeout(PATIENCE):
            lines = []
            while (line := (await self.answer.content.readline()).decode()) != "\n":
                assert line, "it ended"
                lines.append(line.rstrip("\n"))
        return dict(line.split(": ", 1) if not line.startswith(":") else ("comment", line[1:]) for line in lines)

    async def event(self) -> dict[str, str]:
        while "data" not in (found := await self.block()):
            pass
        return found

    async def number(self) -> int:
        return int(json.loads((await self.event())["data"])["id"][-1])


@asynccontextmanager
async def followed(ask, query="", **headers):
    async with ask.asked.get(f"/api/v1/tail{query}", headers=bearer("looker", **headers)) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        found = Followed(answer)
        assert "retry" in await found.block()
        yield found


async def test_what_is_committed_is_told(ask, journal):
    """Nothing of before; each delivery as the list has it, without its body."""
    async with followed(ask) as follower:
        await take(journal, 5, another())
        told = await follower.event()
        assert told["event"] == "delivery"
        assert json.loads(told["data"]) == (await ask.get("deliveries?limit=1")).body["deliveries"][0]
        for number in (6, 7):
            await take(journal, number, another(number))
            assert await follower.number() == number


async def test_it_goes_on_after_the_last_that_was_seen(ask, journal):
    """Last-Event-ID: nothing twice, nothing left out."""
    async with followed(ask, **{"Last-Event-ID": "0000000000000000"}) as follower:
        seen = [await follower.event() for _ in range(3)]
    assert [json.loads(each["data"])["id"] for each in seen] == [delivery_id(n) for n in (0, 1, 2)]
    async with followed(ask, **{"Last-Event-ID": seen[-1]["id"]}) as follower:
        assert [await follower.number() for _ in range(2)] == [3, 4]


async def test_only_what_is_wanted(ask, journal):
    """The filters of the list, times aside."""
    async with followed(ask, "?outcome=events", **{"Last-Event-ID": "0000000000000000"}) as follower:
        assert [await follower.number() for _ in range(3)] == [0, 1, 2]
        await take(journal, 5, b'{"id": "evt_x", "object": "event", "type": "no.such"}')
        await take(journal, 6, another())
        assert await follower.number() == 6


async def test_a_seen_id_of_a_journal_that_was_longer(ask, journal):
    """After a restore: it goes on with what comes now."""
    async with followed(ask, **{"Last-Event-ID": "7000000000000000"}) as follower:
        await take(journal, 5, another())
        assert await follower.number() == 5


@pytest.mark.parametrize("seen", ["x", "5", "-000000000000001", "000000000000000g"])
async def test_a_seen_id_that_is_none(ask, seen):
    """400, naming the header."""
    async with ask.asked.get("/api/v1/tail", headers=bearer(**{"Last-Event-ID": seen})) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["errors"][0]["name"]) == (400, "Last-Event-ID")


async def test_quiet_times(ask, monkeypatch):
    """A comment now and then."""
    monkeypatch.setattr(tail, "HEARTBEAT_SECONDS", 0.05)
    async with followed(ask) as follower:
        assert "comment" in await follower.block()


async def test_listeners_are_bounded(ask, monkeypatch):
    """One too many is 503; one who went makes room."""
    monkeypatch.setattr(tail, "MOST_LISTENERS", 2)
    async with followed(ask), followed(ask):
        got = await ask.get("tail")
        assert (got.status, got.body["type"]) == (503, "urn:paymux:problem:too_many_listeners")
        assert "Retry-After" in got.headers
    deadline = time.monotonic() + PATIENCE
    listeners = ask.asked.app[tail.LISTENERS]
    while listeners.count and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert listeners.count == 0
    async with followed(ask):
        pass


async def test_it_ends_with_the_server(journal):
    """At once, though listeners are there."""
    began = time.monotonic()
    async with api(journal) as ask:
        answer = await ask.asked.get("/api/v1/tail", headers=bearer())
        follower = Followed(answer)
        await follower.block()
        await ask.asked.server.close()
        async with asyncio.timeout(PATIENCE):
            assert await answer.content.read() == b""
    assert time.monotonic() - began < PATIENCE


async def test_a_journal_that_cannot_be_read_ends_it(journal, monkeypatch):
    """The client comes again with what it saw last."""
    from paymux.errors import JournalUnavailable

    async with api(journal) as ask, followed(ask) as follower:

        async def unreadable(*_, **__):
            raise JournalUnavailable("gone")

        monkeypatch.setattr(type(ask.inside.archive), "bounds", unreadable)
        async with asyncio.timeout(PATIENCE):
            assert await follower.answer.content.read() == b""

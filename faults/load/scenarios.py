"""The scenarios. Each starts a gateway, says what it measured, and names each bound that was broken."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from faults.load.house import House, slope
from faults.load.requests import forged, quarantined, signed
from faults.load.senders import Flood, flooding, paced, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MIB: Final = 2**20
SLOW: Final = 256
IDLE: Final = 10_000
SPARE_FILES: Final = 200
ADDRESSES: Final = 8
RING: Final = 1000
FLOOD_WARM_UP: Final = 6.0  # seconds until all of its connections have their turns


@dataclass(slots=True, kw_only=True)
class Measured:
    """`facts` are to be read; `broken` names the bounds that did not hold."""

    facts: dict[str, object] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def note(self, **facts: object) -> None:
        self.facts.update(facts)

    def hold(self, bound: str, *, holds: bool) -> None:
        if not holds:
            self.broken.append(bound)


async def slow_bodies(found: Measured, *, long: bool) -> None:
    """256 senders of 1 MiB each, all but the last byte sent and then silence; half of them never end it."""
    pieces = 32 if long else 8
    with House(server="body_timeout = 15\nmax_connections = 2000") as house:
        before = house.rss()
        requests = list(signed("loud", 0, SLOW, size=MIB))
        async with Connections(house.port, SLOW) as opened:
            for piece in range(pieces):
                for (_, writer), sent in zip(opened, requests, strict=True):
                    writer.write(
                        sent[len(sent) * piece // pieces : min(len(sent) * (piece + 1) // pieces, len(sent) - 1)]
                    )
                await asyncio.gather(*(writer.drain() for _, writer in opened))
                await asyncio.sleep(0.2)
            held = house.rss()
            during = await paced(house.port, list(signed("quiet", 0, 100)), rate=50)
            for (_, writer), sent in list(zip(opened, requests, strict=True))[::2]:
                writer.write(sent[-1:])
            peak, answers = await _watched(house, asyncio.gather(*(_answer(reader) for reader, _ in opened)))
        after = house.rss()
        found.note(rss_before=before, rss_held=held, rss_peak=peak, rss_after=after, quiet=str(during))
        found.note(answers={word: answers.count(word) for word in set(answers)})
        found.hold("half of them are 200, half 408", holds=(answers.count("200"), answers.count("408")) == (128, 128))
        found.hold("the gateway holds each body at most twice", holds=peak - before < 2 * SLOW + 64)
        found.hold("the quiet account is answered meanwhile", holds=during.statuses == {"200": 100})


async def slow_headers(found: Measured, *, long: bool) -> None:
    """256 senders of 95 headers of 8 kB, and then silence before the last line; and the same once more."""
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 8000) for number in range(95))
    head, count = b"POST /webhooks/stripe/loud HTTP/1.1\r\nHost: a\r\n" + lines, SLOW * (3 if long else 1)
    with House(server="keepalive_timeout = 6\nmax_connections = 4000") as house:
        before, held = house.rss(), []
        for wave in range(2):
            async with Connections(house.port, count) as opened:
                for _, writer in opened:
                    writer.write(head)
                await asyncio.gather(*(writer.drain() for _, writer in opened))
                await asyncio.sleep(1.0)
                held.append(house.rss())
                during = await paced(house.port, list(signed("quiet", wave * 50, 50)), rate=50)
                ends = await asyncio.gather(*(_answer(reader) for reader, _ in opened))
            found.hold("all of them are let go", holds=set(ends) <= {"lost", "400", "408"})
            found.hold("the quiet account is answered meanwhile", holds=during.statuses == {"200": 50})
        found.note(connections=count, rss_before=before, rss_held=held, rss_after=house.rss(), quiet=str(during))
        found.note(kib_a_connection=(held[0] - before) * 1024 // count)
        found.hold("the second time takes nothing more", holds=held[1] < held[0] + 64)


async def idle_connections(found: Measured, *, long: bool) -> None:
    """10,000 connections that say nothing, from eight addresses; fewer where the system allows fewer files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(IDLE, files - SPARE_FILES)
    seconds = 60 if long else 30
    with House(server=f"keepalive_timeout = {seconds}\nmax_connections = {count + 500}") as house:
        before, began = house.rss(), time.monotonic()
        async with Connections(house.port, count, addresses=ADDRESSES) as opened:
            await asyncio.sleep(1.0)
            held, opening = house.rss(), time.monotonic() - began
            during = await paced(house.port, list(signed("quiet", 0, 200)), rate=50)
            ends = await asyncio.wait_for(asyncio.gather(*(reader.read(-1) for reader, _ in opened)), seconds * 3)
        turned_away = sum(end.startswith(b"HTTP/1.1 503") for end in ends)
        found.note(asked_for=IDLE, allowed_files=files, opened=len(ends), opening_seconds=round(opening, 1))
        found.note(rss_before=before, rss_held=held, rss_after=house.rss(), quiet=str(during))
        found.note(kib_a_connection=round((held - before) * 1024 / count, 1), turned_away=turned_away)
        found.hold("each was let in, and ended after its time", holds=not turned_away and not any(ends))
        found.hold("the quiet account is answered meanwhile", holds=during.statuses == {"200": 200})
        found.hold("an idle connection takes less than 64 KiB", holds=(held - before) * 1024 < 64 * count)


async def loud_neighbour(found: Measured, *, long: bool) -> None:
    """One account floods; what another account's deliveries wait for: alone, beside the flood, and with a quota."""
    seconds = 60 if long else 4
    medians: dict[str, float] = {}
    for title, loud, connections in (
        ("alone", "", 0),
        ("flood_of_64", "", 64),
        ("flood_of_512", "", 512),
        ("flood_of_512_with_quota", "rate_limit = 200", 512),
    ):
        with House(loud=loud) as house, ExitStack() as stack:
            if connections:
                stack.enter_context(flooding(house.port, Flood(account="loud", connections=connections)))
                await asyncio.sleep(FLOOD_WARM_UP)
            began, taken = time.monotonic(), house.counted("paymux_deliveries_total")
            latency = await paced(house.port, list(signed("quiet", 0, 50 * seconds)), rate=50)
            rate = (house.counted("paymux_deliveries_total") - taken) / (time.monotonic() - began)
            medians[title] = latency.p50
            found.note(**{title: f"{latency}; {rate:.0f} taken a second in all"})
            found.hold(f"{title}: all of the quiet account's are taken", holds=set(latency.statuses) == {"200"})
    # However fast the machine is: what waits behind eight times as many of another account's waits eight times as long.
    fair = medians["flood_of_512"] < 3 * medians["flood_of_64"]
    found.hold("512 loud connections cost a neighbour no more than thrice what 64 do", holds=fair)


async def false_signatures(found: Measured, *, long: bool) -> None:
    """A flood of bad signatures from eight addresses: nothing on disk but a bounded ring, and no memory."""
    seconds = 120 if long else 6
    flood = Flood(account="loud", connections=64, genuine=False, addresses=ADDRESSES)
    with House() as house:
        count = 20 * seconds
        await paced(house.port, list(signed("quiet", 0, count)), rate=20)
        sizes, log, rss = [house.disk()], house.log(), house.rss()
        await paced(house.port, list(signed("quiet", count, count)), rate=20)
        sizes.append(house.disk())
        rejected, began = house.counted("paymux_rejections_total"), time.monotonic()
        with flooding(house.port, flood):
            await asyncio.sleep(seconds)
            sizes.append(house.disk())
            during = await paced(house.port, list(signed("quiet", 2 * count, count)), rate=20)
            sizes.append(house.disk())
            rejected, took = house.counted("paymux_rejections_total") - rejected, time.monotonic() - began
        genuine, flooded, both = (after - before for before, after in pairwise(sizes))
        found.note(rejected_a_second=int(rejected / took), rss_before=rss, rss_after=house.rss(), quiet=str(during))
        found.note(journal_kib_by_genuine=genuine, by_flood=flooded, by_both=both)
        found.note(log_kib_a_second=round((house.log() - log) / took, 1), ring=len(house.rejections()))
        found.hold("the genuine ones are taken meanwhile", holds=set(during.statuses) == {"200"})
        found.hold("a flood alone writes no more than the relay's mark", holds=flooded <= 64)
        found.hold("beside it the journal grows by the genuine ones and the WAL", holds=both < 2 * genuine + 4096)
        found.hold("the ring holds a thousand at most", holds=0 < len(house.rejections()) <= RING)
        found.hold("no more than 32 MiB of memory", holds=house.rss() - rss < 32)


async def soak(found: Measured, *, long: bool) -> None:
    """Everything at once, at a steady rate; the slope of the gateway's memory after it warmed up."""
    seconds, warm = (4 * 3600, 300) if long else (60, 20)
    with House(server="unverified_rate = 1000") as house:
        began, samples, statuses, number = time.monotonic(), [], set(), 0
        while (now := time.monotonic() - began) < seconds:
            mixed = [
                *signed("loud", number, 80),
                *signed("loud", number, 10),  # the same again
                *quarantined("quiet", number, 5),
                *forged("quiet", number, 5),
            ]
            statuses |= set((await paced(house.port, mixed, rate=len(mixed))).statuses)
            number += 80
            if now > warm:
                samples.append((now / 3600, float(house.rss())))
        growth = slope(samples)
        found.note(
            seconds=seconds, sent=number * 100 // 80, rss_after_warm_up=samples[0][1], rss_at_the_end=house.rss()
        )
        found.note(mib_an_hour=round(growth, 1), statuses=sorted(statuses))
        found.hold("nothing but 200 and 401", holds=statuses == {"200", "401"})
        found.hold("it grew by less than 8 MiB after it warmed up", holds=samples[-1][1] - samples[0][1] < 8)


SCENARIOS: Final[tuple[Callable[..., Awaitable[None]], ...]] = (
    slow_bodies,
    slow_headers,
    idle_connections,
    loud_neighbour,
    false_signatures,
    soak,
)
BY_NAME: Final = {scenario.__name__: scenario for scenario in SCENARIOS}


def measure(name: str, *, long: bool) -> Measured:
    """Run one scenario."""
    found = Measured()
    asyncio.run(_awaited(BY_NAME[name](found, long=long)))
    return found


async def _awaited(scenario: Awaitable[None]) -> None:
    await scenario


class Connections:
    """Many at once, a few hundred opened at a time, from several loopback addresses."""

    def __init__(self, port: int, count: int, *, addresses: int = 1) -> None:
        self._port, self._count, self._addresses = port, count, addresses
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        while len(opened) < self._count:
            numbers = range(len(opened), min(len(opened) + 200, self._count))
            opened += await asyncio.gather(*map(self._open, numbers))
        return opened

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = f"127.0.0.{2 + number % self._addresses}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        self._stack.callback(writer.close)
        return reader, writer


async def _answer(reader: asyncio.StreamReader) -> str:
    try:
        return status(await reader.readuntil(b"\r\n\r\n"))
    except (OSError, asyncio.IncompleteReadError):
        return "lost"


async def _watched(house: House, work: asyncio.Future[Any]) -> tuple[int, Any]:
    """The most memory that it took meanwhile, and what came of the work."""
    peak = house.rss()
    while not work.done():
        await asyncio.wait([work], timeout=0.05)
        peak = max(peak, house.rss())
    return peak, work.result()

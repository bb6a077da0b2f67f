"""Senders that misbehave, and one that does not and looks at its watch."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from faults.load.requests import forged, signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.synchronize import Event

READY_MADE: Final = 20_000  # requests of a flood, sent over and over: the first time round they are new
_SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """In milliseconds, of `sent` requests; `statuses` counts the answers."""

    sent: int
    p50: float
    p99: float
    worst: float
    statuses: dict[str, int]

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, worst {self.worst:.0f} ms of {self.sent}"


async def paced(port: int, requests: Sequence[bytes], *, rate: float) -> Latency:
    """One request after the other is due, whether or not the one before was answered; late is counted as late."""
    began, statuses, latencies = time.perf_counter(), Counter[str](), []

    async def one(number: int, sent: bytes) -> None:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        statuses[await asked(port, sent)] += 1
        latencies.append((time.perf_counter() - due) * 1000)

    await asyncio.gather(*(one(number, sent) for number, sent in enumerate(requests)))
    found = sorted(latencies)
    return Latency(
        sent=len(found),
        p50=found[len(found) // 2],
        p99=found[len(found) * 99 // 100],
        worst=found[-1],
        statuses=dict(statuses),
    )


async def asked(port: int, sent: bytes, address: str = "127.0.0.1") -> str:
    """The status on a connection of its own, `lost` where none came."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        try:
            writer.write(sent)
            return status(await reader.readuntil(b"\r\n\r\n"))
        finally:
            writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return "lost"


def status(head: bytes) -> str:
    return head[9:12].decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """`connections` from as many `addresses`, each sending the next request as soon as the last one is answered."""

    account: str
    connections: int
    genuine: bool = True
    addresses: int = 1


@contextmanager
def flooding(port: int, flood: Flood) -> Iterator[None]:
    """From another process, so that who measures is not slowed by it."""
    ended, going = _SPAWN.Event(), _SPAWN.Event()
    process = _SPAWN.Process(target=_flood, args=(port, flood, going, ended))
    process.start()
    try:
        if not going.wait(60):
            raise TimeoutError("the flood did not begin")
        yield
    finally:
        ended.set()
        process.join(30)
        process.kill()


def _flood(port: int, flood: Flood, going: Event, ended: Event) -> None:
    asyncio.run(_send(port, flood, going, ended))


async def _send(port: int, flood: Flood, going: Event, ended: Event) -> None:
    requests = list((signed if flood.genuine else forged)(flood.account, 0, READY_MADE))
    going.set()
    await asyncio.gather(*(_one(port, flood, requests, number, ended) for number in range(flood.connections)))


async def _one(port: int, flood: Flood, requests: list[bytes], number: int, ended: Event) -> None:
    address = f"127.0.0.{2 + number % flood.addresses}"
    while not ended.is_set():
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            try:
                while not ended.is_set():
                    writer.write(requests[number % READY_MADE])
                    await _whole(reader)
                    number += flood.connections
            finally:
                writer.close()


async def _whole(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))

"""kill -9 while webhooks come: of the whole process, of the relay's own, of Kafka."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from paymux.sandbox.brokers import RealBroker
from tests.acceptance.gateways import MODES, furnish, serving
from tests.acceptance.senders import Sender, at_once
from tests.acceptance.traffic import assert_all_came_out, assert_all_is_stored, payments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.acceptance.senders import Webhook

pytestmark = pytest.mark.kafka

SEED = 20261121
AT_ONCE = 12
KILLS = 8
PAYMENTS = 120  # 600 deliveries
RELAY_KILLS = 4
SLOWEST = 5.0  # seconds for an acknowledgement while Kafka is away, on a machine that starts Kafka beside it


@pytest.mark.parametrize("mode", MODES)
async def test_paymux_killed_again_and_again(mode, tmp_path: Path, kafka, sandbox, session):
    """P1, P3, P4: what was acknowledged is stored; each event comes once, in its payment's order, without a gap."""
    work = payments(PAYMENTS)
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode=mode)) as gateway:
        sender = Sender(gateway=gateway, session=session)

        async def kill() -> None:
            await gateway.kill()
            await gateway.start()

        await deliver_and(kill, KILLS, sender, work, chance=f"{SEED} {mode}")
        await gateway.published()
        assert await gateway.stop() == 0
    assert_all_is_stored(gateway, sender.acked)
    events = await assert_all_came_out(gateway, work)
    assert gateway.rows("PRAGMA integrity_check") == [("ok",)]
    attempts = sum(count for (count,) in gateway.rows("SELECT attempts FROM deliveries"))
    print(
        f"{mode}: {KILLS} kills, {len(sender.acked)} deliveries in {sender.attempts} attempts, of which "
        f"{attempts - len(sender.acked)} were stored and never answered; {events} events; seed {SEED}"
    )


async def test_the_relays_own_process_killed_again_and_again(tmp_path: Path, kafka, sandbox, session):
    """P3: no webhook waits for it, and a new one goes on where the checkpoint stands."""
    work = payments(PAYMENTS // 2)
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode="process")) as gateway:
        sender = Sender(gateway=gateway, session=session)
        killed = [await gateway.child()]

        async def kill() -> None:
            os.kill(killed[-1], signal.SIGKILL)
            killed.append(await gateway.child(other_than=killed[-1]))

        await deliver_and(kill, RELAY_KILLS, sender, work, chance=str(SEED))
        assert sender.attempts == len(sender.acked)
        await gateway.published()
        assert await gateway.stop() == 0
    assert len(set(killed)) == RELAY_KILLS + 1
    assert await assert_all_came_out(gateway, work) == len(sender.acked)


async def deliver_and(
    kill: Callable[[], Awaitable[None]], times: int, sender: Sender, work: list[list[Webhook]], *, chance: str
) -> None:
    """Deliver all of `work`, and kill at moments that `chance` chooses, while requests are under way."""
    total = sum(map(len, work))
    moments = sorted(random.Random(chance).sample(range(AT_ONCE, total - AT_ONCE), times))

    async def killer() -> None:
        for moment in moments:
            await sender.until_acked(moment)
            await kill()

    async with asyncio.TaskGroup() as group:
        group.create_task(killer())
        group.create_task(at_once(AT_ONCE, work, sender))
    assert len(sender.acked) == total


async def test_kafka_absent_at_the_start_then_killed_under_load(tmp_path: Path, sandbox, session):
    """P8: every webhook is acknowledged all the time; when Kafka is back its events come once, each payment's in order.

    Both ways to run the relay go through it side by side.
    """
    broker = await asyncio.to_thread(RealBroker)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(broker.closed)
        senders, work = {}, {mode: payments(90) for mode in MODES}
        for mode in MODES:
            (room := tmp_path / mode).mkdir()
            gateway = furnish(room, broker.bootstrap_servers, sandbox, mode=mode)
            senders[mode] = Sender(gateway=await stack.enter_async_context(serving(gateway)), session=session)

        async def deliver(first: int, last: int) -> None:
            async with asyncio.TaskGroup() as group:
                for mode, sender in senders.items():
                    group.create_task(at_once(4, work[mode][first:last], sender))

        await deliver(0, 30)  # nobody has seen a broker yet
        await asyncio.gather(deliver(30, 45), asyncio.to_thread(broker.start))
        async with asyncio.TaskGroup() as group:
            for sender in senders.values():
                group.create_task(sender.gateway.published())
        posting = asyncio.create_task(deliver(45, 75))
        await senders["inline"].until_acked(250)
        await asyncio.to_thread(broker.kill)
        await posting
        for sender in senders.values():
            await sender.gateway.until_said("relay_waiting", 2)
        await asyncio.gather(deliver(75, 90), asyncio.to_thread(broker.start))
        for mode, sender in senders.items():
            assert sender.attempts == len(sender.acked) == sum(map(len, work[mode]))
            assert sender.slowest < SLOWEST
            await sender.gateway.published()
            assert await sender.gateway.stop() == 0
            events = await assert_all_came_out(sender.gateway, work[mode])
            print(f"{mode}: {len(sender.acked)} deliveries, slowest {sender.slowest:.2f} s, {events} events")

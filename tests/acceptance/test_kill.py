"""kill -9 while webhooks come: of the whole process, of the relay's own, of Kafka."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from faults.gateways import MODES, furnish, say, serving
from faults.payments import payments
from faults.senders import Sender, at_once

from tests.acceptance.traffic import assert_all_came_out, assert_all_is_stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from faults.gateways import Gateway
    from faults.senders import Webhook

pytestmark = pytest.mark.kafka

SEED = 20261121
AT_ONCE = 12
PAYMENTS = 15  # for each kill: 75 deliveries
RELAY_KILLS = 3
SHORTER, LONGER = 24, 48  # payments
SLOWEST = 5.0  # seconds for an acknowledgement while Kafka is away, on a machine that starts Kafka beside it


@pytest.mark.parametrize(("mode", "kills"), [("inline", 8), ("process", 3)])
async def test_paymux_killed_again_and_again(mode, kills, tmp_path: Path, kafka, sandbox, session):
    """P1, P3, P4: what was acknowledged is stored; each event comes once, in its payment's order, without a gap."""
    work = payments(PAYMENTS * kills)
    async with serving(furnish(tmp_path, kafka.bootstrap_servers, sandbox, mode=mode)) as gateway:
        sender = Sender(gateway=gateway, session=session)

        async def kill() -> None:
            await gateway.kill()
            await gateway.start()

        await deliver_and(kill, kills, sender, work, chance=f"{SEED} {mode}")
        await gateway.published()
        assert await gateway.stop() == 0
    assert_all_is_stored(gateway, sender.acked)
    events = await assert_all_came_out(gateway, work)
    assert gateway.rows("PRAGMA integrity_check") == [("ok",)]
    attempts = sum(count for (count,) in gateway.rows("SELECT attempts FROM deliveries"))
    say(
        f"{mode}: {kills} kills, {len(sender.acked)} deliveries in {sender.attempts} attempts, of which "
        f"{attempts - len(sender.acked)} were stored and never answered; {events} events"
    )


async def test_the_relays_own_process_killed_again_and_again(tmp_path: Path, kafka, sandbox, session):
    """P3: no webhook waits for it, and a new one goes on where the checkpoint stands."""
    work = payments(PAYMENTS * RELAY_KILLS)
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
    say(f"seed {chance}: kills after {moments} acknowledgements")

    async def killer() -> None:
        for moment in moments:
            await sender.until_acked(moment)
            await kill()

    async with asyncio.TaskGroup() as group:
        group.create_task(killer())
        group.create_task(at_once(AT_ONCE, work, sender))
    assert len(sender.acked) == total


async def test_kafka_killed_under_load_and_absent_at_a_start(tmp_path: Path, kafka, sandbox, session):
    """P8: every webhook is acknowledged all the time; once Kafka is back its events come once, each payment's in order.

    Two gateways see it go, one for each way to run the relay; a third one starts while it is away.
    """
    names = (*MODES, "late")
    async with AsyncExitStack() as stack:
        senders = {name: Sender(gateway=_furnished(tmp_path, name, kafka, sandbox), session=session) for name in names}
        work = {name: payments(LONGER if name in MODES else SHORTER) for name in names}
        gateways = [sender.gateway for sender in senders.values()]
        for gateway in gateways:
            stack.push_async_callback(gateway.close)
        await asyncio.gather(*(senders[mode].gateway.start() for mode in MODES))
        await asyncio.gather(*(senders[mode].gateway.until_said("relay_running") for mode in MODES))
        async with asyncio.TaskGroup() as group:
            for mode in MODES:
                group.create_task(at_once(4, work[mode][:SHORTER], senders[mode]))
            await senders["inline"].until_acked(60)
            await asyncio.to_thread(kafka.broker.kill)
        await senders["late"].gateway.start()
        await asyncio.gather(*(gateway.until_said("relay_waiting") for gateway in gateways))
        async with asyncio.TaskGroup() as group:
            for mode in MODES:
                group.create_task(at_once(2, work[mode][SHORTER:], senders[mode]))
            group.create_task(at_once(2, work["late"], senders["late"]))
            group.create_task(asyncio.to_thread(kafka.broker.start))
        await asyncio.gather(*(gateway.published() for gateway in gateways))
        for name, sender in senders.items():
            assert sender.attempts == len(sender.acked) == sum(map(len, work[name]))
            assert sender.slowest < SLOWEST
            assert await sender.gateway.stop() == 0
            events = await assert_all_came_out(sender.gateway, work[name])
            say(f"{name}: {len(sender.acked)} deliveries, slowest {sender.slowest:.2f} s, {events} events")


def _furnished(room: Path, name: str, kafka: Any, sandbox: Any) -> Gateway:
    (room / name).mkdir()
    mode = name if name in MODES else "inline"
    return furnish(room / name, kafka.bootstrap_servers, sandbox, mode=mode)

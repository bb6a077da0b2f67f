"""The broker dies, is away, answers slowly, wrongly or not at all."""

from __future__ import annotations

import asyncio
import time
from itertools import product
from typing import TYPE_CHECKING

from faults.cluster import two_brokers
from faults.disks import filled, small_disk
from faults.gateways import MODES, until
from faults.proxy import Api, Proxy
from paymux.sandbox.brokers import RealBroker

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.lab import Lab

SLOWEST = 5.0  # seconds for an acknowledgement, whatever Kafka does
BROKERS_DISK = "160m"
BACKLOG = 400  # payments for each cycle of a long outage


async def broker_killed(lab: Lab) -> None:
    """Kill -9 of the broker and a restart under load: every webhook is answered meanwhile."""
    trial = lab.install(mode=lab.chance.choice(MODES))
    await trial.gateway.start()
    async with trial.sending(pause=0.02):
        for _ in range(lab.cycles):
            await trial.until(lambda page: page["phase"] == "running")
            await asyncio.sleep(1.5 * lab.chance.random())
            await _away(lab, 2 * lab.chance.random())
    assert trial.sender.slowest < SLOWEST
    await trial.quiesce()


async def _away(lab: Lab, seconds: float) -> None:
    """Killed; whatever happens, the next scenario finds it up."""
    await asyncio.to_thread(lab.cluster.broker.kill)
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(lab.cluster.broker.start)


async def long_outage(lab: Lab) -> None:
    """No broker while a backlog grows, and a gateway that starts without one; then it drains, in order."""
    trial = lab.install(mode="process")
    await asyncio.to_thread(lab.cluster.broker.kill)
    try:
        await trial.gateway.start()
        await trial.send(BACKLOG * lab.cycles)
        assert trial.sender.slowest < SLOWEST
        assert {sent.status for sent in trial.sender.log} <= {200, 401}
    finally:
        await asyncio.to_thread(lab.cluster.broker.start)
    ((rows,),) = trial.gateway.rows("SELECT max(seq) FROM outbox")
    first = await trial.until(lambda page: (page["position"] or 0) > 0)
    began = time.monotonic()
    await trial.until(lambda page: page["lag_events"] == 0)
    rate = (rows - first["position"]) / (time.monotonic() - began)
    lab.say(f"{rows} events waited; the last {rows - first['position']} of them drained at {rate:.0f} a second")
    await trial.quiesce()


async def leaders_move(lab: Lab) -> None:
    """Of two brokers, one is killed again and again: the other leads its partitions, transactions' too, until it is
    back and leads them once more.
    """
    servers = lab.stack.enter_context(two_brokers(lab.say))
    trial = lab.install(mode=lab.chance.choice(MODES), servers=servers.both)
    trial.servers = servers.both
    await trial.gateway.start()
    async with trial.sending(pause=0.02):
        await trial.until(lambda page: page["phase"] == "running")
        for _ in range(lab.cycles):
            await servers.led_by({1, 2}, trial.gateway.events_topic)
            await asyncio.sleep(lab.chance.random())
            await asyncio.to_thread(servers.second.kill)
            await servers.led_by({1}, trial.gateway.events_topic)
            await trial.until(lambda page: page["phase"] == "running")
            await asyncio.sleep(2 * lab.chance.random())
            await asyncio.to_thread(servers.second.start)
        await servers.led_by({1, 2}, trial.gateway.events_topic)
    assert trial.sender.slowest < SLOWEST
    await trial.quiesce()


async def brokers_disk_full(lab: Lab) -> None:
    """The broker's disk is full, so it stops for good; with room again it is started on what it has."""
    broker = await asyncio.to_thread(RealBroker)
    lab.stack.callback(broker.close)
    disk = lab.stack.enter_context(small_disk(lab.room / "kafka", BROKERS_DISK))
    (broker._home / "data").symlink_to(disk, target_is_directory=True)  # noqa: SLF001  # where it keeps its data
    await asyncio.to_thread(broker.start)
    trial = lab.install(mode="process", servers=broker.bootstrap_servers)
    trial.servers = broker.bootstrap_servers
    await trial.gateway.start()
    async with trial.sending(pause=0.02):
        for _ in range(lab.cycles):
            await trial.until(lambda page: page["phase"] == "running" and page["lag_events"] == 0)
            with filled(disk):
                await trial.until(lambda page: page["phase"] == "waiting")
            await asyncio.to_thread(broker.restart)
    assert trial.sender.slowest < SLOWEST
    await trial.quiesce()


async def behind_a_proxy(lab: Lab) -> None:
    """The way to the broker is slow, swallows everything, is cut after some bytes, or resets; and heals."""
    trial = lab.install(mode=lab.chance.choice(MODES), servers=f"127.0.0.1:{lab.cluster.proxy}")
    async with Proxy(port=lab.cluster.proxy, target=lab.cluster.behind_proxy) as proxy:
        faults: dict[str, Callable[[], None]] = {
            "slow": lambda: setattr(proxy, "delay", 0.3 + 2 * lab.chance.random()),
            "silent": proxy.swallow,
            "cut": lambda: setattr(proxy, "budget", lab.chance.randint(1, 2000)),
            "refused": proxy.refuse,
            "reset": proxy.reset,
        }
        await trial.gateway.start()
        async with trial.sending(pause=0.02):
            for name in lab.taken(faults, lab.cycles):
                await trial.until(lambda page: page["phase"] == "running")
                await asyncio.sleep(0.5 * lab.chance.random())
                faults[name]()
                await asyncio.sleep(6 * lab.chance.random() ** 2)
                proxy.heal()
        assert trial.sender.slowest < SLOWEST
        await trial.quiesce()


# https://kafka.apache.org/protocol#protocol_error_codes
CODES = {
    "unknown": -1,
    "unknown_topic": 3,
    "leader_not_available": 5,
    "not_leader": 6,
    "timed_out": 7,
    "message_too_large": 10,
    "coordinator_loading": 14,
    "coordinator_not_available": 15,
    "not_coordinator": 16,
    "record_list_too_large": 18,
    "not_enough_replicas": 19,
    "not_enough_replicas_after_append": 20,
    "topic_authorization_failed": 29,
    "out_of_order_sequence": 45,
    "duplicate_sequence": 46,
    "invalid_producer_epoch": 47,
    "invalid_transaction_state": 48,
    "invalid_producer_id_mapping": 49,
    "concurrent_transactions": 51,
    "transactional_id_authorization_failed": 53,
    "storage_error": 56,
    "unknown_producer_id": 59,
    "fenced_leader_epoch": 74,
    "unknown_leader_epoch": 75,
    "invalid_record": 87,
    "producer_fenced": 90,
}
APIS = (Api.PRODUCE, Api.END_TRANSACTION, Api.INIT, Api.ADD_PARTITIONS)
STOPS = {"record_refused"}


async def errors_of_the_broker(lab: Lab) -> None:
    """Each error code in an answer to produce, end of transaction, init and add partitions, although the broker did
    what it was asked for: the relay recovers, or stops with a reason and recovers after a restart.
    """
    trial = lab.install(mode="inline", servers=f"127.0.0.1:{lab.cluster.proxy}")
    stopped: list[str] = []
    async with Proxy(port=lab.cluster.proxy, target=lab.cluster.behind_proxy) as proxy:
        await trial.gateway.start()
        async with trial.sending(pause=0.02, at_once=4):
            for api, name in lab.taken(product(APIS, CODES), lab.cycles):
                await trial.until(lambda page: page["phase"] == "running")
                proxy.errors[api] = [CODES[name]]
                if api is Api.INIT:  # another producer is needed
                    proxy.errors[Api.PRODUCE] = [CODES["unknown"]]
                await until(lambda: not proxy.errors[api], lambda: f"it never asked for {api.name}")  # noqa: B023
                await asyncio.sleep(0.2)
                proxy.heal()
                page = await trial.until(lambda page: page["phase"] in ("running", "stopped"))
                if page["phase"] == "stopped":
                    assert page["reason"] in STOPS, page
                    stopped.append(f"{name} to {api.name.lower()}")
                    await trial.gateway.kill()
                    await trial.gateway.start()
        await trial.quiesce()
    lab.say(f"stopped, as it should, by {', '.join(sorted(set(stopped))) or 'none'}")

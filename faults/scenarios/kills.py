"""kill -9 of the gateway, at any time and at each named step; processes that stand still and come back."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from faults import dying
from faults.gateways import MODES, SERVE, children, until
from faults.gateways import state as state_of

if TYPE_CHECKING:
    from faults.gateways import Gateway
    from faults.lab import Lab, Trial

LIFE = 0.8  # seconds that it may live after it said that it is ready
ACKS = 60  # or so many webhooks that it may acknowledge
START = 1.0  # about as long as a start takes
AT_START = 0.2  # of all kills come before it is ready
FATE = 15.0  # seconds to come to a step
PAST = 5.0  # seconds: longer than a transaction may stay open
# How often it may come to a step before it is killed there.
LATEST = ((dying.LINE, 40), (dying.RECOVERY, 1), (dying.RELAYING, 4))


async def killed_at_random(lab: Lab) -> None:
    """Kill -9 at any time of its life, its start included; what it leaves of other processes ends by itself."""
    share = -(-lab.cycles // len(MODES))
    async with asyncio.TaskGroup() as group:
        for mode in MODES:
            group.create_task(_killed(lab, lab.install(mode=mode), Random(lab.chance.random()), share))


async def _killed(lab: Lab, trial: Trial, chance: Random, times: int) -> None:
    await trial.gateway.start()
    async with trial.sending():
        for cycle in range(times):
            await _killed_once(trial, chance)
            if cycle % 100 == 99:
                lab.say(f"{cycle + 1} kills, {len(trial.sender.acked)} acknowledged")
    await trial.quiesce()


async def _killed_once(trial: Trial, chance: Random) -> None:
    if chance.random() < 0.5:
        await asyncio.sleep(LIFE * chance.random())
    else:
        await trial.sender.until_acked(len(trial.sender.acked) + chance.randint(1, ACKS))
    await trial.gateway.kill()
    if chance.random() < AT_START:
        with suppress(TimeoutError):
            await asyncio.wait_for(trial.gateway.start(), START * chance.random())
        await trial.gateway.kill()
    await trial.gateway.start()


async def killed_at_each_step(lab: Lab) -> None:
    """Kill -9 before, inside and after each step of append, recovery, transaction and mark; each in turn."""
    trials = [lab.install(mode=mode) for mode in MODES]
    reached: list[str] = []
    for trial in trials:
        steps = lab.taken(dying.STEPS, -(-lab.cycles // len(trials)))
        reached += [step for step in steps if await _meets(lab, trial, step)]
        await _goes_on(trial)
        await trial.quiesce()
    lab.say(f"{len(reached)} of {lab.cycles} kills came to their step, at {len(set(reached))} of {len(dying.STEPS)}")
    assert len(reached) > lab.cycles // 2, "the steps have moved"


async def _meets(lab: Lab, trial: Trial, step: str) -> bool:
    """Whether it died at that step. A relay's own process dies alone; its parent is killed after it."""
    gateway = trial.gateway
    latest = next(latest for steps, latest in LATEST if step in steps)
    gateway.command = dying.command(step, lab.chance.randint(1, latest), "kill", lab.chance.random())
    before = len(gateway.said("relay_waiting", reason="process_ended"))
    with suppress(AssertionError):  # it may die before it is ready
        await gateway.start()

    def met() -> bool:
        ended = gateway.process is not None and gateway.process.returncode is not None
        return ended or len(gateway.said("relay_waiting", reason="process_ended")) > before

    sending = asyncio.create_task(trial.send(1_000))
    try:
        await until(met, lambda: f"it never came to {step}", patience=FATE)
    except AssertionError:
        return False
    else:
        return True
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await gateway.kill()


async def _goes_on(trial: Trial) -> None:
    trial.gateway.command = SERVE
    await trial.gateway.start()


async def a_zombie_comes_back(lab: Lab) -> None:
    """The relay's process stands still between send and commit, its parent dies, and a second owner takes over and
    publishes; then the first one goes on, before or after its transaction's time is over: nothing of it is published.
    """
    trial = lab.install(mode="process")
    for _ in range(lab.cycles):
        zombie = await _stopped_child(lab, trial)
        await trial.gateway.kill()
        trial.gateway.command = SERVE
        await trial.gateway.start()
        async with trial.sending():
            await trial.until(lambda page: page["phase"] == "running")
            await asyncio.sleep(PAST * lab.chance.random())
            os.kill(zombie, signal.SIGCONT)
            await _gone(zombie)
        await trial.until(lambda page: page["lag_events"] == 0)
        await trial.gateway.kill()
    await _goes_on(trial)
    await trial.quiesce()


async def _gone(pid: int) -> None:
    await until(lambda: state_of(pid) in ("", "Z"), lambda: f"process {pid} lives on")


async def frozen(lab: Lab) -> None:
    """The relay's process, or all of them, stand still for longer than a transaction may; then they go on."""
    trial = lab.install(mode="process")
    await trial.gateway.start()
    async with trial.sending():
        for _ in range(lab.cycles):
            await trial.until(lambda page: page["phase"] == "running")
            await asyncio.sleep(lab.chance.random())
            pids = children(trial.gateway.pid)
            pids += [trial.gateway.pid] if lab.chance.random() < 0.3 else []
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(PAST * lab.chance.random())
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
    await trial.quiesce()


async def children_killed(lab: Lab) -> None:
    """Kill -9 of a process that paymux has started for itself, the journal's writer or the relay, and not of paymux."""
    trial = lab.install(mode="process")
    await trial.gateway.start()
    async with trial.sending():
        for _ in range(lab.cycles):
            await trial.sender.until_acked(len(trial.sender.acked) + lab.chance.randint(1, ACKS))
            for child in lab.chance.sample(found := children(trial.gateway.pid), min(1, len(found))):
                os.kill(child, signal.SIGKILL)
    await trial.quiesce()


async def _stopped_child(lab: Lab, trial: Trial) -> int:
    """A relay's process that stands still in the middle of a transaction."""
    gateway: Gateway = trial.gateway
    gateway.command = dying.command("between_send_and_commit", lab.chance.randint(1, 3), "stop", 0.0)
    await gateway.start()
    found: list[int] = []

    def stopped() -> bool:
        found[:] = [child for child in children(gateway.pid) if state_of(child) == "T"]
        return bool(found)

    sending = asyncio.create_task(trial.send(1_000))
    try:
        await until(stopped, lambda: "it never came to its transaction")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return found[0]


async def told_to_end(lab: Lab) -> None:
    """SIGTERM under load, again and again: exit 0 in bounded time, and no answer is torn."""
    for trial in [lab.install(mode=mode) for mode in MODES]:
        await trial.gateway.start()
        async with trial.sending():
            for _ in range(-(-lab.cycles // len(MODES))):
                await asyncio.sleep(LIFE * lab.chance.random())
                assert await trial.gateway.stop() == 0
                await trial.gateway.start()
        await trial.quiesce()
        assert trial.sender.torn == 0

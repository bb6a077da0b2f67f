"""The journal is an old copy, gone, another's, locked, slow, read-only, or has no room; the process has no descriptors,
no memory.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from faults.disks import NotPossible, filled, small_disk
from faults.facts import read_disk
from faults.gateways import MODES, SERVE
from faults.payments import payments
from faults.senders import at_once
from faults.syscalls import injected

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.lab import Lab, Trial

PAYMENTS = 20
SENDERS = 8
LOCKED = 4.0  # seconds
FULL = 3.0
SLOW = 6.0
SLOWEST = 1.4  # of a sync
SYNCS = "fsync,fdatasync"
WRITES = "pwrite64,ftruncate"
DISK = "24m"
DESCRIPTORS = 64
MORE = 30_000_000  # bytes


async def journal_is_another(lab: Lab) -> None:
    """Yesterday's copy, no file at all, or another installation's: the relay stops and says which; with the right file
    back, it goes on where it was.
    """
    trial = lab.install(mode=lab.chance.choice(MODES))
    stranger = lab.install(name="stranger")
    await stranger.gateway.start()
    await stranger.send(PAYMENTS)
    await stranger.quiesce()
    await trial.gateway.start()
    wrong: dict[str, Callable[[Path, Path], object]] = {
        "journal_restored": lambda file, old: shutil.copy(old, file),
        "journal_swapped": lambda file, _: shutil.copy(stranger.gateway.file, file),
        "journal_swapped by a new one": lambda _file, _old: None,
    }
    for what in lab.taken(wrong, lab.cycles):
        await trial.send(PAYMENTS)
        await trial.published()
        assert await trial.gateway.stop() == 0
        file = trial.gateway.file
        old, right = file.with_suffix(".old"), file.with_suffix(".right")
        shutil.copy(file, old)
        await trial.gateway.start()
        await trial.send(PAYMENTS)
        await trial.published()
        assert await trial.gateway.stop() == 0
        file.rename(right)
        wrong[what](file, old)
        await trial.gateway.start()
        await trial.stopped(what.split()[0])
        assert await trial.gateway.stop() == 0
        for left in file.parent.glob(f"{file.name}*"):
            left.unlink()
        right.rename(file)
        await trial.gateway.start()
    await trial.quiesce()


async def journal_is_old_and_fills_up(lab: Lab) -> None:
    """Yesterday's copy takes webhooks while its relay has stopped, until row numbers meet those on Kafka and the last
    one even holds the same event, which its provider sent again: it stays stopped, for there is one between them that
    was never published.
    """
    trial = lab.install()
    await trial.gateway.start()
    for _ in range(lab.cycles):
        await trial.send(PAYMENTS)
        await trial.published()
        assert await trial.gateway.stop() == 0
        file = trial.gateway.file
        old, newest = file.with_suffix(".old"), file.with_suffix(".newest")
        shutil.copy(file, old)
        await trial.gateway.start()
        lost, again, new = (webhooks[0] for webhooks in payments(3, ["flowlix"]))
        await trial.sender.deliver_in_order([lost, again])
        await trial.published()
        assert await trial.gateway.stop() == 0
        file.rename(newest)
        shutil.copy(old, file)
        await trial.gateway.start()
        await trial.stopped("journal_restored")
        await trial.sender.deliver_in_order([new, again])
        await trial.restart()
        await trial.stopped("journal_restored")
        assert await trial.gateway.stop() == 0
        trial.sender.looks.clear()  # those were at the copy, whose rows have other numbers
        newest.rename(file)
        await trial.gateway.start()
        await trial.sender.deliver(new)
    await trial.quiesce()


async def journal_is_lost(lab: Lab) -> None:
    """The file is gone, and a copy that was made under load takes its place; providers send again what they sent since,
    in any order: nothing goes out twice, and no payment's numbers have a gap.
    """
    trial = lab.install(mode=lab.chance.choice(MODES))
    gateway, sender = trial.gateway, trial.sender
    await gateway.start()
    for cycle in range(lab.cycles):
        await trial.send(PAYMENTS)
        since = len(sender.acked)
        async with trial.sending():
            await asyncio.sleep(lab.chance.random())
            await gateway.run("backup", f"copy-{cycle}.db")
        await trial.send(PAYMENTS)
        await trial.published()
        await trial.send(lab.chance.randint(0, PAYMENTS))  # some of it may not be published
        await gateway.kill()
        trial.lost.append(read_disk(gateway.file))
        gateway.lose()
        restored = await gateway.run("restore", f"copy-{cycle}.db")
        lab.say(
            f"{restored['taken']} events taken over, {restored['end'] - restored['position']} rows still to publish"
        )
        await gateway.start()
        again = sender.acked[since:]
        lab.chance.shuffle(again)
        await at_once(SENDERS, [[webhook] for webhook in again], sender)
        sender.looks.clear()  # those were at the lost file, whose rows had other numbers
    await trial.quiesce()


async def journal_locked(lab: Lab) -> None:
    """Another program holds the write lock for a while: 503 if it takes too long, and nothing is lost."""
    trial = lab.install()
    await trial.gateway.start()
    async with trial.sending():
        for _ in range(lab.cycles):
            await asyncio.sleep(lab.chance.random())
            with closing(sqlite3.connect(trial.gateway.file, isolation_level=None, timeout=5)) as other:
                other.execute("BEGIN IMMEDIATE")
                await asyncio.sleep(LOCKED * lab.chance.random())
                other.execute("ROLLBACK")
    assert {sent.status for sent in trial.sender.log} <= {200, 401, 503}
    await trial.quiesce()


async def journal_read_for_long(lab: Lab) -> None:
    """A backup reads the file for long, so that its WAL grows and grows: nothing waits for it."""
    trial = lab.install(mode=lab.chance.choice(MODES))
    await trial.gateway.start()
    sizes = []
    for _ in range(lab.cycles):
        with closing(sqlite3.connect(f"file:{trial.gateway.file}?mode=ro", uri=True, isolation_level=None)) as backup:
            backup.execute("BEGIN")
            backup.execute("SELECT count(*) FROM deliveries").fetchall()
            await trial.send(10 * PAYMENTS)
            sizes.append(trial.gateway.file.with_name(f"{trial.gateway.file.name}-wal").stat().st_size)
            if lab.chance.random() < 0.5:
                await trial.gateway.kill()
                await trial.gateway.start()
    assert {sent.status for sent in trial.sender.log} <= {200, 401}
    lab.say(f"WAL of up to {max(sizes) / 1e6:.1f} MB")
    await trial.quiesce()


async def disk_full(lab: Lab) -> None:
    """The journal's disk is full: 503, never a 4xx, and no 2xx for what is not stored; with room again it goes on
    without a restart.
    """
    trial = lab.install(mode=lab.chance.choice(MODES))
    disk = lab.stack.enter_context(small_disk(trial.gateway.room / "disk", DISK))
    trial.gateway.journal = "disk/paymux.db"
    trial.configure("journal", url="sqlite:///./disk/paymux.db")
    await trial.gateway.start()
    async with trial.sending():
        for _ in range(lab.cycles):
            await asyncio.sleep(0.5 + lab.chance.random())
            with filled(disk):
                await asyncio.sleep(1 + FULL * lab.chance.random())
    said = Counter(sent.status for sent in trial.sender.log)
    assert said.keys() <= {200, 401, 503, None}, said
    assert said[503], "it was to be full"
    lab.say(f"{said[503]} requests refused, {said[200]} acknowledged")
    await trial.quiesce()


async def journal_slow(lab: Lab) -> None:
    """Each sync of the journal's disk takes up to a second and a half: webhooks wait for it, and none is refused."""
    trial = lab.install(mode=lab.chance.choice(MODES))
    await trial.gateway.start()
    async with trial.sending():
        for _ in range(lab.cycles):
            await asyncio.sleep(0.5 + lab.chance.random())
            late = int(1_000_000 * (0.1 + SLOWEST * lab.chance.random()))
            async with injected(trial.gateway, SYNCS, f"delay_enter={late}"):
                await asyncio.sleep(SLOW * lab.chance.random())
    assert {sent.status for sent in trial.sender.log} <= {200, 401}
    lab.say(f"the slowest answer took {trial.sender.slowest:.1f} s")
    await trial.quiesce()


async def journal_read_only(lab: Lab) -> None:
    """The journal's file system has turned read-only, in the middle of anything: 503, and no 2xx for what is not
    stored; once it can be written it goes on without a restart.
    """
    trial = lab.install(mode=lab.chance.choice(MODES))
    await trial.gateway.start()
    async with trial.sending():
        for _ in range(lab.cycles):
            await asyncio.sleep(0.5 + lab.chance.random())
            async with injected(trial.gateway, f"{WRITES},{SYNCS}", "error=EROFS"):
                await asyncio.sleep(0.5 + FULL * lab.chance.random())
    said = Counter(sent.status for sent in trial.sender.log)
    assert said.keys() <= {200, 401, 503, None}, said
    assert said[503], "it was to be read-only"
    lab.say(f"{said[503]} requests refused, {said[200]} acknowledged")
    await trial.quiesce()


async def out_of_descriptors(lab: Lab) -> None:
    """More connections than the process may have descriptors: some are not answered, what is acknowledged is kept."""
    trial = lab.install(mode="process")
    trial.gateway.command = _limited(f"ulimit -n {DESCRIPTORS}")
    await trial.gateway.start()
    host, port = trial.gateway.public.removeprefix("http://").split(":")
    async with trial.sending(at_once=4):
        for _ in range(lab.cycles):
            writers = []
            for _ in range(2 * DESCRIPTORS):
                with suppress(OSError):
                    writers.append((await asyncio.open_connection(host, int(port)))[1])
            await asyncio.sleep(2 * lab.chance.random())
            for writer in writers:
                writer.close()
            await asyncio.sleep(1)
    await trial.quiesce()


async def out_of_memory(lab: Lab) -> None:
    """Hardly any more address space than it has, and bodies of a mebibyte from many senders at once; then room again:
    what is acknowledged is kept, and a process that ends is started again.
    """
    trial = lab.install()
    await trial.gateway.start()
    ended = 0
    async with trial.sending(at_once=4, pause=0.01):
        for _ in range(lab.cycles):
            await asyncio.sleep(0.5)
            _limit(trial.gateway.pid, _address_space(trial.gateway.pid) + lab.chance.randint(0, MORE))
            answers = await asyncio.gather(*(_large(trial) for _ in range(64)), return_exceptions=True)
            assert trial.gateway.process is not None
            if trial.gateway.process.returncode is None:
                _limit(trial.gateway.pid, resource.RLIM_INFINITY)
            else:
                ended += 1
                trial.gateway.up.clear()
                await trial.gateway.start()
            lab.say(f"of 64 large bodies {sum(answer is None for answer in answers)} were answered")
    lab.say(f"it ended {ended} times")
    await trial.quiesce()


def _limit(pid: int, size: int) -> None:
    if not hasattr(resource, "prlimit"):
        raise NotPossible("no limit can be set on another process here")
    resource.prlimit(pid, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def _address_space(pid: int) -> int:
    """In bytes, now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


async def _large(trial: Trial) -> None:
    """Nobody's: the signature is missing."""
    url = trial.gateway.url("stripe")
    async with trial.sender.session.post(url, data=bytes(1_000_000)) as answer:
        await answer.read()


def _limited(limit: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", f'{limit}; exec "$@"', "limited", *SERVE)

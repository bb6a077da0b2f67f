"""Looking at deliveries in processes of their own, which give way to everything else: millions of them take whole
cores, and webhooks go on meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from paymux.errors import JobRefused, JournalUnavailable
from paymux.journal.sqlite.archive import SqliteArchive
from paymux.provider import Account
from paymux.providers import installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.journal.archive import Archive, Rows
    from paymux.journal.jobs import Job
    from paymux.replay.hearing import Accounts

    # provider, account, livemode, mapping, options
    Told = tuple[tuple[str, str, bool | None, str, tuple[tuple[str, str], ...]], ...]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

IDLE_SECONDS: Final = 10.0
NICENESS: Final = 5


class Work(Protocol[T_co]):
    """A function of a module, so that a process knows it by its name."""

    async def __call__(self, archive: Archive, accounts: Accounts, topic: str, job: Job, rows: Rows, /) -> T_co: ...


class Pool:
    """Started by the first that is asked for, and let go of when nothing was for a while."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.size = size or os.cpu_count() or 1
        self._path = str(path)
        self._processes: ProcessPoolExecutor | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._under_way = 0

    async def run(
        self, work: Work[T], job: Job, rows: Rows, accounts: Mapping[tuple[str, str], Account], topic: str
    ) -> T:
        """As `work` itself. Raises JournalUnavailable, also where a process is killed: the job comes again."""
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._started(), _run, work, self._path, _told(accounts), topic, job, rows
            )
        except (BrokenProcessPool, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            self.close()
            raise JournalUnavailable("a process that compares was killed") from error
        finally:
            self._under_way -= 1
            if not self._under_way and self._processes is not None:
                self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.close)

    def close(self) -> None:
        self._stay()
        processes, self._processes = self._processes, None
        if processes is not None:
            processes.shutdown(wait=False, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        self._stay()
        if self._processes is None:
            self._processes = ProcessPoolExecutor(self.size, mp_context=get_context("spawn"), initializer=_begin)
        return self._processes

    def _stay(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def _is_cancelled() -> bool:
    """Whether somebody ended this task; else it was only its portion, together with the processes."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _told(accounts: Mapping[tuple[str, str], Account]) -> Told:
    """What a process needs to know of the accounts: no secrets."""
    return tuple(
        (*name, account.livemode, account.mapping, tuple(sorted(account.options.items())))
        for name, account in accounts.items()
    )


# --- in the process


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Also with one that is killed: its queue would be waited at for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


def _run(work: Work[T], path: str, told: Told, topic: str, job: Job, rows: Rows) -> T:
    accounts = _accounts(told)
    return asyncio.run(work(_archive(path), lambda: accounts, topic, job, rows))


@cache
def _archive(path: str) -> SqliteArchive:
    return SqliteArchive(Path(path))


@cache
def _accounts(told: Told) -> Mapping[tuple[str, str], Account]:
    """Raises JobRefused where another version was installed since the asking process began."""
    providers = installed()
    found = {
        (provider, name): Account(provider=providers[provider], name=name, livemode=livemode, options=dict(options))
        for provider, name, livemode, _, options in told
    }
    if any(found[provider, name].mapping != mapping for provider, name, _, mapping, _ in told):
        raise JobRefused("another version of paymux was installed meanwhile: restart it", reason="job_impossible")
    return found

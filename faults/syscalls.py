"""System calls of running processes that take long, or fail as on a broken machine. By strace, on Linux only."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from faults.disks import NotPossible
from faults.gateways import children

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from faults.gateways import Gateway

ATTACHED = 10.0  # seconds until it must have said that it is


@asynccontextmanager
async def injected(gateway: Gateway, calls: str, fault: str) -> AsyncIterator[None]:
    """Into each of these calls, of the gateway and of all that it has started; until the block ends. Raises
    NotPossible.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise NotPossible("strace is not installed: no system call can be made to fail")
    pids = [gateway.pid, *children(gateway.pid)]
    process = await asyncio.create_subprocess_exec(
        strace,
        "-f",
        *("-o", "/dev/null"),
        *("-e", f"trace={calls}"),
        *("-e", f"inject={calls}:{fault}"),
        *(word for pid in pids for word in ("-p", str(pid))),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        await _attached(process, len(pids))
        yield
    finally:
        if process.returncode is None:
            process.terminate()  # it lets go of them
        await process.wait()


async def _attached(process: asyncio.subprocess.Process, count: int) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(ATTACHED):
        while count:
            line = (await process.stderr.readline()).decode()
            if not line or "Operation not permitted" in line:
                raise NotPossible(f"strace may not trace here: {line.strip()}")
            count -= " attached" in line

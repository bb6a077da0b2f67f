"""What every acceptance test needs: the providers' APIs, and a session to post with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from paymux.sandbox.apis import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    found = Sandbox()
    async with found.running():
        yield found


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as found:
        yield found

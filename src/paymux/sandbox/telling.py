"""Stories told over HTTP: webhooks posted as providers post them, objects put into their APIs in between."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from paymux.sandbox.stories import Held, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import aiohttp

    from paymux.sandbox.apis import Sandbox
    from paymux.sandbox.sender import Reply, Sender
    from paymux.sandbox.stories import Story, Webhook

PATIENCE: Final = 10.0  # seconds that a lookup may take before the story goes on without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """`senders` by provider; `pace` is the pause between two steps in seconds."""

    session: aiohttp.ClientSession
    senders: Mapping[str, Sender]
    sandbox: Sandbox
    pace: float

    async def tell(self, story: Story) -> list[Reply]:
        """What the gateway answered to each webhook."""
        replies = []
        asked: dict[str, int] = {}
        for step in told(story, datetime.now(UTC)):
            if isinstance(step, Held):
                await self._hold(story.provider, step, asked)
                continue
            replies.append(await self._post(story.provider, step))
            await asyncio.sleep(self.pace)
        return replies

    async def tell_all(self, stories: Iterator[Story], *, at_once: int) -> None:
        """Several stories beside each other, so that their events mix as in life."""

        async def one_after_another() -> None:
            for story in stories:
                await self.tell(story)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one_after_another())

    async def _hold(self, provider: str, step: Held, asked: dict[str, int]) -> None:
        """The API's next answer. Whoever was told of the former one gets the time to ask for it."""
        ref = self.sandbox.named(provider, step.body)
        if ref in asked:
            await self._until_asked(provider, ref, asked[ref])
        asked[ref] = self.sandbox.asked(provider, ref)
        self.sandbox.put(provider, step.body)

    async def _until_asked(self, provider: str, ref: str, before: int) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + PATIENCE
        while self.sandbox.asked(provider, ref) <= before and clock() < deadline:  # noqa: ASYNC110  # it comes by HTTP
            await asyncio.sleep(0.02)

    async def _post(self, provider: str, step: Webhook) -> Reply:
        secret = f"whsec_{secrets.token_hex(16)}" if step.forged else None
        return await self.senders[provider].post(self.session, step.body, step.message, secret=secret)

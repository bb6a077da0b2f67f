"""Webhooks signed by the providers' own SDKs, and senders that come again until they are answered with a success."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import aiohttp
import standardwebhooks
import stripe
import svix

from faults.gateways import PATIENCE, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from faults.gateways import Gateway

RETRY_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A delivery to make. `message` is the sender's own id of it, the same at each retry."""

    provider: str
    body: bytes
    message: str = field(default_factory=lambda: f"msg_{uuid4().hex}")

    def headers(self, secret: str | None = None) -> dict[str, str]:
        signed = SIGNERS[self.provider](self, SECRETS.get(self.provider, "") if secret is None else secret)
        return {"Content-Type": "application/json", **signed}

    @property
    def event_key(self) -> str:
        """What tells this event from another, by the provider's documentation."""
        return str(json.loads(self.body)["id"]) if self.provider in ("stripe", "flowlix") else self.message


def _stripe(webhook: Webhook, secret: str) -> dict[str, str]:
    return {"Stripe-Signature": _timestamped(webhook.body, secret)}


def _flowlix(webhook: Webhook, secret: str) -> dict[str, str]:
    """Flowlix publishes no SDK; its documented scheme is Stripe's."""
    return {"Flowlix-Signature": _timestamped(webhook.body, secret)}


def _timestamped(body: bytes, secret: str) -> str:
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret))


def _flexprice(webhook: Webhook, secret: str) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = standardwebhooks.Webhook(secret).sign(webhook.message, now, webhook.body.decode())
    return _family("webhook-", webhook.message, now, signature)


def _flowglad(webhook: Webhook, secret: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return _family(
        "svix-", webhook.message, now, svix.Webhook(secret).sign(webhook.message, now, webhook.body.decode())
    )


def _family(prefix: str, message: str, at: datetime, signature: str) -> dict[str, str]:
    return {f"{prefix}id": message, f"{prefix}timestamp": str(int(at.timestamp())), f"{prefix}signature": signature}


SIGNERS: dict[str, Callable[[Webhook, str], dict[str, str]]] = {
    "flexportal": lambda _webhook, _secret: {},
    "flexprice": _flexprice,
    "flowglad": _flowglad,
    "flowlix": _flowlix,
    "stripe": _stripe,
}


@dataclass(slots=True, kw_only=True)
class Sender:
    """A provider's sender. `acked` are the webhooks that were answered with a success, in that order."""

    gateway: Gateway
    session: aiohttp.ClientSession
    acked: list[Webhook] = field(default_factory=list)
    attempts: int = 0
    slowest: float = 0.0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    retried: frozenset[int] = frozenset({0, 503})  # 0: no answer
    patience: float = PATIENCE

    async def post(self, webhook: Webhook, secret: str | None = None) -> tuple[int, bytes]:
        """One attempt. Raises what aiohttp raises."""
        self.attempts += 1
        began = asyncio.get_running_loop().time()
        async with self.session.post(
            self.gateway.url(webhook.provider), data=webhook.body, headers=webhook.headers(secret)
        ) as answer:
            status, body = answer.status, await answer.read()
        self.slowest = max(self.slowest, asyncio.get_running_loop().time() - began)
        if 200 <= status < 300:
            self.acked.append(webhook)
            self.news.set()
        return status, body

    async def until_acked(self, count: int) -> None:
        """Return at the moment at which so many were acknowledged: others are under way then."""
        async with asyncio.timeout(PATIENCE):
            while len(self.acked) < count:
                self.news.clear()
                await self.news.wait()

    async def deliver(self, webhook: Webhook) -> None:
        """Again and again until it is a success, like any provider; nothing else is sent twice."""
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            await self.gateway.up.wait()
            try:
                status, text = await self.post(webhook)
            except (aiohttp.ClientError, OSError) as error:
                status, text = 0, repr(error).encode()
            if 200 <= status < 300:
                return
            told = f"{status} {text!r} for a genuine webhook of {webhook.provider}"
            assert status in self.retried, told
            assert asyncio.get_running_loop().time() < deadline, f"{told}, again and again"
            await asyncio.sleep(RETRY_SECONDS)

    async def deliver_in_order(self, webhooks: Iterable[Webhook]) -> None:
        for webhook in webhooks:
            await self.deliver(webhook)


async def at_once(senders: int, work: list[list[Webhook]], sender: Sender) -> None:
    """Each list in its order, several lists at once."""
    queue = list(reversed(work))

    async def take() -> None:
        while queue:
            await sender.deliver_in_order(queue.pop())

    async with asyncio.TaskGroup() as group:
        for _ in range(senders):
            group.create_task(take())

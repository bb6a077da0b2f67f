"""The providers as senders: stories told by webhooks, each sent again until it is answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web import BaseRequest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from faults.facts import Sent, digest
from faults.simulation.accounts import ACCOUNT, FORGED, hints, secret, setups
from faults.simulation.loop import this_loop
from paymux.providers import BY_NAME
from paymux.sandbox.signing import signed
from paymux.sandbox.stories import STORIES, Held, told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from faults.simulation.apis import Apis
    from faults.simulation.nature import Chance, Clock
    from paymux.sandbox.signing import Signed
    from paymux.sandbox.stories import Story, Webhook

PATIENCE: Final = 20.0  # seconds that a provider waits for an answer
TOGETHER: Final = 1.0  # seconds that an item waits for another to be sent with
# Under which key of the body the items of those are that send several at once.
_BATCHES: Final[Mapping[str, str]] = {"adyen": "notificationItems", "gocardless": "events"}


@dataclass(frozen=True, slots=True)
class _Connection:
    """What aiohttp's BaseRequest asks of the connection that it came by."""

    peername: tuple[str, int] = ("192.0.2.7", 40_000)
    sockname: tuple[str, int] = ("192.0.2.1", 8080)
    ssl_context: None = None
    transport: None = None


def _request(path: str, headers: CIMultiDict[str], body: StreamReader, size: int) -> BaseRequest:
    headers["Content-Length"] = str(size)
    message = RawRequestMessage(
        method="POST",
        path=path,
        version=HttpVersion11,
        headers=CIMultiDictProxy(headers),
        raw_headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
        should_close=False,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL(path),
    )
    nobody = cast("Any", None)  # writes the answer: the simulation takes it as a value
    return BaseRequest(message, body, cast("Any", _Connection()), nobody, nobody, this_loop())


@dataclass(slots=True, kw_only=True)
class Providers:
    """`post` brings a request to whoever listens and returns the status, or raises ConnectionError. `client` is the
    client's log.
    """

    chance: Chance
    clock: Clock
    time: Callable[[], float]
    apis: Apis
    post: Callable[[BaseRequest], Awaitable[int]]
    after_ack: Callable[[], None]
    client: list[Sent] = field(default_factory=list)
    unanswered: int = 0
    _waiting: dict[str, Webhook] = field(default_factory=dict)

    async def tell(self, story: Story, begins: float, pace: float) -> None:
        """One story; its steps follow each other, or overtake where the first must be sent again."""
        await asyncio.sleep(begins)
        sending = []
        for step in list(told(story, self.clock.now())):
            if isinstance(step, Held):
                self.apis.hold(story.provider, step.body)
            else:
                sending += [asyncio.create_task(self._say(story.provider, step)) for _ in range(self._copies())]
            await asyncio.sleep(self.chance.delay(pace))
        await asyncio.gather(*sending)

    def _copies(self) -> int:
        return 2 if self.chance.dice.random() < 0.1 else 1

    async def _say(self, provider: str, webhook: Webhook) -> None:
        """Alone, or together with what another story says at that time."""
        if provider in _BATCHES:
            if other := self._waiting.pop(provider, None):
                webhook = _joined(_BATCHES[provider], other, webhook)
            elif await self._goes_along(provider, webhook):
                return
        await self._send(provider, webhook)

    async def _goes_along(self, provider: str, webhook: Webhook) -> bool:
        """Whether another one came in time to take it."""
        self._waiting[provider] = webhook
        await asyncio.sleep(self.chance.delay(TOGETHER))
        if self._waiting.get(provider) is not webhook:
            return True
        del self._waiting[provider]
        return False

    async def _send(self, provider: str, webhook: Webhook) -> None:
        """Until it is acknowledged, as providers do for days; what is forged once."""
        self.unanswered += not webhook.forged
        pause = 0.5
        while True:
            status = await self._attempt(provider, webhook)
            if webhook.forged:
                return
            if status is not None and 200 <= status < 300:
                self.unanswered -= 1
                return
            await asyncio.sleep(pause * self.chance.dice.uniform(0.5, 1.0))
            pause = min(pause * 2, 8.0)

    async def _attempt(self, provider: str, webhook: Webhook) -> int | None:
        sent_at, sent = self.time(), self._signed(provider, webhook)
        try:
            async with asyncio.timeout(PATIENCE):
                status: int | None = await self.post(self._request(provider, sent))
        except (TimeoutError, ConnectionError):
            status = None
        self.client.append(
            Sent(
                provider=provider,
                account=ACCOUNT,
                sha256=digest(sent.body),
                sent_at=sent_at,
                genuine=not webhook.forged,
                event_key=webhook.message,
                answered_at=None if status is None else self.time(),
                status=None
                if provider in hints()
                else status,  # it need not be stored: `Apis.unheard` looks at its promise
            )
        )
        if self.client[-1].acked:
            self.after_ack()
        return status

    def _signed(self, provider: str, webhook: Webhook) -> Signed:
        settings = setups()[provider, ACCOUNT].settings
        return signed(
            BY_NAME[provider].scheme(settings.options),
            secret=FORGED if webhook.forged else secret(provider),
            body=webhook.body,
            message=webhook.message,
            at=self.clock.now(),
            url=settings.public_url or "",
        )

    def _request(self, provider: str, sent: Signed) -> BaseRequest:
        loop = this_loop()
        protocol = BaseProtocol(loop)
        protocol.connection_made(asyncio.Transport())
        body = StreamReader(protocol, 2**20, loop=loop)
        self._feed(body, sent.body)
        return _request(f"/webhooks/{provider}/{ACCOUNT}", CIMultiDict(sent.headers), body, len(sent.body))

    def _feed(self, reader: StreamReader, body: bytes) -> None:
        """At once, or in two parts, or never the second."""
        if self.chance.dice.random() < 0.7:
            reader.feed_data(body)
            reader.feed_eof()
            return
        cut = self.chance.dice.randrange(1, len(body))
        reader.feed_data(body[:cut])
        if self.chance.breaks("a sender goes away in the middle", 0.05):
            this_loop().outside(self.chance.delay(0.003), reader.set_exception, ConnectionResetError())
        else:
            this_loop().outside(self.chance.delay(0.003), _complete, reader, body[cut:])


def _complete(reader: StreamReader, rest: bytes) -> None:
    reader.feed_data(rest)
    reader.feed_eof()


def _joined(items: str, one: Webhook, other: Webhook) -> Webhook:
    """One body with the items of both."""
    first, second = orjson.loads(one.body), orjson.loads(other.body)
    return replace(other, body=orjson.dumps({**second, items: first[items] + second[items]}))


def stories(chance: Chance, events: int) -> list[Story]:
    """Enough for at least so many events, also where an API keeps some of them to itself."""
    chosen: list[Story] = []
    while sum(_events(story) for story in chosen if not _may_be_silent(story.provider)) < events:
        chosen.append(chance.choice(STORIES))
    return chosen


def _events(story: Story) -> int:
    return sum(not told.startswith("rejected") for told in story.tells)


def _may_be_silent(provider: str) -> bool:
    """What its API says twice is an event once."""
    return BY_NAME[provider].thin or provider in hints()

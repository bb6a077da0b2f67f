"""Who talks to paymux: providers that send webhooks until they are answered, and their APIs."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web import BaseRequest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from faults.facts import Sent, digest
from faults.simulation.loop import this_loop
from paymux.errors import ApiError
from paymux.provider_api import Answer
from paymux.providers import BY_NAME
from paymux.sandbox.shapes import SHAPES
from paymux.sandbox.signing import signed
from paymux.sandbox.stories import STORIES, Held, Webhook, told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from faults.simulation.nature import Chance, Clock
    from paymux.delivery import ObjectRef
    from paymux.sandbox.stories import Story

ACCOUNT: Final = "acme"
# The core providers and Stripe: every kind of proof and of lookup that the line knows.
PROVIDERS: Final = ("flexportal", "flexprice", "flowglad", "flowlix", "stripe")
TOLD: Final = tuple(story for story in STORIES if story.provider in PROVIDERS)
SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u"
FORGED: Final = "whsec_bm90IG91ciBzZWNyZXQgYXQgYWxsISEh"
PATIENCE: Final = 20.0  # seconds that a provider waits for an answer
_MAY_BE_SILENT: Final = frozenset({"flexportal", "flowglad"})
# Acknowledging a hint promises that its object is asked for, which `unheard` looks at; it need not be stored itself.
_HINTS: Final = frozenset({"flexportal"})


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
    """`post` brings a request to whoever listens and returns the status, or raises ConnectionError.

    `client` is the client's log; `down` is the APIs' mood, `denied` how often each object was said not to be there.
    """

    chance: Chance
    clock: Clock
    time: Callable[[], float]
    post: Callable[[BaseRequest], Awaitable[int]]
    after_ack: Callable[[], None]
    client: list[Sent] = field(default_factory=list)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    denied: Counter[tuple[str, str]] = field(default_factory=Counter)
    down: bool = False
    unanswered: int = 0

    async def tell(self, story: Story, begins: float, pace: float) -> None:
        """One story; its steps follow each other, or overtake where the first must be sent again."""
        await asyncio.sleep(begins)
        sending = []
        for step in list(told(story, self.clock.now())):
            if isinstance(step, Held):
                self._hold(story.provider, step.body)
            else:
                sending += [asyncio.create_task(self._send(story.provider, step)) for _ in range(self._copies())]
            await asyncio.sleep(self.chance.delay(pace))
        await asyncio.gather(*sending)

    def _copies(self) -> int:
        return 2 if self.chance.dice.random() < 0.1 else 1

    def _hold(self, provider: str, body: bytes) -> None:
        shape = SHAPES[provider]
        found = orjson.loads(body)
        found = next((found[key] for key in shape.wrapped if key in found), found)
        self.objects[provider, found[shape.id_key_of(found)]] = shape.wrap(found).body

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
        sent_at = self.time()
        try:
            async with asyncio.timeout(PATIENCE):
                status: int | None = await self.post(self._request(provider, webhook))
        except (TimeoutError, ConnectionError):
            status = None
        self.client.append(
            Sent(
                provider=provider,
                account=ACCOUNT,
                sha256=digest(webhook.body),
                sent_at=sent_at,
                genuine=not webhook.forged,
                event_key=webhook.message,
                answered_at=None if status is None else self.time(),
                status=None if provider in _HINTS else status,
            )
        )
        if self.client[-1].acked:
            self.after_ack()
        return status

    def _request(self, provider: str, webhook: Webhook) -> BaseRequest:
        scheme = BY_NAME[provider].scheme({})
        secret = FORGED if webhook.forged else SECRET
        sent = signed(scheme, secret=secret, body=webhook.body, message=webhook.message, at=self.clock.now())
        loop = this_loop()
        protocol = BaseProtocol(loop)
        protocol.connection_made(asyncio.Transport())
        body = StreamReader(protocol, 2**20, loop=loop)
        self._feed(body, webhook.body)
        return _request(f"/webhooks/{provider}/{ACCOUNT}", CIMultiDict(sent.headers), body, len(webhook.body))

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


@dataclass(frozen=True, slots=True)
class Api:
    """One provider's API, in place of paymux.provider_api.ProviderApi."""

    providers: Providers
    provider: str

    async def get(self, ref: ObjectRef) -> Answer:
        """Raises ApiError."""
        chance = self.providers.chance
        await asyncio.sleep(chance.delay(_API_SECONDS))
        if self.providers.down:
            raise ApiError("HTTP 502")
        for what, probability, reason, retry_after in _API_FAULTS:
            if chance.breaks(what, probability):
                if reason == "unavailable":
                    await asyncio.sleep(10.0)
                self.providers.denied[self.provider, ref.id] += reason == "not_found"
                raise ApiError(what, reason=reason, retry_after=retry_after)
        body = self.providers.objects.get((self.provider, ref.id))
        if body is None:
            raise ApiError("HTTP 404", reason="not_found")
        self._note(body)
        await asyncio.sleep(chance.delay(_API_SECONDS))
        return Answer(path=f"/{ref.object}/{ref.id}", query="", body=body)

    def _note(self, body: bytes) -> None:
        self.providers.client.append(
            Sent(
                provider=self.provider,
                account=ACCOUNT,
                sha256=digest(body),
                sent_at=self.providers.time(),
                via="lookup",
            )
        )


_API_SECONDS: Final = 0.1
_API_FAULTS: Final[tuple[tuple[str, float, str, float | None], ...]] = (
    ("an API does not answer in time", 0.03, "unavailable", None),
    ("an API wants to be left alone", 0.03, "rate_limited", 3.0),
    ("an API does not know its object yet", 0.02, "not_found", None),
)


def unheard(providers: Providers, stored: Iterable[str]) -> list[str]:
    """Objects whose newest state was announced, and is not among the digests that are stored. Two 404 are an answer."""
    known = frozenset(stored)
    return [
        f"the newest answer about {provider} {name} is not stored"
        for (provider, name), body in providers.objects.items()
        if digest(body) not in known and providers.denied[provider, name] < 2
    ]


def stories(chance: Chance, events: int) -> list[Story]:
    """Enough for at least so many events, also where an API keeps some of them to itself."""
    chosen: list[Story] = []
    while sum(_events(story) for story in chosen if story.provider not in _MAY_BE_SILENT) < events:
        chosen.append(chance.choice(TOLD))
    return chosen


def _events(story: Story) -> int:
    return sum(not told.startswith("rejected") for told in story.tells)


def accounts() -> list[dict[str, Any]]:
    """The configuration: one account for each provider of the stories."""
    return [
        {
            "provider": provider,
            "name": ACCOUNT,
            "secrets": [] if provider == "flexportal" else [SECRET],
            "livemode": False,
            "api_key": f"key_{provider}_0123456789",
            "options": {"tenant_id": "bu_harbour_lease"} if provider == "flexportal" else {},
        }
        for provider in sorted({story.provider for story in TOLD})
    ]

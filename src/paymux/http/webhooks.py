"""The public listener: read, verify, translate, append, acknowledge.

One path without tasks of its own; whatever is not accepted leaves it as a `_Refused`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from uuid_utils import uuid7

from paymux.delivery import Delivery, Proof
from paymux.errors import CertificateUnavailable, JournalUnavailable, LookupsFull, NeedsCertificate, Rejected
from paymux.http import bodies, handshakes
from paymux.http.addresses import is_in, sender
from paymux.http.answers import (
    BAD_REQUEST,
    ENCODED,
    EXPECTATION_FAILED,
    HEALTHY,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    OVERLOADED,
    READ_ONLY,
    TIMED_OUT,
    TOO_LARGE,
    UNAVAILABLE,
    Answer,
    Reply,
    too_many,
)
from paymux.http.limits import Addresses, Room
from paymux.http.reports import Taken
from paymux.http.routes import PREFIX, Route
from paymux.journal import Entry, Result
from paymux.signatures import verify
from paymux.statement import Lookup, Quarantined
from paymux.translate import only_asks, translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiohttp.web import BaseRequest

    from paymux.delivery import Verified
    from paymux.http.addresses import Network
    from paymux.http.reports import Reports
    from paymux.journal import Journal
    from paymux.signatures.certificates import Certificate
    from paymux.statement import Item

FULL_SECONDS: Final = 30.0  # some lookups of the account are answered by then
LONGEST_PAUSE: Final = 1.0
MOST_UNFINISHED: Final = 536_870_912  # bytes of bodies that have not come whole
OTHER: Final = "other"  # stands for every provider that is not configured

_READS: Final = ("GET", "HEAD")
_REFUSING: Final = 400  # and above

# A body that was not read -> the rejection's reason.
_UNREAD: Final[Mapping[Answer, str]] = {
    BAD_REQUEST: "bad_request",
    ENCODED: "content_encoding",
    EXPECTATION_FAILED: "expectation",
    OVERLOADED: "overloaded",
    TIMED_OUT: "body_timeout",
    TOO_LARGE: "too_large",
}


async def _no_certificate(needed: NeedsCertificate) -> Certificate:
    raise CertificateUnavailable(needed.detail)


class _Refused(Exception):
    """Not taken: counted and in the ring of rejections, whatever its answer."""

    def __init__(self, reason: str, answer: Answer, body: bytes = b"", age: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer
        self.body = body
        self.age = age


class _OverQuota(Exception):
    """Proven, or a hint, but more than the account may send. `seconds`: when one more may be taken."""

    def __init__(self, seconds: float, reason: str = "rate_limited") -> None:
        super().__init__()
        self.seconds = seconds
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What [server] says. `unverified_rate`: unproven requests a second of one address."""

    body_timeout: float
    unverified_rate: float
    trusted_proxies: Sequence[Network] = ()


class Webhooks:
    """The handler of every request to the public listener.

    `routes` may be replaced at any moment: a request that is under way keeps the one it found. `is_ready` answers
    /readyz, `asked` is called when a delivery left something to look up. `certificate` gets one that a signature needs;
    it raises Rejected or CertificateUnavailable.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, Route],
        journal: Journal,
        limits: Limits,
        reports: Reports,
        is_ready: Callable[[], Awaitable[bool]],
        certificate: Callable[[NeedsCertificate], Awaitable[Certificate]] = _no_certificate,
        asked: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.routes = routes
        self.in_flight = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._journal = journal
        self._limits = limits
        self._strangers = Addresses(limits.unverified_rate)
        self._room = Room(MOST_UNFINISHED)
        self._reports = reports
        self._is_ready = is_ready
        self._certificate = certificate
        self._asked = asked
        self._now = now

    async def __call__(self, request: BaseRequest) -> Reply:
        self.in_flight += 1
        try:
            answer = await self._answer(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001  # nothing was acknowledged, so the sender comes again
            self._reports.failed(error)
            answer = UNAVAILABLE
        finally:
            self.in_flight -= 1
            if self.draining and not self.in_flight:
                self._idle.set()
        return Reply(answer, keep_alive=request.keep_alive and not self.draining)

    async def idle(self) -> None:
        """Return once no request is under way; ask when `draining` is set."""
        while self.in_flight:
            self._idle.clear()
            await self._idle.wait()

    async def _answer(self, request: BaseRequest) -> Answer:
        if not request.raw_path.isascii():  # Defensive: aiohttp's C parser refuses it, its Python one does not
            return BAD_REQUEST
        path, _, query = request.raw_path.partition("?")
        route, token = self._found(path)
        if route is None:
            return await self._elsewhere(request, path)
        if request.method != "POST":
            return self._asked_otherwise(request, route, query, token)
        address = self._address(request)
        try:
            delivery = await self._read(request, route, query, token, address)
            async with route.turns:
                return await self._take(route, delivery, address)
        except _Refused as refused:
            self._reports.counted(route.provider, refused.reason)
            return self._strange(route.provider, route.name, address, refused)
        except _OverQuota as over:
            self._reports.counted(route.provider, over.reason)
            await asyncio.sleep(min(over.seconds, LONGEST_PAUSE))  # or a flood would come again at once
            return too_many(over.seconds)

    def _found(self, path: str) -> tuple[Route | None, str | None]:
        route = self.routes.get(path)
        if route is not None:
            return route, None
        path, _, token = path.rpartition("/")
        route = self.routes.get(path)
        return (route, token) if route is not None and route.has_token else (None, None)

    # --- the line

    async def _read(self, request: BaseRequest, route: Route, query: str, token: str | None, address: str) -> Delivery:
        if route.allow_from and not is_in(address, route.allow_from):
            raise _Refused("address_not_allowed", route.refusal)
        body = await bodies.read(
            request, limit=route.max_body, seconds=self._limits.body_timeout, room=self._room, address=address
        )
        if isinstance(body, Answer):
            raise _Refused(_UNREAD[body], body)
        return Delivery(
            id=str(uuid7()),
            provider=route.provider,
            account=route.name,
            received_at=self._now(),
            body=body,
            headers=request.raw_headers,
            path=route.path,
            query=query,
            url=route.public_url,
            path_token=token,
        )

    async def _take(self, route: Route, delivery: Delivery, address: str) -> Answer:
        verified = await self._proven(route, delivery)
        _spend(route, verified, address)
        items = translate(route.account, verified)
        if verified.proof is Proof.HINT and not only_asks(items):
            raise _asks_nothing(route, items, delivery.body)
        began = time.perf_counter()
        try:
            receipts = await self._journal.append(Entry(account=route.account, verified=verified, items=items))
        except LookupsFull as full:
            raise _OverQuota(FULL_SECONDS, full.reason) from None
        except JournalUnavailable as error:
            self._reports.unavailable(route.provider, error.detail)
            return UNAVAILABLE
        if any(receipt.result is Result.REFUSED for receipt in receipts):
            raise _Refused("signature_reused", route.refusal, delivery.body)
        seconds = time.perf_counter() - began
        self._tell(Taken(verified=verified, items=items, receipts=receipts, address=address, seconds=seconds))
        return route.ack

    async def _proven(self, route: Route, delivery: Delivery) -> Verified:
        checks = route.account.checks
        try:
            try:
                return verify(delivery, checks)
            except NeedsCertificate as needed:
                return verify(delivery, checks, {needed.url: await self._certificate(needed)})
        except Rejected as error:
            raise _Refused(error.reason, route.refusal, delivery.body, error.age) from None
        except (CertificateUnavailable, NeedsCertificate) as error:  # nothing is known of it, good or bad
            raise _Refused(error.reason, UNAVAILABLE, delivery.body) from None

    def _tell(self, taken: Taken) -> None:
        """It is durable: nothing that goes wrong from now on changes the answer."""
        try:
            self._reports.taken(taken)
        except Exception as error:  # noqa: BLE001  # as above
            self._reports.failed(error)
        if any(isinstance(item.outcome, Lookup) for item in taken.items):
            self._asked()

    # --- everything else

    def _asked_otherwise(self, request: BaseRequest, route: Route, query: str, token: str | None) -> Answer:
        """A provider's handshake, which anyone may try: it counts against the address as what is refused does."""
        if request.method != "GET" or route.account.provider.handshake is None:
            return METHOD_NOT_ALLOWED
        address = self._address(request)
        if wait := self._strangers.take(address, time.monotonic()):
            return too_many(wait)
        return handshakes.answer(route, query, token, address) or METHOD_NOT_ALLOWED

    def _strange(self, provider: str, account: str, address: str, refused: _Refused) -> Answer:
        """Count it against its address. Past that address's limit it is a number only, and told to come later; what
        is genuine is taken from there all the same, since a proxy's address may be everybody's.
        """
        wait = self._strangers.take(address, time.monotonic())
        if wait:
            return refused.answer if refused.answer.closes or refused.answer.status < _REFUSING else too_many(wait)
        self._reports.rejected(
            provider, account, reason=refused.reason, address=address, body=refused.body, age=refused.age
        )
        return refused.answer

    async def _elsewhere(self, request: BaseRequest, path: str) -> Answer:
        health = _HEALTH.get(path)
        if health is not None:
            return await health(self) if request.method in _READS else READ_ONLY
        unknown = _Refused("unknown_account", NOT_FOUND)
        self._reports.counted(OTHER, unknown.reason)
        if request.method != "POST" or not path.startswith(PREFIX):
            return NOT_FOUND
        provider, account = self._configured(path)
        return self._strange(provider, account, self._address(request), unknown)

    def _configured(self, path: str) -> tuple[str, str]:
        """As much of the path as names something of ours. The rest may be a secret in the wrong place (P10)."""
        provider, account, *_ = [*path.removeprefix(PREFIX).split("/"), ""]
        if f"{PREFIX}{provider}/{account}" in self.routes:
            return provider, account
        known = {route.provider for route in self.routes.values()}
        return (provider if provider in known else OTHER), OTHER

    async def healthz(self) -> Answer:
        return HEALTHY

    async def readyz(self) -> Answer:
        return HEALTHY if not self.draining and await self._is_ready() else UNAVAILABLE

    def _address(self, request: BaseRequest) -> str:
        peer = request.remote or ""
        trusted = self._limits.trusted_proxies
        if not trusted:
            return peer
        forwarded = [value for name, value in request.raw_headers if name.lower() == b"x-forwarded-for"]
        return sender(peer, forwarded, trusted)


_HEALTH: Final = {"/healthz": Webhooks.healthz, "/readyz": Webhooks.readyz}


def _asks_nothing(route: Route, items: Sequence[Item], body: bytes) -> _Refused:
    """Of a hint. A provider may add event types, and disables endpoints that answer them 4xx."""
    reasons = {item.outcome.reason for item in items if isinstance(item.outcome, Quarantined)}
    if reasons == {"unknown_event_type"}:
        return _Refused("hint_unknown_event", route.ack, body)
    return _Refused("hint_malformed", route.refusal, body)


def _spend(route: Route, verified: Verified, address: str) -> None:
    """One of the account's quota. Hints have one for each address, then one for all, so that no stranger alone can use
    it up.
    """
    now = time.monotonic()
    wait = 0.0
    if verified.proof is Proof.HINT and route.hints is not None:
        wait = route.hints.take(address, now)
    if not wait and route.quota is not None:
        wait = route.quota.take(now)
    if wait:
        raise _OverQuota(wait)

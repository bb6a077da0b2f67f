"""Fetching the certificates that deliveries name: one request at a time for each, within bounds of size, time and rate.

A stranger may name any URL that the scheme lets through, so little is done for one: what fails is remembered for a
while, few are fetched at once, and a certificate is kept only after it was checked. None of these bounds holds back one
that proved a delivery before: `warm` tells which those are.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp
from yarl import URL

from paymux import __version__, answer_body
from paymux.errors import CertificateUnavailable, PaymuxError, Rejected
from paymux.signatures.certificates import LARGEST, authorities, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from cryptography import x509

    from paymux.errors import NeedsCertificate
    from paymux.signatures.certificates import Certificate

DEADLINE: Final = 5.0  # seconds, for one request with its whole answer
RENEWED_AFTER: Final = timedelta(hours=12)  # in the background, while the one at hand still counts
KEPT: Final = timedelta(hours=24)
REFUSED_FOR: Final = timedelta(minutes=1)
UNAVAILABLE_FOR: Final = timedelta(seconds=5)
MOST_KEPT: Final = 256  # of each kind; a provider has a handful
MOST_AT_ONCE: Final = 4
MOST_A_MINUTE: Final = 60

_OK: Final = 200
_LATER: Final = frozenset({408, 429, *range(500, 600)})

T = TypeVar("T")

Wanted = tuple[str, str, str]  # URL, name, further authorities in PEM


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    certificate: Certificate
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    error: PaymuxError
    until: datetime


class Certificates:
    """`roots` None: those that the system trusts."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        clock: Callable[[], datetime],
        roots: tuple[x509.Certificate, ...] | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._session = session
        self._clock = clock
        self._roots = roots
        self._timeout = aiohttp.ClientTimeout(total=deadline)
        self._held: OrderedDict[Wanted, _Held] = OrderedDict()
        self._failed: OrderedDict[Wanted, _Failed] = OrderedDict()
        self._genuine: set[Wanted] = set()
        self._tasks: dict[Wanted, asyncio.Task[Certificate]] = {}
        self._started: list[datetime] = []

    async def __call__(self, needed: NeedsCertificate) -> Certificate:
        """Raises Rejected(certificate_untrusted, certificate_url): it is not what it should be, or not there;
        CertificateUnavailable: it cannot be fetched now, or too many others are asked for.
        """
        wanted, now = _wanted(needed), self._clock()
        held = self._held.get(wanted)
        if held is not None and now < min(held.since + KEPT, held.certificate.ends):
            if now >= held.since + RENEWED_AFTER and not self._failure(wanted, now):
                self._fetching(wanted, now)
            return held.certificate
        if failure := self._failure(wanted, now):
            raise type(failure)(failure.detail, reason=failure.reason)
        # A caller that goes away leaves the fetching to the others.
        return await asyncio.shield(self._fetching(wanted, now))

    def warm(self, genuine: Iterable[NeedsCertificate]) -> None:
        """Begin to fetch those that proved deliveries before a restart. However many others strangers ask for, these
        are fetched, now and whenever they are needed.
        """
        now = self._clock()
        for wanted in map(_wanted, genuine):
            self._genuine.add(wanted)
            self._fetching(wanted, now)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _failure(self, wanted: Wanted, now: datetime) -> PaymuxError | None:
        failed = self._failed.get(wanted)
        return failed.error if failed is not None and now < failed.until else None

    def _fetching(self, wanted: Wanted, now: datetime) -> asyncio.Task[Certificate]:
        """One for each, whoever asks."""
        if wanted not in self._tasks:
            if wanted not in self._held and wanted not in self._genuine:  # one that was genuine is no stranger's
                self._admit(now)
            task = asyncio.create_task(self._fetched(wanted), name=f"certificate {wanted[0]}")
            self._tasks[wanted] = task
            task.add_done_callback(lambda done: self._done(wanted, done))
        return self._tasks[wanted]

    def _admit(self, now: datetime) -> None:
        self._started = [at for at in self._started if now - at < timedelta(minutes=1)]
        if len(self._tasks) >= MOST_AT_ONCE or len(self._started) >= MOST_A_MINUTE:
            raise CertificateUnavailable("too many certificates are asked for")
        self._started.append(now)

    def _done(self, wanted: Wanted, task: asyncio.Task[Certificate]) -> None:
        """Its error is remembered; nobody may be waiting for it any more."""
        del self._tasks[wanted]
        if not task.cancelled():
            task.exception()

    async def _fetched(self, wanted: Wanted) -> Certificate:
        url, name, ca_pem = wanted
        try:
            pem = await self._get(url)
            now = self._clock()
            known = (*(system_roots() if self._roots is None else self._roots), *authorities(ca_pem))
            certificate = checked(pem, name=name, authorities=known, at=now)
        except Rejected as error:
            _remember(self._failed, wanted, _Failed(error=error, until=self._clock() + REFUSED_FOR))
            raise
        except CertificateUnavailable as error:
            _remember(self._failed, wanted, _Failed(error=error, until=self._clock() + UNAVAILABLE_FOR))
            raise
        _remember(self._held, wanted, _Held(certificate=certificate, since=now))
        return certificate

    async def _get(self, url: str) -> bytes:
        """What is at the URL itself: no redirect is followed, and no proxy of the environment asked."""
        try:
            async with self._session.get(
                URL(url, encoded=True), headers=_HEADERS, timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status in _LATER:
                    raise CertificateUnavailable(f"HTTP {response.status} for the certificate")
                if response.status != _OK:
                    raise Rejected(f"HTTP {response.status} for the certificate", reason="certificate_url")
                return await _pem(response)
        except TimeoutError:
            raise CertificateUnavailable(f"no certificate within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CertificateUnavailable(f"no certificate: {type(error).__name__}") from None


_HEADERS: Final = {
    "Accept": "application/x-pem-file, text/plain, */*",
    "Accept-Encoding": "identity",
    "User-Agent": f"paymux/{__version__}",
}


@cache
def system_roots() -> tuple[x509.Certificate, ...]:
    """What OpenSSL trusts on this machine, but for what RFC 5280 forbids (a serial number below zero)."""
    from cryptography.x509 import load_der_x509_certificate

    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            with suppress(ValueError, Warning):
                roots.append(load_der_x509_certificate(der))
    return tuple(roots)


def _wanted(needed: NeedsCertificate) -> Wanted:
    return (needed.url, needed.name, needed.ca_pem)


def _remember(held: OrderedDict[Wanted, T], wanted: Wanted, thing: T) -> None:
    held[wanted] = thing
    held.move_to_end(wanted)
    while len(held) > MOST_KEPT:
        held.popitem(last=False)


async def _pem(response: aiohttp.ClientResponse) -> bytes:
    pem = await answer_body.whole(response, LARGEST)
    if pem is None:
        raise Rejected(f"the certificate is larger than {LARGEST} bytes", reason="certificate_untrusted")
    return pem

"""The HTTP client for providers' APIs: one object or a list of payments, within bounds of time, size and rate.

It follows no redirect and no link, talks plain http to loopback only, and asks only for ids that look as the provider
documents them. The API key is in no error, log or repr.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from paymux import __version__, answer_body
from paymux.client_credentials import AccessTokens
from paymux.errors import ApiError, SettingsError, Untranslatable
from paymux.wild import parse_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from pydantic import SecretStr

    from paymux.delivery import ObjectRef
    from paymux.provider import Api, Endpoint, Listing

DEADLINE: Final = 10.0  # seconds, for one request with its whole answer
LARGEST_OBJECT: Final = 1024 * 1024
LARGEST_PAGE: Final = 16 * 1024 * 1024
LONGEST_RETRY_AFTER: Final = 3600.0  # seconds

_OK: Final = 200
# Status -> reason; every other one but 200 is `unavailable`.
_REASONS: Final = {
    401: "denied",
    403: "denied",
    404: "not_found",
    410: "not_found",
    429: "rate_limited",
}
# A provider says with these when to come back.
_WAITS: Final = frozenset({429, 503})
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The body of a 200, and which request it answers."""

    path: str
    query: str
    body: bytes


class Pace:
    """A token bucket: `burst` requests at once, then `rate` a second, in the order in which they were asked for."""

    def __init__(self, *, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def reserve(self) -> float:
        """Take one token, also one that is not there yet: the seconds until it is."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    async def take(self) -> None:
        await asyncio.sleep(self.reserve())


class ProviderApi:
    """One account's way to its provider's API.

    `pace` None: a fresh one at the provider's rate.
    Raises SettingsError where the URL or the key cannot be used. `get`, `page` and `list_payments` raise ApiError:
    not_found (404, 410), denied (401, 403), rate_limited (429), unavailable (any other status, a timeout, a connection
    that fails or ends early), shape (an id that the provider cannot mean, an answer beyond the bound, a page that does
    not say where the next one is).
    """

    def __init__(
        self,
        *,
        api: Api,
        url: str,
        key: SecretStr,
        options: Mapping[str, str],
        session: aiohttp.ClientSession,
        pace: Pace | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        if not _HEADER_VALUE.fullmatch(key.get_secret_value()):
            raise SettingsError("api_key: it is empty, or has blanks or signs that no HTTP header can hold")
        self._api = api
        self._base = checked_url(url)
        self._key = key
        self._session = session
        self._options = options
        self.pace = pace or Pace(rate=api.rate, burst=api.burst)
        self._timeout = aiohttp.ClientTimeout(total=deadline)
        self._tokens = self._access_tokens()

    def __repr__(self) -> str:
        return f"ProviderApi({self._base})"

    async def get(self, ref: ObjectRef) -> Answer:
        """The provider's answer about one object, unread."""
        endpoint = self._api.objects.get(ref.object)
        if endpoint is None:
            raise ApiError(f"there is no endpoint for {ref.object!r:.40}", reason="shape")
        return await self._fetch(_located(endpoint, ref), endpoint.query, LARGEST_OBJECT)

    async def list_payments(self, filters: Mapping[str, str]) -> AsyncIterator[Answer]:
        """Every page, unread, in the provider's order. Raises SettingsError for a filter that it does not have."""
        place: Mapping[str, str] | None = {}
        seen = set[tuple[tuple[str, str], ...]]()
        while place is not None:
            page = await self.page(filters, place)
            yield page
            place = self.following(page)
            named = tuple(sorted((place or {}).items()))
            if named in seen:
                raise ApiError("the pages lead back to one that was read", reason="shape")
            seen.add(named)

    async def page(self, filters: Mapping[str, str], place: Mapping[str, str]) -> Answer:
        """One page of a list, unread; `place` is empty for the first. Raises SettingsError as list_payments."""
        listing = self._listing(filters)
        name, size = listing.page_size
        query = {name: str(size), **filters, **place}
        return await self._fetch(listing.path, (*query.items(), *listing.query), LARGEST_PAGE)

    def following(self, page: Answer) -> Mapping[str, str] | None:
        """The place of the page after this one; None at the end. Raises ApiError(shape)."""
        return _following(self._listing({}), page)

    def _listing(self, filters: Mapping[str, str]) -> Listing:
        listing = self._api.payments
        if listing is None:
            raise SettingsError("this provider's API cannot list payments")
        for name in filters:
            if name not in listing.filters:
                known = ", ".join(sorted(listing.filters)) or "none"
                raise SettingsError(f"{name}: no filter of this provider; there are: {known}")
        return listing

    def _access_tokens(self) -> AccessTokens | None:
        credentials = self._api.credentials
        if credentials is None:
            return None
        url = self._base + credentials.path
        return AccessTokens(url=url, key=self._key, session=self._session, timeout=self._timeout)

    async def _fetch(self, path: str, query: tuple[tuple[str, str], ...], largest: int) -> Answer:
        """An access token may have been taken back before its time: then another one is tried, once."""
        try:
            return await self._asked(path, query, largest)
        except ApiError as error:
            if self._tokens is None or error.reason != "denied":
                raise
            self._tokens.forget()
        return await self._asked(path, query, largest)

    async def _asked(self, path: str, query: tuple[tuple[str, str], ...], largest: int) -> Answer:
        """The failure is raised outside of `except`: aiohttp's errors carry the request, with its key."""
        await self.pace.take()
        headers = await self._headers()
        url = URL(self._base + path, encoded=True).with_query(query or None)
        try:
            async with self._session.get(
                url, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                if response.status != _OK:
                    failure = _refused(response)
                else:
                    body = await answer_body.whole(response, largest)
                    if body is not None:
                        return Answer(path=url.raw_path, query=url.raw_query_string, body=body)
                    failure = ApiError(f"the answer is larger than {largest} bytes", reason="shape")
        except TimeoutError:
            failure = ApiError(f"no whole answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = ApiError(f"no whole answer: {type(error).__name__}")
        raise failure

    async def _headers(self) -> dict[str, str]:
        key = self._key.get_secret_value() if self._tokens is None else await self._tokens.get()
        return {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"paymux/{__version__}",
            **self._api.headers(key, self._options),
        }


def open_session() -> aiohttp.ClientSession:
    """A session that all accounts may share: it keeps no cookies and reads no proxy or netrc from the environment."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def base_url(api: Api, options: Mapping[str, str], configured: str | None) -> str:
    """The account's `api_url`, else that of its `region`, else the provider's own. Raises SettingsError as checked_url.

    An `api_url` that is only a host gets the path that the provider's own URL has.
    """
    own = api.regions.get(options.get("region", ""), api.url)
    if configured is None:
        return own
    base = checked_url(configured)
    return base if urlsplit(base).path else base + urlsplit(own).path


def checked_url(url: str) -> str:
    """`url` without a slash at its end. Raises SettingsError unless it is https, or http to loopback."""
    try:
        found = URL(url)
        host = found.host or ""
    except ValueError:
        raise SettingsError(f"api_url: {url!r:.200} is no URL") from None
    if found.user is not None or found.password is not None:
        raise SettingsError("api_url: put no user or password into the URL")
    if not host or found.scheme not in ("https", "http") or found.query_string or found.fragment:
        raise SettingsError(f"api_url: {url!r:.200} is not of the form https://host/path")
    if found.scheme == "http" and not _is_loopback(host):
        raise SettingsError(f"api_url: plain http is for loopback only; use https for {host}")
    return str(found).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _located(endpoint: Endpoint, ref: ObjectRef) -> str:
    """The path of one object. Dots alone would climb in the path, and escaping leaves them as they are."""
    if not endpoint.id_pattern.fullmatch(ref.id) or not ref.id.strip("."):
        raise ApiError(f"no id of a {ref.object} looks like this", reason="shape")
    return endpoint.path.replace("{id}", quote(ref.id, safe=""))


def _following(listing: Listing, page: Answer) -> Mapping[str, str] | None:
    try:
        return listing.following(parse_json(page.body))
    except Untranslatable as error:
        raise ApiError(f"the page does not say where the next one is: {error.detail}", reason="shape") from None


def _refused(response: aiohttp.ClientResponse) -> ApiError:
    """Only the status is told: an error body may repeat anything that was sent."""
    return ApiError(
        f"HTTP {response.status}",
        reason=_REASONS.get(response.status, "unavailable"),
        retry_after=_retry_after(response) if response.status in _WAITS else None,
    )


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds, or an HTTP date. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    value = response.headers.get("Retry-After", "").strip()
    seconds = float(value) if _DIGITS.fullmatch(value) else _seconds_until(value, response.headers.get("Date", ""))
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _seconds_until(value: str, said_at: str) -> float | None:
    """Counted from the answer's own Date, so that the two clocks need not agree."""
    until = _http_date(value)
    if until is None:
        return None
    return (until - (_http_date(said_at) or datetime.now(UTC))).total_seconds()


def _http_date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

"""A provider's side of the connection: webhooks signed as it signs them, posted as it posts them."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp

from paymux.sandbox.signing import Signed, signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paymux.provider import Provider

DEADLINE: Final = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The receiver's answer; `status` is None where none came, and `text` then says why."""

    status: int | None
    text: str
    milliseconds: float

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  # success


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One account's webhooks to the gateway at `base`."""

    base: str
    provider: Provider
    account: str
    secret: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    path_token: str | None = None
    public_url: str | None = None

    @property
    def url(self) -> str:
        token = f"/{self.path_token}" if self.path_token else ""
        return f"{self.base.rstrip('/')}/webhooks/{self.provider.name}/{self.account}{token}"

    def signed(self, body: bytes, message: str, at: datetime, *, secret: str | None = None) -> Signed:
        """Raises ValueError for a scheme that nothing here signs for."""
        scheme = self.provider.scheme(self.options)
        key = self.secret if secret is None else secret
        return signed(scheme, secret=key, body=body, message=message, at=at, url=self.public_url or self.url)

    async def post(
        self, session: aiohttp.ClientSession, body: bytes, message: str, *, secret: str | None = None
    ) -> Reply:
        """Signed with the account's secret, or with another one."""
        sent = self.signed(body, message, datetime.now(UTC), secret=secret)
        headers = {"Content-Type": _content_type(sent.body), **sent.headers}
        started = time.perf_counter()
        try:
            async with session.post(
                self.url, data=sent.body, headers=headers, timeout=DEADLINE, allow_redirects=False
            ) as response:
                status, text = response.status, await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status, text = None, _why(error)
        return Reply(status=status, text=text, milliseconds=(time.perf_counter() - started) * 1000)


def _content_type(body: bytes) -> str:
    return "application/json" if body.lstrip()[:1] in (b"{", b"[") else "application/x-www-form-urlencoded"


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error) or type(error).__name__


def new_message() -> str:
    return f"msg_{secrets.token_hex(12)}"

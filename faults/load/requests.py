"""Whole HTTP requests, ready to be written: Stripe's webhooks, signed now, with a secret or with a wrong one."""

from __future__ import annotations

import hmac
import json
import time
from typing import TYPE_CHECKING, Final

from faults.load.house import SECRETS
from paymux.sandbox import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

_SAMPLE: Final = json.loads(samples.webhook("stripe", "payment_intent.succeeded").body)
_HEAD: Final = (
    "POST /webhooks/stripe/{account} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    "Stripe-Signature: t={at},v1={digest}\r\nContent-Length: {length}\r\n\r\n"
)


def signed(account: str, first: int, count: int, *, size: int = 0, secret: str | None = None) -> Iterator[bytes]:
    """Events `first` and up, each about a payment of its own, padded to `size` with blanks."""
    for number in range(first, first + count):
        yield request(account, _body(account, number).ljust(size), secret or SECRETS[account])


def forged(account: str, first: int, count: int) -> Iterator[bytes]:
    return signed(account, first, count, secret="whsec_a-secret-that-nobody-has")


def quarantined(account: str, first: int, count: int) -> Iterator[bytes]:
    """Genuine, and of a type that nobody knows."""
    for number in range(first, first + count):
        body = _body(account, number).replace(b'"payment_intent.succeeded"', b'"payment_intent.sublimated"')
        yield request(account, body, SECRETS[account])


def request(account: str, body: bytes, secret: str) -> bytes:
    at = int(time.time())
    digest = hmac.digest(secret.encode(), f"{at}.".encode() + body, "sha256").hex()
    return _HEAD.format(account=account, at=at, digest=digest, length=len(body)).encode() + body


def _body(account: str, number: int) -> bytes:
    _SAMPLE["id"] = f"evt_{account}{number:020d}"
    _SAMPLE["data"]["object"]["id"] = f"pi_{account}{number:020d}"
    return json.dumps(_SAMPLE).encode()

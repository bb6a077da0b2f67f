"""Stripe's webhooks about payments that nobody has heard of: distinct, signed now, as whole HTTP requests."""

from __future__ import annotations

import hmac
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from paymux.sandbox import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET: Final = "whsec_benchmarks0benchmarks0benchmarks0"
PATH: Final = "/webhooks/stripe/bench"

_SAMPLE: Final = samples.webhook("stripe", "payment_intent.succeeded")
_OBJECT: Final = json.loads(_SAMPLE.body)["data"]["object"]
# What makes it another event about another payment.
_IDS: Final = (json.loads(_SAMPLE.body)["id"], _OBJECT["id"], _OBJECT["latest_charge"])
_HEAD: Final = (
    b"POST %b HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\n"
    b"User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
    b"Accept: */*; q=0.5, application/xml\r\n"
    b"Content-Type: application/json; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Stripe-Signature: %b\r\n"
    b"Content-Length: %d\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A body and its Stripe-Signature header."""

    body: bytes
    signature: bytes

    @property
    def request(self) -> bytes:
        return _HEAD % (PATH.encode(), self.signature, len(self.body)) + self.body


def payment_id(number: int) -> str:
    return f"pi_{number:024d}"


def numbered(payment: str) -> int:
    """The number of a payment id of ours."""
    return int(payment.removeprefix("pi_"))


def events(first: int, count: int) -> Iterator[Signed]:
    """Numbers `first` and up. Good for as long as the provider's tolerance, five minutes."""
    template = _template()
    places = template.count(b"%")
    at = b"%d" % time.time()
    for number in range(first, first + count):
        body = template % ((number,) * places)
        digest = hmac.digest(SECRET.encode(), at + b"." + body, "sha256").hex()
        yield Signed(body=body, signature=b"t=%b,v1=%b" % (at, digest.encode()))


def _template() -> bytes:
    """The sample in json's own spacing, about 1.9 kB, with a number in place of each id."""
    text = json.dumps(json.loads(_SAMPLE.body)).replace("%", "%%")
    for old in _IDS:
        prefix = old.partition("_")[0]
        text = re.sub(re.escape(old), f"{prefix}_%024d", text)
    return text.encode()

"""Requests signed by the providers' own SDKs, which share no code with the verifier."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import standardwebhooks
import stripe
import svix.webhooks
from Adyen.util import generate_payload_sig
from square.utils.webhooks_helper import verify_signature

from paymux.delivery import Delivery
from paymux.signatures.adyen_hmac import AdyenHmac
from paymux.signatures.mollie_hmac import MollieHmac
from paymux.signatures.raw_hmac import RawHmac
from paymux.signatures.svix import Svix
from paymux.signatures.timestamped_hmac import TimestampedHmac
from paymux.signatures.url_hmac import UrlHmac

if TYPE_CHECKING:
    from collections.abc import Callable

    from paymux.signatures import Scheme

NOW = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)
BODY = b'{"id": "evt_1PqrS", "type": "payment.succeeded", "amount": 4999, "note": "caf\\u00e9"}\r\n'
MESSAGE = "msg_2f8QkMZ1wXhVb7"
URL = "https://pay.example/webhooks/p/a"

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scheme, two secrets, and a signer: (body, signed at, secret) -> headers.

    `signature` is the header that holds the signature, in base64 if `is_base64`, else in hex; `joiner` stands between
    several in one header.
    """

    name: str
    scheme: Scheme
    secret: str
    other: str
    sign: Callable[[bytes, datetime, str], Headers]
    signature: bytes
    joiner: bytes = b""
    is_base64: bool = False

    def headers(self, body: bytes = BODY, at: datetime = NOW, secret: str | None = None) -> Headers:
        return self.sign(body, at, secret or self.secret)

    def check(self, headers: Headers, body: bytes = BODY, secrets: tuple[str, ...] = ()) -> int | None:
        keys = [self.scheme.key(secret) for secret in secrets or (self.secret,)]
        return self.scheme.verify(request(headers, body), keys)


def request(
    headers: Headers = (), body: bytes = BODY, received_at: datetime = NOW, path_token: str | None = None
) -> Delivery:
    return Delivery(
        id="0196a0f0-0000-7000-8000-000000000001",
        provider="p",
        account="a",
        received_at=received_at,
        body=body,
        headers=((b"Host", b"pay.example"), (b"Content-Type", b"application/json"), *headers),
        path_token=path_token,
        url=URL,
    )


def seconds(at: datetime, shift: int = 0) -> datetime:
    return at + timedelta(seconds=shift)


def replaced(headers: Headers, name: bytes, value: bytes) -> Headers:
    return tuple((key, value if key.lower() == name else old) for key, old in headers)


def value_of(headers: Headers, name: bytes) -> bytes:
    (value,) = [value for key, value in headers if key.lower() == name]
    return value


def hmac_by_hand(key: bytes, message: bytes, algorithm: str) -> bytes:
    """RFC 2104, for what no SDK signs."""
    block = hashlib.new(algorithm).block_size
    padded = (hashlib.new(algorithm, key).digest() if len(key) > block else key).ljust(block, b"\0")
    inner = hashlib.new(algorithm, bytes(b ^ 0x36 for b in padded) + message).digest()
    return hashlib.new(algorithm, bytes(b ^ 0x5C for b in padded) + inner).digest()


def stripe_signs(body: bytes, at: datetime, secret: str) -> Headers:
    stamp = int(at.timestamp())
    signature = stripe.WebhookSignature._compute_signature(f"{stamp}.{body.decode()}", secret)
    return ((b"Stripe-Signature", f"t={stamp},v1={signature}".encode()),)


def decoded_signs(body: bytes, at: datetime, secret: str) -> Headers:
    stamp = str(int(at.timestamp())).encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac_by_hand(key, stamp + b"." + body, "sha256").hex().encode()
    return ((b"Flowlix-Signature", b"t=" + stamp + b",v1=" + signature),)


def svix_signs(body: bytes, at: datetime, secret: str) -> Headers:
    signature = svix.webhooks.Webhook(secret).sign(MESSAGE, at, body.decode())
    return (
        (b"svix-id", MESSAGE.encode()),
        (b"svix-timestamp", str(int(at.timestamp())).encode()),
        (b"svix-signature", signature.encode()),
    )


def standard_webhooks_signs(body: bytes, at: datetime, secret: str) -> Headers:
    signature = standardwebhooks.Webhook(secret).sign(MESSAGE, at, body.decode())
    return (
        (b"Webhook-Id", MESSAGE.encode()),
        (b"Webhook-Timestamp", str(int(at.timestamp())).encode()),
        (b"Webhook-Signature", signature.encode()),
    )


def body_signs(body: bytes, at: datetime, secret: str) -> Headers:
    return ((b"X-Signature", b"sha256=" + hmac_by_hand(secret.encode(), body, "sha256").hex().encode()),)


def mollie_signs(body: bytes, at: datetime, secret: str) -> Headers:
    return ((b"X-Mollie-Signature", b"sha256=" + hmac_by_hand(secret.encode(), body, "sha256").hex().encode()),)


def paystack_signs(body: bytes, at: datetime, secret: str) -> Headers:
    return ((b"X-Paystack-Signature", hmac_by_hand(secret.encode(), body, "sha512").hex().encode()),)


def adyen_signs(body: bytes, at: datetime, secret: str) -> Headers:
    return ((b"HmacSignature", generate_payload_sig(body, secret)),)


def square_signs(body: bytes, at: datetime, secret: str) -> Headers:
    """Square's SDK only checks, so it checks this, where the body is text as it takes it."""
    text = base64.b64encode(hmac_by_hand(secret.encode(), URL.encode() + body, "sha256")).decode()
    assert not body or verify_signature(
        request_body=body.decode(), signature_header=text, signature_key=secret, notification_url=URL
    )
    return ((b"X-Square-HmacSha256-Signature", text.encode()),)


def whsec(first: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(first, first + 32))).decode()


STRIPE = Case(
    name="stripe",
    scheme=TimestampedHmac(),
    secret="whsec_5WJ2kPqZr8vN1xYtB7mC",
    other="whsec_An0therSecretOfTheRota",
    sign=stripe_signs,
    signature=b"stripe-signature",
    joiner=b",",
)
DECODED = Case(
    name="timestamped, base64 secret",
    scheme=TimestampedHmac(header=b"flowlix-signature", secret_encoding="base64"),
    secret=whsec(1),
    other=whsec(101),
    sign=decoded_signs,
    signature=b"flowlix-signature",
    joiner=b",",
)
SVIX = Case(
    name="svix",
    scheme=Svix(),
    secret=whsec(2),
    other=whsec(102),
    sign=svix_signs,
    signature=b"svix-signature",
    joiner=b" ",
    is_base64=True,
)
STANDARD_WEBHOOKS = Case(
    name="standard-webhooks",
    scheme=Svix(),
    secret=whsec(3),
    other=whsec(103),
    sign=standard_webhooks_signs,
    signature=b"webhook-signature",
    joiner=b" ",
    is_base64=True,
)
RAW = Case(
    name="raw hmac",
    scheme=RawHmac(header=b"x-signature", prefix="sha256="),
    secret="a secret of the tenant's own",
    other="the tenant's other secret",
    sign=body_signs,
    signature=b"x-signature",
)
PAYSTACK = Case(
    name="paystack",
    scheme=RawHmac(header=b"x-paystack-signature", algorithm="sha512"),
    secret="sk_test_a_secret_of_paystack",
    other="sk_test_another_of_paystack",
    sign=paystack_signs,
    signature=b"x-paystack-signature",
)
MOLLIE = Case(
    name="mollie",
    scheme=MollieHmac(),
    secret="a secret of the webhook",
    other="another of the webhook",
    sign=mollie_signs,
    signature=b"x-mollie-signature",
)
ADYEN = Case(
    name="adyen, header",
    scheme=AdyenHmac(),
    secret="0F" * 32,
    other="a7" * 32,
    sign=adyen_signs,
    signature=b"hmacsignature",
    is_base64=True,
)
SQUARE = Case(
    name="square",
    scheme=UrlHmac(header=b"x-square-hmacsha256-signature"),
    secret="a-signature-key-of-square",
    other="another-signature-key-of-square",
    sign=square_signs,
    signature=b"x-square-hmacsha256-signature",
    is_base64=True,
)

TIMED = (STRIPE, DECODED, SVIX, STANDARD_WEBHOOKS)
SIGNED = (*TIMED, RAW, PAYSTACK, MOLLIE, ADYEN, SQUARE)

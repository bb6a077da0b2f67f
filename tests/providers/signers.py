"""How each provider signs, by its own SDK where there is one: none of this shares code with the verifiers.

A `Way` is one way in which deliveries of a provider are proven, with the options that choose it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import standardwebhooks
import stripe
import svix

from paymux.delivery import Delivery, Proof
from paymux.provider import Account
from paymux.providers.flexportal import FLEXPORTAL
from paymux.providers.flexprice import FLEXPRICE
from paymux.providers.flowglad import FLOWGLAD
from paymux.providers.flowlix import FLOWLIX
from paymux.providers.stripe import STRIPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paymux.provider import Provider

    Headers = tuple[tuple[bytes, bytes], ...]
    Signer = Callable[[bytes, str], Headers]

NOW = datetime(2026, 1, 9, 10, 0, 8, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
MESSAGE_ID = "msg_2bT4nV8kQxW1"


@dataclass(frozen=True, kw_only=True)
class Way:
    """`sign` makes the headers for a body and a secret. `signature` is the header that holds the proof, None where no
    header does. `sign_body` puts the proof into the body, before `sign` makes the headers.

    `signed_headers` are those that the signature covers beside the body. `binds` is false where the proof says nothing
    about the body.
    """

    label: str
    provider: Provider
    sign: Signer
    sign_body: Callable[[bytes, str], bytes] = lambda body, _secret: body
    proof: Proof = Proof.SIGNATURE
    signature: bytes | None = None
    signed_headers: tuple[bytes, ...] = ()
    binds: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, str, str] = ("", "", "")

    def account(self, *secrets: str, livemode: bool | None = None) -> Account:
        """An account with these secrets; with the first one unless told."""
        scheme = self.provider.scheme(self.options)
        keys = tuple(scheme.key(secret) for secret in (secrets or self.secrets[:1]) if secret)
        return Account(
            provider=self.provider,
            name="acme",
            checks=((scheme, keys),),
            livemode=livemode,
            options=self.options,
        )

    def delivery(self, body: bytes, secret: str | None = None) -> Delivery:
        """What the provider sends: the body, signed."""
        key = self.secrets[0] if secret is None else secret
        signed = self.sign_body(body, key)
        return self.sent(signed, self.sign(signed, key))

    def sent(self, body: bytes, headers: Headers) -> Delivery:
        return Delivery(
            id="0190b2a6-0000-7000-8000-000000000001",
            provider=self.provider.name,
            account="acme",
            received_at=NOW,
            body=body,
            headers=((b"Content-Type", b"application/json"), *headers),
        )


def _stripe(body: bytes, secret: str) -> Headers:
    signature = stripe.WebhookSignature._compute_signature(f"{SECONDS}.{body.decode()}", secret)
    return ((b"Stripe-Signature", f"t={SECONDS},v1={signature}".encode()),)


def _flowlix(body: bytes, secret: str) -> Headers:
    return _timestamped(body, secret.encode())


def _flowlix_base64(body: bytes, secret: str) -> Headers:
    return _timestamped(body, base64.b64decode(secret.removeprefix("whsec_")))


def _timestamped(body: bytes, key: bytes) -> Headers:
    signature = hmac.new(key, str(SECONDS).encode() + b"." + body, hashlib.sha256).hexdigest()
    return ((b"Flowlix-Signature", f"t={SECONDS},v1={signature}".encode()),)


def _svix(body: bytes, secret: str) -> Headers:
    return _family(b"svix-", svix.Webhook(secret).sign(MESSAGE_ID, NOW, body.decode()))


def _standard(body: bytes, secret: str) -> Headers:
    return _family(b"webhook-", standardwebhooks.Webhook(secret).sign(MESSAGE_ID, NOW, body.decode()))


def _family(prefix: bytes, signature: str) -> Headers:
    return (
        (prefix + b"id", MESSAGE_ID.encode()),
        (prefix + b"timestamp", str(SECONDS).encode()),
        (prefix + b"signature", signature.encode()),
    )


def _api_key(_: bytes, secret: str) -> Headers:
    return ((b"X-Api-Key", secret.encode()),)


def _hex(body: bytes, secret: str) -> Headers:
    return ((b"X-Signature", hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()),)


def _prefixed_base64(body: bytes, secret: str) -> Headers:
    digest = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha512).digest())
    return ((b"X-Signature", b"sha512=" + digest),)


def _nothing(_body: bytes, _secret: str) -> Headers:
    return ()


def _whsec(letter: str) -> str:
    return "whsec_" + base64.b64encode(letter.encode() * 32).decode()


PLAIN = ("first-secret-of-the-operator", "second-secret-of-the-operator", "third-secret-of-the-operator")
WHSEC = (_whsec("a"), _whsec("b"), _whsec("c"))
FAMILIES = {prefix: (prefix + b"id", prefix + b"timestamp") for prefix in (b"svix-", b"webhook-")}

WAYS = (
    Way(
        label="flexportal, hint",
        provider=FLEXPORTAL,
        sign=_nothing,
        proof=Proof.HINT,
        binds=False,
        options={"tenant_id": "bu_harbour_lease"},
    ),
    Way(
        label="flexportal, static header",
        provider=FLEXPORTAL,
        sign=_api_key,
        proof=Proof.STATIC,
        signature=b"x-api-key",
        binds=False,
        options={"tenant_id": "bu_harbour_lease", "static_header": "X-Api-Key"},
        secrets=PLAIN,
    ),
    Way(
        label="flexportal, hmac",
        provider=FLEXPORTAL,
        sign=_hex,
        signature=b"x-signature",
        options={"tenant_id": "bu_harbour_lease", "hmac_header": "X-Signature"},
        secrets=PLAIN,
    ),
    Way(
        label="flexportal, hmac sha512 in base64",
        provider=FLEXPORTAL,
        sign=_prefixed_base64,
        signature=b"x-signature",
        options={
            "tenant_id": "bu_harbour_lease",
            "hmac_header": "X-Signature",
            "hmac_algorithm": "sha512",
            "hmac_encoding": "base64",
            "hmac_prefix": "sha512=",
        },
        secrets=PLAIN,
    ),
    Way(
        label="flexprice, svix",
        provider=FLEXPRICE,
        sign=_svix,
        signature=b"svix-signature",
        signed_headers=FAMILIES[b"svix-"],
        secrets=WHSEC,
    ),
    Way(
        label="flexprice, standard webhooks",
        provider=FLEXPRICE,
        sign=_standard,
        signature=b"webhook-signature",
        signed_headers=FAMILIES[b"webhook-"],
        secrets=WHSEC,
    ),
    Way(
        label="flexprice, native",
        provider=FLEXPRICE,
        sign=_api_key,
        proof=Proof.STATIC,
        signature=b"x-api-key",
        binds=False,
        options={"delivery": "native"},
        secrets=PLAIN,
    ),
    Way(
        label="flowglad, standard webhooks",
        provider=FLOWGLAD,
        sign=_standard,
        signature=b"webhook-signature",
        signed_headers=FAMILIES[b"webhook-"],
        secrets=WHSEC,
    ),
    Way(
        label="flowglad, svix",
        provider=FLOWGLAD,
        sign=_svix,
        signature=b"svix-signature",
        signed_headers=FAMILIES[b"svix-"],
        secrets=WHSEC,
    ),
    Way(label="flowlix", provider=FLOWLIX, sign=_flowlix, signature=b"flowlix-signature", secrets=WHSEC),
    Way(
        label="flowlix, base64",
        provider=FLOWLIX,
        sign=_flowlix_base64,
        signature=b"flowlix-signature",
        options={"secret_encoding": "base64"},
        secrets=WHSEC,
    ),
    Way(label="stripe", provider=STRIPE, sign=_stripe, signature=b"stripe-signature", secrets=WHSEC),
)

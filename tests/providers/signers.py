"""How each provider signs, by its own SDK where there is one: none of this shares code with the verifiers.

WAYS lists every way (`paymux.testing.Way`) in which their deliveries are proven.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

import gocardless_pro.webhooks
import razorpay
import standardwebhooks
import stripe
import svix
from Adyen.util import generate_notification_sig, generate_payload_sig
from braintree.util.crypto import Crypto
from square.utils.webhooks_helper import verify_signature
from tests.paypal_signing import Authority

from paymux.delivery import Proof
from paymux.providers.adyen import ADYEN
from paymux.providers.braintree import BRAINTREE
from paymux.providers.checkout import CHECKOUT
from paymux.providers.flexportal import FLEXPORTAL
from paymux.providers.flexprice import FLEXPRICE
from paymux.providers.flowglad import FLOWGLAD
from paymux.providers.flowlix import FLOWLIX
from paymux.providers.gocardless import GOCARDLESS
from paymux.providers.klarna import KLARNA
from paymux.providers.mollie import MOLLIE
from paymux.providers.paypal import PAYPAL
from paymux.providers.paystack import PAYSTACK
from paymux.providers.razorpay import RAZORPAY
from paymux.providers.square import SQUARE
from paymux.providers.stripe import STRIPE
from paymux.testing import NOW, Way

if TYPE_CHECKING:
    from paymux.testing.ways import Change, Headers

SECONDS = int(NOW.timestamp())
MESSAGE_ID = "msg_2bT4nV8kQxW1"
URL = "https://pay.example/webhooks/square/acme"


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


def _square(body: bytes, secret: str) -> Headers:
    """Square's SDK only checks, so it checks this."""
    signature = base64.b64encode(hmac.new(secret.encode(), URL.encode() + body, hashlib.sha256).digest()).decode()
    if body:
        assert verify_signature(
            request_body=body.decode(errors="replace"),
            signature_header=signature,
            signature_key=secret,
            notification_url=URL,
        )
    return ((b"X-Square-HmacSha256-Signature", signature.encode()),)


def _checkout(body: bytes, secret: str) -> Headers:
    """By hand: Checkout.com's SDK neither signs nor checks."""
    return ((b"Cko-Signature", _hex_digest(body, secret)),)


def _gocardless(body: bytes, secret: str) -> Headers:
    """GoCardless's SDK only checks, so it checks this."""
    signature = _hex_digest(body, secret)
    gocardless_pro.webhooks._verify_signature(body, secret, signature.decode())
    return ((b"Webhook-Signature", signature),)


def _mollie(body: bytes, secret: str) -> Headers:
    return ((b"X-Mollie-Signature", b"sha256=" + _hex_digest(body, secret)),)


def _mollie_bare(body: bytes, secret: str) -> Headers:
    return ((b"X-Mollie-Signature", _hex_digest(body, secret)),)


def _paystack(body: bytes, secret: str) -> Headers:
    return ((b"X-Paystack-Signature", hmac.new(secret.encode(), body, hashlib.sha512).hexdigest().encode()),)


def _razorpay(body: bytes, secret: str) -> Headers:
    """Razorpay's SDK only checks, so it checks this. The id of the event is in a header that is not signed."""
    signature = _hex_digest(body, secret)
    razorpay.Utility().verify_webhook_signature(body.decode(), signature.decode(), secret)
    return ((b"X-Razorpay-Event-Id", b"Q4nXw8Kz1Tb6Mv"), (b"X-Razorpay-Signature", signature))


def _klarna_hex(body: bytes, secret: str) -> Headers:
    return ((b"Klarna-Signing-Key-Id", b"krn:signing-key:1"), (b"Klarna-Signature", _hex_digest(body, secret)))


def _klarna_base64(body: bytes, secret: str) -> Headers:
    digest = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest())
    return ((b"Klarna-Signing-Key-Id", b"krn:signing-key:1"), (b"Klarna-Signature", digest))


def _hex_digest(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def _paypal(body: bytes, secret: str) -> Headers:
    """Each event is a transmission of its own."""
    return PAYPALS.headers(body, NOW, webhook_id=secret, transmission=hashlib.sha256(body).hexdigest()[:36])


def _nothing(_body: bytes, _secret: str) -> Headers:
    return ()


def _whsec(letter: str) -> str:
    return "whsec_" + base64.b64encode(letter.encode() * 32).decode()


PLAIN = ("first-secret-of-the-operator", "second-secret-of-the-operator", "third-secret-of-the-operator")
WHSEC = (_whsec("a"), _whsec("b"), _whsec("c"))
HEX = tuple(letter * 64 for letter in "a1F")
FAMILIES = {prefix: (prefix + b"id", prefix + b"timestamp") for prefix in (b"svix-", b"webhook-")}


def _adyen_items(body: bytes, secret: str) -> bytes:
    """Each item signed by Adyen's SDK."""
    found = json.loads(body)
    for wrapper in found["notificationItems"]:
        item = wrapper["NotificationRequestItem"]
        extra = item.setdefault("additionalData", {})
        extra["hmacSignature"] = generate_notification_sig(item, secret).decode()
    return json.dumps(found).encode()


def _adyen_spoiled(body: bytes, change: Change) -> bytes:
    """The last item's signature changed; what is no text any more is written as text all the same."""
    found = json.loads(body)
    extra = found["notificationItems"][-1]["NotificationRequestItem"]["additionalData"]
    spoiled = change(extra.pop("hmacSignature").encode())
    if spoiled is not None:
        extra["hmacSignature"] = spoiled.decode(errors="replace")
    return json.dumps(found).encode()


def _adyen_covers(body: bytes) -> object:
    """By Adyen's SDK, of every item: what is signed, made short under a key of no meaning, and its signature."""
    items = [wrapper["NotificationRequestItem"] for wrapper in json.loads(body)["notificationItems"]]
    return [(generate_notification_sig(item, "00"), item["additionalData"]["hmacSignature"]) for item in items]


def _adyen_header(body: bytes, secret: str) -> Headers:
    return ((b"HmacSignature", generate_payload_sig(body, secret)), (b"Protocol", b"HmacSHA256"))


def _adyen_basic(_body: bytes, secret: str) -> Headers:
    return ((b"Authorization", b"Basic " + base64.b64encode(secret.encode())),)


BRAINTREE_KEY = "k7p2w9x4r5t8n3qb"


def _braintree_form(body: bytes, secret: str) -> bytes:
    """What Braintree's SDK makes of the XML of its test notifications."""
    payload = base64.encodebytes(body)
    pair = f"{BRAINTREE_KEY}|{Crypto.sha1_hmac_hash(secret, payload)}"
    return urlencode({"bt_signature": pair, "bt_payload": payload}).encode()


def _braintree_spoiled(body: bytes, change: Change) -> bytes:
    fields = dict(parse_qsl(body.decode()))
    spoiled = change(fields.pop("bt_signature").encode())
    return urlencode({**({} if spoiled is None else {"bt_signature": spoiled}), **fields}).encode()


def _form_fields(body: bytes) -> object:
    return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)


# There is no secret: the keys are the ids of webhooks, and whose certificate it is.
AUTHORITY = Authority(NOW)
PAYPALS = AUTHORITY.issue()

WAYS = (
    Way(
        label="adyen, standard notifications",
        provider=ADYEN,
        takes=lambda sample: b"notificationItems" in sample.body,
        sign_body=_adyen_items,
        spoil=_adyen_spoiled,
        covers=_adyen_covers,
        type_at=("notificationItems", 0, "NotificationRequestItem", "eventCode"),
        status_words=frozenset({"disputeStatus"}),
        type_is_status=True,
        secrets=HEX,
    ),
    Way(
        label="adyen, platform",
        provider=ADYEN,
        takes=lambda sample: b"notificationItems" not in sample.body,
        sign=_adyen_header,
        signature=b"hmacsignature",
        secrets=HEX,
    ),
    Way(
        label="adyen, basic",
        provider=ADYEN,
        takes=lambda sample: sample.name == "CAPTURE",
        sign=_adyen_basic,
        proof=Proof.STATIC,
        signature=b"authorization",
        binds=False,
        type_at=(),
        type_is_status=True,
        options={"authentication": "basic"},
        secrets=("paymux:first-password", "paymux:second-password", "paymux:third-password"),
    ),
    Way(
        label="braintree",
        provider=BRAINTREE,
        sign_body=_braintree_form,
        spoil=_braintree_spoiled,
        covers=_form_fields,
        options={"public_key": BRAINTREE_KEY},
        secrets=PLAIN,
        content_type=b"application/x-www-form-urlencoded",
    ),
    Way(
        label="checkout",
        provider=CHECKOUT,
        sign=_checkout,
        signature=b"cko-signature",
        type_is_status=True,
        secrets=PLAIN,
    ),
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
    Way(
        label="gocardless",
        provider=GOCARDLESS,
        sign=_gocardless,
        signature=b"webhook-signature",
        type_at=("events", 0, "action"),
        type_is_status=True,
        secrets=PLAIN,
    ),
    Way(label="klarna, hint", provider=KLARNA, proof=Proof.HINT, binds=False),
    Way(
        label="klarna, network in hex",
        provider=KLARNA,
        sign=_klarna_hex,
        signature=b"klarna-signature",
        options={"signature_encoding": "hex"},
        secrets=PLAIN,
    ),
    Way(
        label="klarna, network in base64",
        provider=KLARNA,
        sign=_klarna_base64,
        signature=b"klarna-signature",
        options={"signature_encoding": "base64"},
        secrets=PLAIN,
    ),
    Way(
        label="mollie",
        provider=MOLLIE,
        takes=lambda sample: sample.name != "payment",
        sign=_mollie,
        signature=b"x-mollie-signature",
        secrets=PLAIN,
    ),
    Way(
        label="mollie, bare hex",
        provider=MOLLIE,
        takes=lambda sample: sample.name != "payment",
        sign=_mollie_bare,
        signature=b"x-mollie-signature",
        secrets=PLAIN,
    ),
    Way(
        label="mollie, classic",
        provider=MOLLIE,
        takes=lambda sample: sample.name == "payment",
        proof=Proof.HINT,
        binds=False,
        type_at=(),
        options={"webhooks": "classic"},
        content_type=b"application/x-www-form-urlencoded",
    ),
    Way(
        label="paypal",
        provider=PAYPAL,
        sign=_paypal,
        signature=b"paypal-transmission-sig",
        negates=True,
        signed_headers=(b"paypal-transmission-id", b"paypal-transmission-time"),
        options={"cert_pem": PAYPALS.pem, "ca_pem": AUTHORITY.pem},
        secrets=("6MX37520HR194683L", "0AB63958WF741082G", "4SA92571KE308846Y"),
    ),
    Way(label="paystack", provider=PAYSTACK, sign=_paystack, signature=b"x-paystack-signature", secrets=PLAIN),
    Way(label="razorpay", provider=RAZORPAY, sign=_razorpay, signature=b"x-razorpay-signature", secrets=PLAIN),
    Way(
        label="square",
        provider=SQUARE,
        sign=_square,
        signature=b"x-square-hmacsha256-signature",
        secrets=PLAIN,
        url=URL,
    ),
    Way(label="stripe", provider=STRIPE, sign=_stripe, signature=b"stripe-signature", secrets=WHSEC),
)

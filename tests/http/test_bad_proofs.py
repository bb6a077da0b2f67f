"""What each scheme brings of its own, over a real connection: proofs in a body, over a URL, by a certificate that is
fetched, forms that say a thing twice, and documents that are proven and hostile all the same.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest
from braintree.util.crypto import Crypto

from paymux.errors import SettingsError
from paymux.sandbox.samples import webhook
from tests.http.test_adyen import KEY, item, notification
from tests.http.test_certificates import BODY as CAPTURE
from tests.http.test_certificates import PATH as PAYPAL
from tests.http.test_certificates import gateway
from tests.http.world import request, routes_of, running
from tests.wild.test_from_xml import BOMBS, HUGE

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "a-secret-that-is-long-enough"
PUBLIC, URL = "k7p2w9x4r5t8n3qb", "https://pay.example/webhooks/square/acme"
XML = webhook("braintree", "transaction_settled").body
ADYEN = {"provider": "adyen", "name": "acme", "secrets": [KEY]}
BASIC = ADYEN | {"secrets": ["paymux:a-long-password"], "options": {"authentication": "basic"}}
BRAINTREE = {"provider": "braintree", "name": "acme", "secrets": [SECRET], "options": {"public_key": PUBLIC}}
CLASSIC = {"provider": "mollie", "name": "acme", "api_key": "test_0123456789", "options": {"webhooks": "classic"}}
SQUARE = {"provider": "square", "name": "acme", "secrets": [SECRET], "public_url": URL}


def account(provider: str) -> dict:
    return {"provider": provider, "name": "acme", "secrets": [SECRET]}


def body_of(provider: str) -> bytes:
    """Some sample of the provider's."""
    names = {
        "square": "payment.updated",
        "paystack": "charge.success",
        "razorpay": "payment.captured",
        "checkout": "payment_captured",
        "mollie": "payment-link.paid",
    }
    return webhook(provider, names[provider]).body


def digest(body: bytes, algorithm: str = "sha256", secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), body, algorithm).digest()


def payload(document: bytes) -> str:
    return base64.encodebytes(document).decode()


def form(document: bytes = XML, *more: tuple[str, str], public: str = PUBLIC, private: str = SECRET) -> bytes:
    """As Braintree's SDK writes and signs it, with other fields after it."""
    text = payload(document)
    pair = f"{public}|{Crypto.sha1_hmac_hash(private, text)}"
    return urlencode([("bt_signature", pair), ("bt_payload", text), *more]).encode()


@dataclass(frozen=True, kw_only=True)
class Bad:
    account: Mapping[str, object]
    body: bytes
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 401


def in_a_form(body: bytes, reason: str, **headers: str) -> Bad:
    return Bad(account=BRAINTREE, body=body, reason=reason, headers=headers)


def classic(body: bytes, reason: str = "hint_malformed", status: int = 401) -> Bad:
    return Bad(account=CLASSIC, body=body, reason=reason, status=status)


def of_square(signed: bytes) -> Bad:
    text = base64.b64encode(digest(signed)).decode()
    headers = {"x_square_hmacsha256_signature": text}
    return Bad(account=SQUARE, body=body_of("square"), reason="signature_mismatch", headers=headers)


def of(provider: str, header: str, text: bytes | str, reason: str = "signature_mismatch") -> Bad:
    value = text.decode() if isinstance(text, bytes) else text
    return Bad(account=account(provider), body=body_of(provider), reason=reason, headers={header: value})


def of_adyen(body: bytes, reason: str, **headers: str) -> Bad:
    return Bad(account=ADYEN, body=body, reason=reason, headers=headers)


def basic(authorization: str, reason: str = "static_secret_mismatch") -> Bad:
    body = notification(item("CAPTURE"))
    return Bad(account=BASIC, body=body, reason=reason, headers={"authorization": authorization})


LOGIN = base64.b64encode(b"paymux:a-long-password").decode()
REFUSED = {
    "form: none": in_a_form(b"", "signature_missing"),
    "form: JSON": in_a_form(b'{"bt_signature":"a","bt_payload":"b"}', "signature_missing"),
    "form: the XML alone": in_a_form(XML, "signature_missing"),
    "form: the signature twice": in_a_form(form() + b"&bt_signature=x", "signature_duplicated"),
    "form: the payload twice": in_a_form(form() + b"&bt_payload=" + quote(payload(XML)).encode(), "signature_duplicated"),
    "form: a field more": in_a_form(form(XML, ("kind", "check")), "signature_malformed"),
    "form: thousands of fields": in_a_form(form() + b"&x=1" * 10_000, "signature_malformed"),
    "form: thousands of signatures": in_a_form(b"bt_signature=x&" * 10_000 + form(), "signature_duplicated"),
    "form: names that are escaped": in_a_form(form().replace(b"bt_", b"bt%5F"), "signature_missing"),
    "form: names in capitals": in_a_form(form().replace(b"bt_", b"BT_"), "signature_missing"),
    "form: semicolons": in_a_form(form().replace(b"&", b";"), "signature_missing"),
    "form: multipart": in_a_form(
        b'--x\r\nContent-Disposition: form-data; name="bt_signature"\r\n\r\nx\r\n--x--',
        "signature_missing",
        content_type="multipart/form-data; boundary=x",
    ),
    "form: an empty payload": in_a_form(form(b""), "signature_missing"),
    "form: a signed challenge": in_a_form(
        urlencode(
            {"bt_signature": f"{PUBLIC}|{Crypto.sha1_hmac_hash(SECRET, 'a' * 20)}", "bt_payload": "a" * 20}
        ).encode(),
        "signature_malformed",
    ),
    "form: another public key": in_a_form(form(public="another"), "signature_mismatch"),
    "form: another private key": in_a_form(form(private="another-private-key"), "signature_mismatch"),
    "form: escaped twice": in_a_form(form().replace(b"%", b"%25"), "signature_malformed"),
    "form: a line more in the payload": in_a_form(form() + b"%0A%0A", "signature_mismatch"),
    "classic: none": classic(b""),
    "classic: no id": classic(b"testByMollie=1"),
    "classic: an empty id": classic(b"id=", "hint_unknown_event", 200),
    "classic: an id of another kind": classic(b"id=xx_7UhSN1zuXS", "hint_unknown_event", 200),
    "classic: two ids": classic(b"id=tr_7UhSN1zuXS&id=tr_8UhSN1zuXS"),
    "classic: the same id twice": classic(b"id=tr_7UhSN1zuXS&id=tr_7UhSN1zuXS"),
    "classic: two ids, one escaped": classic(b"id=tr_7UhSN1zuXS&%69d=tr_8UhSN1zuXS"),
    "classic: a list of ids": classic(b"id[]=tr_7UhSN1zuXS"),
    "classic: a path": classic(b"id=tr_1/../../v2/customers"),
    "classic: an escaped path": classic(b"id=tr_%2E%2E%2Fx"),
    "classic: a query": classic(b"id=tr_7UhSN1zuXS%3Fembed=payments"),
    "classic: a NUL": classic(b"id=tr_7UhSN1zuXS%00"),
    "classic: a line end": classic(b"id=tr_7UhSN1zuXS%0D%0AHost: evil.example"),
    "classic: no UTF-8": classic(b"id=tr_%FF"),
    "classic: an XML bomb": classic(BOMBS["billion laughs"]),
    "classic: thousands of fields": classic(b"id=tr_7UhSN1zuXS" + b"&a=1" * 10_000),
    "classic: longer than a hint": classic(b"id=tr_" + b"a" * 65_536, "too_large", 413),
    "mollie: the older kind, where signatures are expected": Bad(
        account=account("mollie"), body=b"id=tr_7UhSN1zuXS", reason="signature_missing"
    ),
    "mollie: another algorithm": of("mollie", "x_mollie_signature", "sha1=" + digest(body_of("mollie"), "sha1").hex()),
    "mollie: base64": of("mollie", "x_mollie_signature", b"sha256=" + base64.b64encode(digest(body_of("mollie")))),
    "mollie: two signatures": of(
        "mollie", "x_mollie_signature", ",".join([f"sha256={digest(body_of('mollie')).hex()}"] * 2)
    ),
    "square: a slash more": of_square(URL.encode() + b"/" + body_of("square")),
    "square: http": of_square(URL.replace("https", "http").encode() + body_of("square")),
    "square: a port": of_square(URL.replace(".example", ".example:443").encode() + body_of("square")),
    "square: capitals in the host": of_square(URL.replace("pay", "PAY").encode() + body_of("square")),
    "square: a query": of_square(URL.encode() + b"?x=1" + body_of("square")),
    "square: the body alone": of_square(body_of("square")),
    "square: the path alone": of_square(b"/webhooks/square/acme" + body_of("square")),
    "paystack: SHA-256": of("paystack", "x_paystack_signature", digest(body_of("paystack")).hex()),
    "paystack: base64": of("paystack", "x_paystack_signature", base64.b64encode(digest(body_of("paystack"), "sha512"))),
    "razorpay: SHA-512": of("razorpay", "x_razorpay_signature", digest(body_of("razorpay"), "sha512").hex()),
    "razorpay: its event id for a signature": of("razorpay", "x_razorpay_event_id", "Q4nXw8Kz1Tb6Mv", "signature_missing"),
    "checkout: a prefix": of("checkout", "cko_signature", "sha256=" + digest(body_of("checkout")).hex()),
    "checkout: no HMAC": of("checkout", "cko_signature", hashlib.sha256(SECRET.encode() + body_of("checkout")).hexdigest()),
    "adyen: the key as text": of_adyen(
        json.dumps({"type": "balancePlatform.transfer.updated"}).encode(),
        "signature_mismatch",
        hmacsignature=base64.b64encode(
            digest(json.dumps({"type": "balancePlatform.transfer.updated"}).encode(), secret=KEY)
        ).decode(),
    ),
    "adyen: items without signatures": of_adyen(
        json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": {"success": "true"}}] * 2}).encode(),
        "signature_missing",
    ),
    "adyen: thousands of items, the last one forged": of_adyen(
        notification(*[item("CAPTURE", pspReference=f"REF{n}") for n in range(1000)]).replace(b'"REF999"', b'"REF998"'),
        "signature_mismatch",
    ),
    "basic: no scheme": basic(LOGIN),
    "basic: another scheme": basic(f"Bearer {LOGIN}"),
    "basic: not encoded": basic("Basic paymux:a-long-password"),
    "basic: two blanks": basic(f"Basic  {LOGIN}"),
    "basic: a part": basic(f"Basic {LOGIN[:-4]}"),
    "basic: the user alone": basic("Basic " + base64.b64encode(b"paymux:").decode()),
    "basic: none": Bad(account=BASIC, body=notification(item("CAPTURE")), reason="static_secret_missing"),
}  # fmt: skip


# Mollie, like the others, may add kinds of objects, and disables endpoints that refuse: those are acknowledged, too.
WORDS = {200: b'{"received":true}', 401: b'{"error":"unauthorized"}', 413: b'{"error":"payload_too_large"}'}


def path_of(bad: Mapping[str, object]) -> str:
    return f"/webhooks/{bad['provider']}/{bad['name']}"


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused(name):
    """One body for every reason, soon; nothing of it is stored but that it was refused, and why."""
    bad = REFUSED[name]
    async with running(dict(bad.account)) as world:
        began = time.perf_counter()
        answer = await world.post(bad.body, path_of(bad.account), **bad.headers)
        assert time.perf_counter() - began < 1.0
        assert (answer.status, world.kept, world.asked) == (bad.status, 0, [])
        assert answer.body == WORDS[bad.status]
        assert await world.reasons() == [bad.reason]


async def test_a_second_authorization_header():
    """Two of them are none, whichever is good."""
    body = notification(item("CAPTURE"))
    async with running(BASIC) as world:
        sent = request(body, path_of(BASIC), authorization=f"Basic {LOGIN}", Authorization="Basic x")
        assert (await world.send(sent)).status == 401
        assert (await world.reasons(), world.kept) == (["signature_duplicated"], 0)


# --- proven, and hostile all the same


DOCUMENTS = {f"bomb: {what}": document for what, document in BOMBS.items()} | {
    "no XML": b"{}" * 20,
    "another document": b"<html><body>" + b"x" * 40 + b"</body></html>",
    "UTF-16": '<?xml version="1.0" encoding="utf-16"?><notification/>'.encode("utf-16"),
    "a thousand levels": b"<notification>" * 1000 + b"</notification>" * 1000,
    "an unknown kind": XML.replace(b"transaction_settled", b"transaction_teleported"),
    **{f"a lot of it: {what}": document[:700_000] for what, document in HUGE.items()},
}


async def test_xml_that_is_signed_and_hostile():
    """Acknowledged and kept as it came, quarantined for a documented reason, soon, and nothing is expanded or fetched;
    after all of them a good one is understood.
    """
    async with running(BRAINTREE) as world:
        for what, document in DOCUMENTS.items():
            began = time.perf_counter()
            answer = await world.post(form(document.ljust(40)), path_of(BRAINTREE))
            assert (answer.status, time.perf_counter() - began < 1.0) == (200, True), what
        store = world.journal.store
        sent = [form(document.ljust(40)) for document in DOCUMENTS.values()]
        assert [stored.delivery.body for stored in store.deliveries.values()] == sent
        outcomes = [stored.item.outcome for stored in store.items]
        assert {getattr(outcome, "reason", "understood") for outcome in outcomes} == {"shape", "unknown_event_type"}
        assert (await world.post(form(), path_of(BRAINTREE))).status == 200
        assert world.kept == len(DOCUMENTS) + 1


async def test_a_batch_of_thousands():
    """Every item of it is verified and kept in one commit, with Adyen's own acknowledgement."""
    body = notification(*[item("CAPTURE", pspReference=f"REF{n}") for n in range(1000)])
    async with running(ADYEN) as world:
        answer = await world.post(body, path_of(ADYEN))
        assert (answer.status, answer.body) == (202, b"[accepted]")
        assert (world.kept, len(world.journal.store.items)) == (1, 1000)


async def test_an_id_that_is_not_signed():
    """Razorpay's header names the event, and anybody may write it anew: the same body is one event all the same."""
    body, signature = body_of("razorpay"), digest(body_of("razorpay")).hex()
    async with running(account("razorpay")) as world:
        for event in ("Q4nXw8Kz1Tb6Mv", "another", "x" * 5000, ""):
            answer = await world.post(
                body, "/webhooks/razorpay/acme", x_razorpay_signature=signature, x_razorpay_event_id=event
            )
            assert answer.status == 200
        assert len({stored.item.event_key for stored in world.journal.store.items}) == 1


async def test_what_a_proxy_says_of_the_url():
    """The configured URL counts, not the Host header, nor where a proxy says that it was called."""
    body = body_of("square")
    good = base64.b64encode(digest(URL.encode() + body)).decode()
    async with running(SQUARE) as world:
        answer = await world.post(
            body,
            path_of(SQUARE) + "?x=1",
            x_square_hmacsha256_signature=good,
            x_forwarded_host="evil.example",
            x_forwarded_proto="http",
        )
        assert answer.status == 200


# --- certificates that lie, through the listener


FILES = {
    "a redirect": (302, "", 401, "certificate_url"),
    "not there": (404, "", 401, "certificate_url"),
    "a megabyte": (200, "x" * 1_000_000, 401, "certificate_untrusted"),
    "a page": (200, "<html>", 401, "certificate_untrusted"),
    "nothing": (200, "", 401, "certificate_untrusted"),
    "too often": (429, "", 503, "certificate_unavailable"),
    "an error": (500, "", 503, "certificate_unavailable"),
}


@pytest.mark.parametrize("name", FILES)
async def test_v19_a_file_that_is_no_certificate(name):
    """Refused where it is known to be none; where nothing is known, 503, so that the delivery comes again. Twenty more
    deliveries with that URL ask for nothing.
    """
    status, text, expected, reason = FILES[name]
    async with gateway() as (world, paypal, _):
        paypal.status, paypal.pem = status, text
        answers = [await world.post(CAPTURE, PAYPAL, **paypal.headers()) for _ in range(21)]
        assert {answer.status for answer in answers} == {expected}
        assert set(await world.reasons()) == {reason}
        assert (world.kept, paypal.asked) == (0, 1)


# --- accounts that could prove nothing


def mistaken(account: Mapping[str, object], **changes: object) -> str:
    with pytest.raises(SettingsError) as caught:
        routes_of({**account, **changes})
    assert SECRET not in str(caught.value)
    return str(caught.value)


ED25519 = {"provider": "flexprice", "name": "acme", "options": {"delivery": "svix"}}
STARTS_NOT = {
    "adyen: an odd number of digits": (ADYEN, {"secrets": [KEY + "0"]}, "pairs of hex digits"),
    "adyen: no hex": (ADYEN, {"secrets": ["g" * 64]}, "pairs of hex digits"),
    "adyen: a blank among the digits": (ADYEN, {"secrets": [KEY[:32] + " " + KEY[32:]]}, "pairs of hex digits"),
    "adyen: short": (ADYEN, {"secrets": ["0f" * 15]}, "shorter than 16 bytes"),
    "adyen: none": (ADYEN, {"secrets": []}, "secrets"),
    "basic: no password": (BASIC, {"secrets": ["paymux-without-a-password:"]}, "user:password"),
    "basic: no colon": (BASIC, {"secrets": ["paymux-without-a-colon"]}, "user:password"),
    "braintree: no public key": (BRAINTREE, {"options": {}}, "public_key"),
    "braintree: a blank one": (BRAINTREE, {"options": {"public_key": " "}}, "public_key"),
    "square: no URL": (SQUARE, {"public_url": None}, "public_url"),
    "square: no URL but a path": (SQUARE, {"public_url": "/webhooks/square/acme"}, "public_url"),
    "mollie: a secret for what nobody signs": (CLASSIC, {"secrets": [SECRET]}, "secrets"),
    "mollie: nothing to ask with": (CLASSIC, {"api_key": None}, "api_key"),
    "ed25519: 31 bytes": (ED25519, {"secrets": ["whpk_" + base64.b64encode(bytes(31)).decode()]}, "32 bytes"),
    "ed25519: 33 bytes": (ED25519, {"secrets": ["whpk_" + base64.b64encode(bytes(33)).decode()]}, "32 bytes"),
    "ed25519: zeros": (ED25519, {"secrets": ["whpk_" + base64.b64encode(bytes(32)).decode()]}, "anybody could sign"),
    "ed25519: the private one": (ED25519, {"secrets": ["whsk_" + base64.b64encode(bytes(64)).decode()]}, "whpk_"),
}


@pytest.mark.parametrize("name", STARTS_NOT)
def test_an_account_that_could_prove_nothing(name):
    """It does not start, and what is wrong is said without the secret."""
    account, changes, said = STARTS_NOT[name]
    assert said in mistaken(account, **changes)


def test_the_accounts_that_the_others_are_made_of():
    """Each of them starts as it is."""
    for good in (ADYEN, BASIC, BRAINTREE, CLASSIC, SQUARE):
        assert routes_of(good)


FLEX = {"provider": "flexportal", "name": "acme", "api_key": "k" * 20, "options": {"tenant_id": "bu_harbour_lease"}}


@pytest.mark.parametrize(
    ("account", "body"),
    [
        (CLASSIC, webhook("mollie", "payment-link.paid").body),
        (FLEX, webhook("flexportal", "order.created").body),
    ],
    ids=["mollie", "flexportal"],
)
async def test_a_hint_of_no_interest_comes_first(account, body):
    """It is acknowledged as any other, and asks for nothing."""
    async with running(account) as world:
        assert (await world.post(body, path_of(account))).status == 200

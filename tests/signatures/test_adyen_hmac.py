"""Adyen's signatures: of each item in the body, or of the whole body in a header. Signed by Adyen's own SDK."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from Adyen.util import generate_notification_sig, generate_payload_sig

from paymux.delivery import Delivery
from paymux.errors import Rejected
from paymux.provider import Account
from paymux.providers.adyen import ADYEN
from paymux.signatures import verify
from paymux.signatures.adyen_hmac import AdyenHmac
from paymux.signatures.bare import admitting_short_secrets
from paymux.statement import Quarantined
from paymux.translate import translate

SECRET, OTHER = "0F" * 32, "a1" * 32
SCHEME = AdyenHmac()
ITEM = {
    "additionalData": {"cardSummary": "1142", "modification.action": "cancel"},
    "amount": {"currency": "EUR", "value": 12900},
    "eventCode": "CANCEL_OR_REFUND",
    "eventDate": "2026-01-09T16:02:10+01:00",
    "merchantAccountCode": "HarbourLivingECOM",
    "merchantReference": "ORD-20417",
    "originalReference": "QK7MZ4VW2TX9RB82",
    "paymentMethod": "visa",
    "pspReference": "QT3KM7WX5RB9PN82",
    "reason": "",
    "success": "true",
}
PLATFORM = b'{"data":{"id":"4MKR7WTX2QBN9V6H"},"environment":"test","type":"balancePlatform.transfer.updated"}'


def item(secret: str | None = SECRET, **changes):
    """A signed item; what is None is left out."""
    found = {key: value for key, value in {**ITEM, **changes}.items() if value is not None}
    if secret is None:
        return found
    signature = generate_notification_sig(found, secret).decode()
    return {**found, "additionalData": {**found.get("additionalData", {}), "hmacSignature": signature}}


def body(*items) -> bytes:
    return json.dumps(
        {"live": "false", "notificationItems": [{"NotificationRequestItem": one} for one in items]}
    ).encode()


def request(body: bytes, *headers: tuple[bytes, bytes]) -> Delivery:
    return Delivery(
        id="0190b2a6-0000-7000-8000-000000000001",
        provider="adyen",
        account="acme",
        received_at=datetime(2026, 1, 9, tzinfo=UTC),
        body=body,
        headers=headers,
    )


def check(body: bytes, *headers: tuple[bytes, bytes], secrets=(SECRET,)) -> int:
    return SCHEME.verify(request(body, *headers), [SCHEME.key(secret) for secret in secrets])


def reason(body: bytes, *headers: tuple[bytes, bytes]) -> str:
    with pytest.raises(Rejected) as caught:
        check(body, *headers)
    return caught.value.reason


def in_header(body: bytes, secret: str = SECRET) -> tuple[bytes, bytes]:
    return (b"HmacSignature", generate_payload_sig(body, secret))


# --- items

SIGNED = {
    "pspReference": "QT3KM7WX5RB9PN83",
    "originalReference": "QK7MZ4VW2TX9RB83",
    "merchantAccountCode": "HarbourLivingPOS",
    "merchantReference": "ORD-20418",
    "eventCode": "CANCELLATION",
    "success": "false",
}


@pytest.mark.parametrize("field", SIGNED)
def test_a_signed_field_is_changed(field):
    """Each of the eight is covered: rejected."""
    assert reason(body({**item(), field: SIGNED[field]})) == "signature_mismatch"


@pytest.mark.parametrize("amount", [{"currency": "EUR", "value": 12901}, {"currency": "USD", "value": 12900}])
def test_the_amount_is_changed(amount):
    """Value and currency are two of the eight."""
    assert reason(body({**item(), "amount": amount})) == "signature_mismatch"


def test_a_field_that_is_not_signed_is_changed():
    """It verifies: Adyen signs no more than eight fields, which is what the page says Basic auth is for."""
    changed = {**item(), "eventDate": "2020-01-01T00:00:00Z", "reason": "changed"}
    changed["additionalData"] = {**changed["additionalData"], "modification.action": "refund"}
    assert check(body(changed)) == 0


@pytest.mark.parametrize(
    "reference", ["a:b", ":", "a\\:b\\\\", "//slashes", " leading", "trailing ", "é€😀", '"', "x" * 4000]
)
def test_nothing_of_the_merchants_reference_is_escaped_or_trimmed(reference):
    """Whatever the merchant calls the payment, the SDK's signature verifies."""
    assert check(body(item(merchantReference=reference))) == 0


def test_a_field_is_null_or_left_out():
    """Either is the empty text, as Adyen signs it."""
    signed = item(originalReference=None, merchantReference=None)
    assert check(body(signed)) == 0
    assert check(body({**signed, "originalReference": None, "merchantReference": None})) == 0
    assert check(body({**signed, "originalReference": ""})) == 0


def test_numbers_and_booleans_are_written_as_json_writes_them():
    """A value in text, and an outcome that is no text, mean the same eight fields."""
    assert check(body({**item(), "success": True})) == 0
    assert check(body({**item(), "amount": {"currency": "EUR", "value": "12900"}})) == 0
    assert check(body(item(amount={"currency": "EUR", "value": 0}))) == 0


@pytest.mark.parametrize("value", [12900.0, [12900], {"value": 12900}, 10**20])
def test_a_value_that_is_no_whole_number(value):
    """It is refused, not written in one of several ways."""
    assert reason(body({**item(), "amount": {"currency": "EUR", "value": value}})) == "signature_malformed"


def test_fields_are_shifted_along_a_colon():
    """A merchant's reference may hold colons, and nothing is escaped: the same signed bytes under other names are
    refused.
    """
    signed = item(merchantReference="ORD:20417")
    shifted = {**signed, "merchantAccountCode": "HarbourLivingECOM:ORD", "merchantReference": "20417"}
    assert generate_notification_sig(shifted, SECRET) == generate_notification_sig(signed, SECRET)
    assert check(body(signed)) == 0
    assert reason(body(shifted)) == "signature_malformed"


def test_a_body_signed_as_a_whole_is_no_item():
    """Cut at its colons, a platform's body gives eight fields with a right signature: refused all the same."""
    whole = b'{"a":{"b":{"c":{"d":{"e":{"f":{"g":"h"}}}}}}}'
    psp, original, merchant, reference, value, currency, code, success = whole.decode().split(":")
    forged = {
        "pspReference": psp,
        "originalReference": original,
        "merchantAccountCode": merchant,
        "merchantReference": reference,
        "amount": {"value": value, "currency": currency},
        "eventCode": code,
        "success": success,
    }
    assert generate_notification_sig(forged, SECRET) == in_header(whole)[1]
    forged["additionalData"] = {"hmacSignature": in_header(whole)[1].decode()}
    assert reason(body(forged)) == "signature_malformed"


@pytest.mark.parametrize("word", ["", "TRUE", "True", "yes", None, 1])
def test_an_outcome_that_is_none(word):
    """Signed or not: what stands last is true or false."""
    assert reason(body(item(success=word))) == "signature_malformed"


@pytest.mark.parametrize("data", [None, {}, {"hmacSignature": ""}, {"hmacSignature": None}, [], "text", 7])
def test_an_item_without_a_signature(data):
    """It is missing, whatever stands where it should."""
    assert reason(body({**item(None), "additionalData": data})) == "signature_missing"


@pytest.mark.parametrize("signature", ["x", "A" * 44, "=" * 44, "é" * 44, "A" * 1_000_000, "\u0000"])
def test_a_signature_that_is_none(signature):
    """Whatever its length and letters: a mismatch, and nothing else is raised."""
    assert reason(body({**item(None), "additionalData": {"hmacSignature": signature}})) == "signature_mismatch"


def test_every_flipped_bit():
    """Whichever bit of a batch flips: rejected, or both items still say the same eight things."""
    signed = body(item(), item(pspReference="QT3KM7WX5RB9PN83"))
    accepted = 0
    for place in range(len(signed)):
        for bit in range(8):
            flipped = signed[:place] + bytes([signed[place] ^ 1 << bit]) + signed[place + 1 :]
            try:
                check(flipped)
            except Rejected:
                continue
            accepted += 1
            assert eight(flipped) == eight(signed), (place, bit)
    assert accepted > 500  # what is not signed


def eight(signed: bytes) -> list[tuple]:
    items = [wrapper["NotificationRequestItem"] for wrapper in json.loads(signed)["notificationItems"]]
    return [(*(one[name] for name in SIGNED), one["amount"]["value"], one["amount"]["currency"]) for one in items]


# --- batches


def test_every_item_of_a_batch_is_verified():
    """One without a signature, or with another's, takes the delivery along, wherever it stands."""
    good = [item(pspReference=f"QT3KM7WX5RB9P{number:03}") for number in range(5)]
    assert check(body(*good)) == 0
    for place in range(6):
        for bad in (item(None), item(OTHER), {**item(), "success": "false"}, {}, None, [], "text", 7):
            assert reason(body(*good[:place], bad, *good[place:])).startswith("signature_")


def test_a_batch_of_thousands():
    """All of them are verified, and the last forged one is found."""
    items = [item(pspReference=f"QT3KM7WX5RB{number:05}") for number in range(4000)]
    assert check(body(*items)) == 0
    assert reason(body(*items, {**item(), "success": "false"})) == "signature_mismatch"


@pytest.mark.parametrize("items", [b"[]", b"{}", b'"x"', b"7", b"true"])
def test_no_items(items):
    """Nothing that could be signed is not as good as signed, also with a right signature in the header."""
    empty = b'{"live": "false", "notificationItems": %b}' % items
    assert reason(empty, in_header(empty)).startswith("signature_")


def test_keys_are_rotated():
    """The key of the first item is told; old and new ones may come together while the queue drains."""
    assert check(body(item(OTHER), item()), secrets=(SECRET, OTHER)) == 1
    assert check(body(item(), item(OTHER)), secrets=(SECRET, OTHER)) == 0


# --- one scheme does not stand in for the other


def test_a_standard_notification_with_a_signature_in_the_header():
    """Items that are not signed are rejected, though the body as a whole was signed by the right key."""
    unsigned = body(item(None))
    assert reason(unsigned, in_header(unsigned)) == "signature_missing"


def test_a_standard_notification_that_is_disguised():
    """The platform's envelope around it changes nothing."""
    found = json.loads(body(item(None))) | {"type": "balancePlatform.transfer.updated", "data": {}}
    disguised = json.dumps(found).encode()
    assert reason(disguised, in_header(disguised)) == "signature_missing"


def test_a_platform_webhook_with_an_items_signature():
    """Without the header it is rejected, whatever its body says."""
    found = json.loads(PLATFORM) | {"additionalData": item()["additionalData"]}
    assert reason(json.dumps(found).encode()) == "signature_missing"
    assert check(PLATFORM, in_header(PLATFORM)) == 0


def test_null_items_are_none():
    """A body whose items are null needs the header; it is no standard notification to the translation either."""
    null = b'{"live": "false", "notificationItems": null}'
    assert reason(null) == "signature_missing"
    assert check(null, in_header(null)) == 0


@pytest.mark.parametrize(
    "text", [b"", b" ", b"[]", b"null", b"{", b'{"a": 1, "a": 2}', b"\xff", b'"notificationItems"', b"[" * 100_000]
)
def test_a_body_that_cannot_be_read(text):
    """It is no standard notification, to the translation neither: proven by the header or not at all, and kept then."""
    assert reason(text) == "signature_missing"
    assert reason(text, in_header(text, OTHER)) == "signature_mismatch"
    assert check(text, in_header(text)) == 0
    proven = verify(request(text, in_header(text)), ((SCHEME, (SCHEME.key(SECRET),)),))
    [item] = translate(Account(provider=ADYEN, name="acme"), proven)
    assert isinstance(item.outcome, Quarantined)


def test_an_item_that_says_a_field_twice():
    """Which one was signed cannot be told: rejected, since the body as a whole is not signed."""
    twice = body(item()).replace(b'"success": "true"', b'"success": "false", "success": "true"')
    assert reason(twice) == "signature_missing"


# --- keys


@pytest.mark.parametrize(
    ("secret", "wrong"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("0F" * 31 + "0", "hex"),
        ("0", "hex"),
        ("0G" * 32, "hex"),
        ("0f " * 32, "blank"),
        ("0f" * 16 + " " + "0f" * 16, "hex"),
        ("\uff10" * 64, "hex"),
        ("0x" + "0f" * 31, "hex"),
        ("0f" * 15, "shorter than 16"),
        ("\ud800" * 64, "hex"),
    ],
)
def test_a_key_that_is_none(secret, wrong):
    """Of odd length, too short, not hex: it does not start, and the message keeps it to itself."""
    with pytest.raises(ValueError, match=wrong) as caught:
        SCHEME.key(secret)
    assert not secret.strip() or secret not in str(caught.value)


def test_hex_in_either_case_is_one_key():
    """And its characters are not the key."""
    assert SCHEME.key("0F" * 32) == SCHEME.key("0f" * 32) == b"\x0f" * 32


def test_a_short_key_by_hand():
    """`paymux verify` takes what others signed with, but nothing empty."""
    assert admitting_short_secrets(SCHEME).key("0f") == b"\x0f"
    with pytest.raises(ValueError, match="empty"):
        admitting_short_secrets(SCHEME).key("")

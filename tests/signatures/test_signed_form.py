"""Braintree's signed forms, as its SDK makes them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from urllib.parse import urlencode

import braintree
import pytest
from signed_requests import request

from paymux.errors import Rejected, Untranslatable
from paymux.signatures.signed_form import MOST_PAIRS, SignedForm, payload_of

PUBLIC, PRIVATE = "k7p2w9x4r5t8n3qb", "5f1d0e7c9b3a4826d7f0c1e2a3b4c5d6"
OTHER = "0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d"
SCHEME = SignedForm(public_keys=(PUBLIC,))


def gateway(public: str = PUBLIC, private: str = PRIVATE) -> braintree.BraintreeGateway:
    return braintree.BraintreeGateway(
        braintree.Configuration(
            environment=braintree.Environment.Sandbox, merchant_id="m", public_key=public, private_key=private
        )
    )


def notified(kind: str = "transaction_settled", public: str = PUBLIC, private: str = PRIVATE) -> dict[str, str]:
    """The two fields that the SDK makes for a test notification."""
    found = gateway(public, private).webhook_testing.sample_notification(kind, "k5r8xw2q")
    return {"bt_signature": found["bt_signature"], "bt_payload": found["bt_payload"].decode()}


def body(fields: dict[str, str] | list[tuple[str, str]]) -> bytes:
    return urlencode(fields).encode()


def check(fields: dict[str, str] | bytes, *secrets: str, scheme: SignedForm = SCHEME) -> int:
    sent = fields if isinstance(fields, bytes) else body(fields)
    return scheme.verify(request(body=sent), [scheme.key(secret) for secret in secrets or (PRIVATE,)])


def reason(fields: dict[str, str] | bytes, *secrets: str, scheme: SignedForm = SCHEME) -> str:
    with pytest.raises(Rejected) as caught:
        check(fields, *secrets, scheme=scheme)
    assert PRIVATE not in str(caught.value)
    return caught.value.reason


def by_hand(payload: str, public: str = PUBLIC, private: str = PRIVATE) -> dict[str, str]:
    """For payloads that the SDK does not make: RFC 2104 over the text, keyed with the secret's SHA-1."""
    key = hashlib.sha1(private.encode()).digest()
    return {
        "bt_signature": f"{public}|{hmac.new(key, payload.encode(), 'sha1').hexdigest()}",
        "bt_payload": payload,
    }


KINDS = [kind for name, kind in vars(braintree.WebhookNotification.Kind).items() if not name.startswith("_")]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_sdk_signs(kind):
    """Every kind of its test notifications verifies, and with no other key."""
    fields = notified(kind)
    assert check(fields) == 0
    assert check(fields, OTHER, PRIVATE) == 1
    assert reason(fields, OTHER) == "signature_mismatch"


def test_by_hand_is_as_the_sdk_signs():
    """The signer of this file makes what the SDK makes, and the SDK reads it."""
    fields = notified()
    made = by_hand(fields["bt_payload"])
    assert made == fields
    assert gateway().webhook_notification.parse(made["bt_signature"], made["bt_payload"]).kind == "transaction_settled"


def test_the_newline_at_the_end_of_the_payload():
    """It may be lost on the way; one in the middle may not, and none may be added."""
    fields = notified()
    bare = fields["bt_payload"].rstrip("\n")
    assert check(fields | {"bt_payload": bare}) == 0
    assert payload_of(body(fields | {"bt_payload": bare})) == bare.encode()
    assert reason(fields | {"bt_payload": bare + "\n\n"}) == "signature_mismatch"
    assert reason(fields | {"bt_payload": bare.replace("\n", "", 1)}) == "signature_mismatch"
    assert check(by_hand(bare)) == 0
    assert reason(by_hand(bare) | {"bt_payload": bare + "\n"}) == "signature_mismatch"


def test_pairs_of_several_public_keys():
    """The one of our public key counts, wherever it stands, and no other."""
    ours, theirs = notified(), f"someone_else|{'0' * 40}"
    mixed = f"{theirs}&{ours['bt_signature']}&{theirs}"
    assert check(ours | {"bt_signature": mixed}) == 0
    renamed = ours["bt_signature"].replace(PUBLIC, "someone_else")
    assert reason(ours | {"bt_signature": f"{PUBLIC}|{'0' * 40}&{renamed}"}) == "signature_mismatch"
    assert reason(ours | {"bt_signature": renamed}) == "signature_mismatch"


def test_two_public_keys_while_one_follows_the_other():
    """Either pair counts, with either secret: a rotation has no gap."""
    scheme = SignedForm(public_keys=("the_new_key_9x", PUBLIC))
    assert check(notified(), OTHER, PRIVATE, scheme=scheme) == 1
    assert check(notified(public="the_new_key_9x", private=OTHER), OTHER, PRIVATE, scheme=scheme) == 0


def test_no_public_key():
    """Without one no pair is ours: nothing verifies, rather than everything."""
    assert reason(notified(), scheme=SignedForm()) == "signature_mismatch"
    assert reason(by_hand(notified()["bt_payload"], public=""), scheme=SignedForm()) == "signature_mismatch"


SPOILED = {
    "empty": ("", "signature_missing"),
    "one word": ("bad_stuff", "signature_malformed"),
    "only the hex": ("0" * 40, "signature_malformed"),
    "only separators": ("&&&", "signature_malformed"),
    "a pair of nothing": ("|", "signature_mismatch"),
    "no hex": (f"{PUBLIC}|", "signature_mismatch"),
    "no public key": (f"|{'0' * 40}", "signature_mismatch"),
    "short": (f"{PUBLIC}|00", "signature_mismatch"),
    "not ASCII": (f"{PUBLIC}|{'é' * 40}", "signature_mismatch"),
    "full-width digits": (PUBLIC + "|" + "\uff10" * 40, "signature_mismatch"),
    "a NUL": (f"{PUBLIC}|{'0' * 40}\x00", "signature_mismatch"),
    "a megabyte": (f"{PUBLIC}|{'0' * 1_000_000}", "signature_mismatch"),
    "many pairs": ("&".join([f"{PUBLIC}|{'0' * 40}"] * 20_000), "signature_mismatch"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_signature(what):
    """Rejected with the reason, in no time, and nothing else is raised."""
    value, expected = SPOILED[what]
    started = time.process_time()
    assert reason(notified() | {"bt_signature": value}) == expected
    assert time.process_time() - started < 0.5


def changed_signatures():
    value = notified()["bt_signature"]
    yield from (value[:-1], value + "0", value[:-1] + "xX"[value[-1] == "x"], value.upper(), f" {value}", f"{value} ")
    yield from (value.replace("|", "||"), value.replace("|", ":"), value + "|x", value[::-1])


def test_a_changed_signature():
    """One character more, less or other: rejected."""
    fields = notified()
    for value in changed_signatures():
        assert value != fields["bt_signature"]
        assert reason(fields | {"bt_signature": value}) in {"signature_mismatch", "signature_malformed"}, value


def test_pairs_beyond_the_first_ones():
    """So many are looked at and no more: a hostile header costs no more than a good one."""
    fields, wrong = notified(), f"{PUBLIC}|{'0' * 40}"
    last = "&".join([wrong] * (MOST_PAIRS - 1) + [fields["bt_signature"]])
    beyond = "&".join([wrong] * MOST_PAIRS + [fields["bt_signature"]])
    assert check(fields | {"bt_signature": last}) == 0
    assert reason(fields | {"bt_signature": beyond}) == "signature_mismatch"


@pytest.mark.parametrize("change", ["-", "_", " ", "%", "\r\n", "\x00", "é", "<"])
def test_a_payload_of_other_characters(change):
    """Only base64 and newlines are signed: another character is refused also where it is signed."""
    payload = notified()["bt_payload"]
    assert reason(by_hand(change + payload)) == "signature_malformed"


def test_a_plus_that_was_not_escaped():
    """In a form it is a blank, so the payload is another one."""
    xml = base64.encodebytes(b"<notification><kind>\xfb\xef\xbe</kind></notification>").decode()
    assert "+" in xml
    fields = by_hand(xml)
    assert check(fields) == 0
    assert reason(body(fields).replace(b"%2B", b"+")) == "signature_malformed"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (b"", "signature_missing"),
        (b"bt_payload=x", "signature_missing"),
        (b"bt_signature=x", "signature_missing"),
        (b"bt_signature=&bt_payload=", "signature_missing"),
        (b"BT_SIGNATURE=x&BT_PAYLOAD=x", "signature_missing"),
        (b"bt_signature[]=x&bt_payload[]=x", "signature_missing"),
        (b"{}", "signature_missing"),
        (b"<notification/>", "signature_missing"),
        (b"\xff\xfe", "signature_missing"),
        (b"bt_signature=x&bt_payload", "signature_missing"),
        (b"bt_signature=x&bt%5Fpayload=x", "signature_missing"),
    ],
)
def test_a_form_without_its_fields(form, expected):
    """What is not there is missing, in whatever else stands there."""
    assert reason(form) == expected


def test_fields_that_come_twice():
    """Which of them is meant would be a guess, also where both say the same."""
    fields = notified()
    for name in fields:
        again = body([*fields.items(), (name, fields[name])])
        assert reason(again) == "signature_duplicated"
        assert reason(body([(name, "x"), *fields.items()])) == "signature_duplicated"


@pytest.mark.parametrize("extra", [("kind", "transaction_settled"), ("bt_challenge", "a" * 20), ("x", ""), ("", "x")])
def test_fields_beside_them(extra):
    """Nothing else is signed, so nothing else may stand there."""
    assert reason(body([*notified().items(), extra])) == "signature_malformed"


@pytest.mark.parametrize("escaped", ["%41", "%2b%2B", "%25", "%", "%zz", "%u002B", "%252B"])
def test_escapes(escaped):
    """In either case of their digits those that a form needs; nothing else is escaped, or decoded twice."""
    payload = notified()["bt_payload"]
    sent = body(by_hand("++" + payload if escaped == "%2b%2B" else payload))
    sent = sent.replace(b"%2B%2B", b"", 1) if escaped == "%2b%2B" else sent
    sent = sent.replace(b"bt_payload=", b"bt_payload=" + escaped.encode())
    if escaped == "%2b%2B":
        assert check(sent) == 0
    else:
        assert reason(sent) == "signature_malformed"


@pytest.mark.parametrize("filling", [b"%41", b"%2B", b"+", b"A", b"&", b"=", b"&a=b", b"%"])
def test_a_megabyte_of_one_thing(filling):
    """Refused in about the time of an HMAC over it."""
    fields = body(notified()).replace(b"bt_payload=", b"bt_payload=" + filling * (1_000_000 // len(filling)))
    started = time.process_time()
    assert reason(fields).startswith("signature_")
    assert time.process_time() - started < 0.3


# --- keys


@pytest.mark.parametrize("secret", ["", " ", "short", f" {PRIVATE}", f"{PRIVATE}\n"])
def test_a_private_key_that_is_none(secret):
    """Refused when it is configured."""
    with pytest.raises(ValueError, match="secret"):
        SCHEME.key(secret)


def test_a_private_key():
    """What signs is its SHA-1."""
    assert SCHEME.key(PRIVATE) == hashlib.sha1(PRIVATE.encode()).digest()


# --- the challenge


@pytest.mark.parametrize("challenge", ["0123456789abcdef0123", "a" * 20, "f" * 32, "20f9f8ed05f77439fe955c977e4c8a53"])
def test_a_challenge(challenge):
    """The answer is the SDK's."""
    assert SCHEME.answer(challenge, SCHEME.key(PRIVATE)) == gateway().webhook_notification.verify(challenge).encode()


@pytest.mark.parametrize(
    "challenge",
    ["", "a" * 19, "a" * 33, "A" * 20, "g" * 20, "a" * 20 + "\n", " " + "a" * 20, "a" * 20 + "\x00", "é" * 20],
)
def test_no_challenge(challenge):
    """Nothing is signed for anything but a challenge."""
    assert SCHEME.answer(challenge, SCHEME.key(PRIVATE)) is None


def test_no_answer_without_a_public_key():
    """There is nothing to say whose key it is."""
    assert SignedForm().answer("a" * 20, SCHEME.key(PRIVATE)) is None


@pytest.mark.parametrize("challenge", ["a" * 20, "0123456789abcdef0123", "f" * 32])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_signed_challenge_is_no_delivery(challenge, end):
    """Anyone may ask for the signature of a challenge: sent as a payload, it proves nothing."""
    answer = SCHEME.answer(challenge, SCHEME.key(PRIVATE)) or b""
    fields = {"bt_signature": answer.decode(), "bt_payload": challenge + end}
    assert reason(fields) == "signature_malformed"
    with pytest.raises(Untranslatable):
        payload_of(body(fields))

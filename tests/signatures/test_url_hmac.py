"""An HMAC over the URL and the body: Square's."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest
from signed_requests import BODY, request
from square.utils.webhooks_helper import verify_signature

from paymux.delivery import Proof
from paymux.errors import Rejected
from paymux.signatures.url_hmac import UrlHmac

SCHEME = UrlHmac(header=b"x-square-hmacsha256-signature")
KEY = "Nv5rXk9Wq2Tc7Lm4Jb8Zs1"
URL = "https://pay.example/webhooks/square/acme"


def signed(url=URL, body=BODY, key=KEY):
    signature = base64.b64encode(hmac.new(key.encode(), url.encode() + body, hashlib.sha256).digest())
    return request(((b"X-Square-HmacSha256-Signature", signature),), body)


def judged(delivery, url=URL, *keys):
    return SCHEME.verify(replace(delivery, url=url), [SCHEME.key(key) for key in keys or (KEY,)])


def test_it_agrees_with_squares_sdk():
    """What Square's own helper accepts is accepted, by whichever key it was signed with."""
    delivery = signed()
    _, signature = delivery.headers[-1]
    assert verify_signature(
        request_body=BODY.decode(), signature_header=signature.decode(), signature_key=KEY, notification_url=URL
    )
    assert judged(delivery) == 0
    assert judged(delivery, URL, "another-key-of-the-account", KEY) == 1
    assert (SCHEME.proof, SCHEME.secret_headers) == (Proof.SIGNATURE, frozenset())


@pytest.mark.parametrize(
    "url",
    [
        f"{URL}/",
        URL.replace("https", "http"),
        URL.replace("pay.", "PAY."),
        f"{URL}?",
        f"{URL}?a=1",
        URL.replace("example", "example:443"),
        f" {URL}",
        URL[:-1],
    ],
)
def test_a_url_that_differs_in_one_character(url):
    """The URL is compared as it stands: whoever configured a slash at Square configures it here, too."""
    with pytest.raises(Rejected, match="of no secret"):
        judged(signed(), url)
    with pytest.raises(Rejected, match="of no secret"):
        judged(signed(url), URL)
    assert judged(signed(url), url) == 0


@pytest.mark.parametrize(("url", "body"), [(None, BODY), ("", BODY), (URL, b"")])
def test_nothing_to_sign(url, body):
    """Without a URL, or with an empty body, nothing verifies, though an HMAC of it could be made."""
    with pytest.raises(Rejected) as caught:
        judged(signed(url or "", body), url)
    assert caught.value.reason == "signature_mismatch"


def test_the_boundary_between_url_and_body_is_not_signed():
    """A body that begins with the rest of a longer URL is another request: the configured URL decides."""
    delivery = signed(URL, b"/v2" + BODY)
    assert judged(delivery) == 0
    with pytest.raises(Rejected):
        judged(delivery, f"{URL}/v2")


@pytest.mark.parametrize(
    "change", [bytes.swapcase, lambda value: value.rstrip(b"="), lambda value: value + b"\n", bytes.hex]
)
def test_the_signature_in_another_form(change):
    """Base64 has one way to be written here, and the header stands there once."""
    name, signature = signed().headers[-1]
    spoiled = change(signature)
    with pytest.raises(Rejected):
        judged(request(((name, spoiled if isinstance(spoiled, bytes) else spoiled.encode()),)))
    with pytest.raises(Rejected) as caught:
        judged(request(((name, signature), (name, signature))))
    assert caught.value.reason == "signature_duplicated"
    with pytest.raises(Rejected) as caught:
        judged(request(()))
    assert caught.value.reason == "signature_missing"


def test_a_url_that_is_no_text():
    """What a command line held is compared, not raised over."""
    with pytest.raises(Rejected):
        judged(signed(), "https://pay.example/\udcff")

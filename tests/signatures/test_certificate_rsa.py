"""Certificate signatures, PayPal's: what of a delivery is signed, whose certificate counts, and which URLs are its."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from signed_requests import request
from tests.paypal_signing import NAME, TRANSMISSION, URL, WEBHOOK_ID, Authority, with_the_checksum_of

from paymux.delivery import Proof
from paymux.errors import NeedsCertificate, Rejected
from paymux.providers.paypal import PAYPAL
from paymux.signatures import certificates, verify

NOW = datetime(2026, 5, 4, 12, 30, 15, tzinfo=UTC)
BODY = b'{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED"}'
AUTHORITY = Authority(NOW)
OTHER = Authority(NOW, "another authority")
SIGNER = AUTHORITY.issue()
OFFLINE = {"webhook_id": WEBHOOK_ID, "cert_pem": SIGNER.pem, "ca_pem": AUTHORITY.pem}


def scheme(**options: str):
    return PAYPAL.scheme(OFFLINE | options)


def checked(headers=None, body=BODY, *, received_at=NOW, signer=SIGNER, using=None, at=NOW):
    headers = signer.headers(body, at) if headers is None else headers
    return (using or scheme()).verify(request(headers, body, received_at=received_at), [])


def refused(*args, **kwargs) -> str:
    with pytest.raises(Rejected) as caught:
        checked(*args, **kwargs)
    return caught.value.reason


def with_header(name: bytes, value: bytes):
    return tuple((key, value if key == name else old) for key, old in SIGNER.headers(BODY, NOW))


# --- what is signed


def test_it_verifies_what_paypal_signs():
    """Transmission id, time, webhook id and checksum, by the certificate's key; no secret takes part."""
    assert checked() is None
    assert (scheme().proof, scheme().secret_headers) == (Proof.SIGNATURE, frozenset())


def test_without_a_webhook_id_the_keys_are_some():
    """As `paymux verify` may tell them: any of them counts, and which is known."""
    using = replace(scheme(), webhook_id="")
    delivery = request(SIGNER.headers(BODY, NOW), BODY, received_at=NOW)
    assert using.verify(delivery, [b"0AB63958WF741082G", WEBHOOK_ID.encode()]) == 1
    with pytest.raises(Rejected):
        using.verify(delivery, [b"0AB63958WF741082G"])
    with pytest.raises(Rejected):
        using.verify(delivery, [])


@pytest.mark.parametrize(
    "change", [{"webhook_id": "0AB63958WF741082G"}, {"transmission": "another-transmission"}], ids=["webhook", "id"]
)
def test_what_is_signed_about_another_delivery(change):
    """A signature for another webhook of the same app, or of another transmission, is of no use."""
    headers = dict(SIGNER.headers(BODY, NOW, **change))
    headers[b"PAYPAL-TRANSMISSION-ID"] = TRANSMISSION.encode()
    assert refused(tuple(headers.items())) == "signature_mismatch"


def test_a_signature_written_in_another_way():
    """The last character of base64 has bits to spare: another one there stands for the same bytes, and is refused."""
    signature = dict(SIGNER.headers(BODY, NOW))[b"PAYPAL-TRANSMISSION-SIG"]
    assert signature.endswith(b"==")
    other = signature[:-3] + bytes([signature[-3] + 1]) + b"=="
    assert base64.b64decode(other) == base64.b64decode(signature)
    for written in (
        other,
        signature.rstrip(b"="),
        signature + b"\n",
        b" " + signature,
        signature[:76] + b"\n" + signature[76:],
    ):
        assert refused(with_header(b"PAYPAL-TRANSMISSION-SIG", written)) == "signature_mismatch"


@pytest.mark.parametrize("algorithm", [b"SHA1withRSA", b"SHA256withECDSA", b"sha256withrsa", b"NotToBeFound", b""])
def test_only_one_algorithm(algorithm):
    """The header may not choose a weaker one."""
    assert refused(with_header(b"PAYPAL-AUTH-ALGO", algorithm)) == "signature_malformed"


@pytest.mark.parametrize("value", [b"", b"a|b", b"a b", b"\xff", b"x" * 101])
def test_a_transmission_id_of_another_form(value):
    """It is a part of what is signed, parted by bars, and the journal's key."""
    assert refused(with_header(b"PAYPAL-TRANSMISSION-ID", value)) == "signature_malformed"


@pytest.mark.parametrize("value", [b"", b"now", b"1777897815", b"2026-05-04", b"2026-13-04T12:30:15Z", b"\xff"])
def test_a_time_that_is_none(value):
    """Nothing but RFC 3339."""
    assert refused(with_header(b"PAYPAL-TRANSMISSION-TIME", value)) == "signature_malformed"


@pytest.mark.parametrize(
    "name",
    ["TRANSMISSION-ID", "TRANSMISSION-TIME", "TRANSMISSION-SIG", "CERT-URL", "AUTH-ALGO"],
)
def test_each_of_five_headers(name):
    """Each must be there, and once."""
    header = f"PAYPAL-{name}".encode()
    headers = SIGNER.headers(BODY, NOW)
    assert refused(tuple(pair for pair in headers if pair[0] != header)) == "signature_missing"
    assert refused((*headers, (header.lower(), dict(headers)[header]))) == "signature_duplicated"


@pytest.mark.parametrize(("days", "reason"), [(-3.9, None), (-4.1, "too_old"), (3.9, None), (4.1, "too_new")], ids=str)
def test_the_age_is_bounded(days, reason):
    """Retries come for three days; a checksum binds a body too weakly to take it for ever."""
    at = NOW + timedelta(days=days)
    assert (checked(at=at) if reason is None else refused(at=at)) == reason


def test_the_same_checksum_under_another_body():
    """The signature alone cannot tell: it is the transmission that must not come twice with different bodies."""
    forged = with_the_checksum_of(BODY, b'{"id":"WH-2"}')
    assert forged != BODY
    assert checked(SIGNER.headers(BODY, NOW), forged) is None
    delivery = request(SIGNER.headers(BODY, NOW), forged, received_at=NOW)
    assert verify(delivery, [(scheme(), ())]).once == f"transmission {TRANSMISSION}"


# --- which URL


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://user:password@api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:443/v1/notifications/certs/CERT-1",
        "https://API.PAYPAL.COM/v1/notifications/certs/CERT-1",
        "https://api.paypal.com./v1/notifications/certs/CERT-1",
        "https://evil.api.paypal.com/v1/notifications/certs/CERT-1",
        "https://www.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../oauth2/token",
        "https://api.paypal.com/v1/notifications/certs/%2e%2e/token",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?x=1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
        "https://api.paypal.com/v1/notifications/certs/CERT-1\\@evil.example",
        "https://api.paypal.com//evil.example/CERT-1",
        "https://api.paypal.com",
        "https://api.paypal.com/",
        "https:///api.paypal.com/v1",
        "//api.paypal.com/v1/notifications/certs/CERT-1",
        "file:///etc/passwd",
        "https://127.0.0.1/v1/notifications/certs/CERT-1",
        "https://[::1]/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/CERT-\xe9",
        "",
        " " + URL,
        URL + "\n",
        "https://api.paypal.com/" + "x" * 3000,
    ],
)
def test_a_url_that_lies(url):
    """It is never fetched, and with the certificate at hand it is no better."""
    headers = tuple((k, url.encode("latin-1") if k == b"PAYPAL-CERT-URL" else v) for k, v in SIGNER.headers(BODY, NOW))
    assert refused(headers) == "certificate_url"
    assert refused(headers, using=scheme(cert_pem="")) == "certificate_url"


@pytest.mark.parametrize(
    "host", ["api.paypal.com", "api-m.paypal.com", "api.sandbox.paypal.com", "api-m.sandbox.paypal.com"]
)
def test_paypals_own_hosts(host):
    """Each asks for a certificate of its world's name."""
    url = f"https://{host}/v1/notifications/certs/CERT-360caa42-fca2a594-5a29d60b"
    name = NAME if "sandbox" in host else "messageverificationcerts.paypal.com"
    with pytest.raises(NeedsCertificate) as caught:
        checked(SIGNER.headers(BODY, NOW, url=url), using=scheme(cert_pem="", ca_pem="", region=""))
    assert (caught.value.url, caught.value.name, caught.value.ca_pem) == (url, name, "")


def test_another_path_is_not_fetched():
    """Certificates stand in one place; given by hand, the path says nothing."""
    url = "https://api.sandbox.paypal.com/v1/notifications/test"
    assert checked(SIGNER.headers(BODY, NOW, url=url)) is None
    assert refused(SIGNER.headers(BODY, NOW, url=url), using=scheme(cert_pem="")) == "certificate_url"


def test_an_account_may_leave_one_world():
    """`region` keeps the sandbox's certificates from an account for live payments."""
    live = SIGNER.headers(BODY, NOW, url=URL.replace("sandbox.", ""))
    assert refused(using=scheme(region="live")) == "certificate_url"
    assert refused(live, using=scheme(region="sandbox")) == "certificate_url"
    assert checked(using=scheme(region="sandbox")) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/certs/",
        "https://host/path",
        "https://user@host/",
        "ftp://host/",
        "http://127.0.0.1/certs/",
        "",
    ],
)
def test_another_place_for_certificates(url):
    """https, or loopback with a port, and a slash at its end: anything else is refused when it is configured."""
    from paymux.errors import SettingsError

    with pytest.raises(SettingsError, match="cert_url"):
        scheme(cert_url=url)


# --- which certificate


def judged(signer, ca_pem: str, *, at: datetime = NOW) -> str | None:
    """The reason why a certificate is refused at that time, None if it is not."""
    using = scheme(cert_pem=signer.pem, ca_pem=ca_pem)
    try:
        return using.verify(request(signer.headers(BODY, at), BODY, received_at=at), [])
    except Rejected as error:
        return error.reason


def test_a_certificate_counts_in_its_time():
    """Not after it ended, not before it began; judged by the time of receipt."""
    assert judged(SIGNER, AUTHORITY.pem, at=NOW + timedelta(days=29)) is None
    assert judged(SIGNER, AUTHORITY.pem, at=NOW + timedelta(days=31)) == "certificate_untrusted"
    assert judged(SIGNER, AUTHORITY.pem, at=NOW - timedelta(days=31)) == "certificate_untrusted"
    assert judged(AUTHORITY.issue(ended=timedelta(days=1)), AUTHORITY.pem) == "certificate_untrusted"


@pytest.mark.parametrize(
    "name",
    [
        "messageverificationcerts.paypal.com",
        "messageverificationcerts.sandbox.paypal.com.evil.example",
        "evil.messageverificationcerts.sandbox.paypal.com",
        "www.paypal.com",
        "paypal.com",
    ],
)
def test_a_certificate_of_another_name(name):
    """Of the same authority, but not of who signs: a certificate is easily had for a name of one's own."""
    assert judged(AUTHORITY.issue(name), AUTHORITY.pem) == "certificate_untrusted"


def test_a_certificate_of_another_authority():
    """Also where the authority bears the same name."""
    assert judged(OTHER.issue(), AUTHORITY.pem) == "certificate_untrusted"
    assert judged(Authority(NOW).issue(), AUTHORITY.pem) == "certificate_untrusted"
    assert judged(SIGNER, "") == "certificate_untrusted"


def test_a_chain():
    """What leads to the authority may stand behind the certificate in its file, or beside the authority."""
    between = AUTHORITY.between()
    signer = between.issue()
    assert judged(signer, AUTHORITY.pem) == "certificate_untrusted"
    assert judged(signer, AUTHORITY.pem + between.pem) is None
    assert judged(replace(signer, pem=signer.pem + between.pem), AUTHORITY.pem) is None
    assert judged(replace(signer, pem=between.pem + signer.pem), AUTHORITY.pem) == "certificate_untrusted"


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(public_exponent=65537, key_size=1024)],
    ids=["elliptic", "rsa of 1024 bits"],
)
def test_a_key_of_another_kind_or_too_weak(key):
    """RSA of at least 2048 bits."""
    certificate = AUTHORITY.issue(key=key)
    assert judged(replace(certificate, key=SIGNER.key), AUTHORITY.pem) == "certificate_untrusted"


@pytest.mark.parametrize(
    "pem",
    [
        "junk",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        SIGNER.pem[:-40],
        "<html>",
        "\n",
        SIGNER.pem * 9,
        SIGNER.pem + "x" * 70_000,
    ],
    ids=["junk", "empty", "cut", "html", "blank", "too many", "too large"],
)
def test_what_is_no_certificate(pem):
    """It is refused, and nothing else is raised."""
    assert judged(replace(SIGNER, pem=pem), AUTHORITY.pem) == "certificate_untrusted"


def test_an_authority_that_is_none_is_a_mistake_of_the_configuration():
    """It is found before a delivery comes."""
    with pytest.raises(ValueError, match="PEM"):
        scheme(ca_pem="junk")


# --- asked again


def test_it_asks_for_the_certificate_and_then_verifies():
    """Pure: the first time it says what it needs, the second time it has it."""
    checks = [(scheme(cert_pem=""), ())]
    delivery = request(SIGNER.headers(BODY, NOW), BODY, received_at=NOW)
    with pytest.raises(NeedsCertificate) as caught:
        verify(delivery, checks)
    found = certificates.checked(
        SIGNER.pem.encode(), name=caught.value.name, authorities=certificates.authorities(caught.value.ca_pem), at=NOW
    )
    verified = verify(delivery, checks, {caught.value.url: found})
    assert (verified.proof, verified.secret) == (Proof.SIGNATURE, None)
    with pytest.raises(NeedsCertificate):
        verify(delivery, checks, {URL + "0": found})


def test_a_certificate_that_ended_while_it_was_kept():
    """Its time is looked at again with each delivery."""
    found = certificates.checked(
        SIGNER.pem.encode(), name=NAME, authorities=certificates.authorities(AUTHORITY.pem), at=NOW
    )
    later = NOW + timedelta(days=31)
    delivery = request(SIGNER.headers(BODY, later), BODY, received_at=later)
    with pytest.raises(Rejected) as caught:
        verify(delivery, [(scheme(cert_pem=""), ())], {URL: found})
    assert caught.value.reason == "certificate_untrusted"

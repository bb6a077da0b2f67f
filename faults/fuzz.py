"""Coverage-guided fuzzing of `verify`, the parsers and `translate` by atheris, for as long as one likes.

    python -m faults.fuzz translate -max_total_time=600 -print_final_stats=1
    python -m faults.fuzz verify CORPUS -runs=1000000
    python -m faults.fuzz parse -seed=7

What follows the target is libFuzzer's (https://llvm.org/docs/LibFuzzer.html#options): a directory keeps what was found
for the next time; a failing input is written to the working directory, and its path as an argument repeats it.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paymux.provider import Account
    from paymux.signatures import Scheme

NOW: Final = datetime(2026, 1, 9, 10, 0, 8, tzinfo=UTC)
SECRET: Final = "whsec_dGhlIGZ1enplciBkb2VzIG5vdCBrbm93IHRoaXMgc2VjcmV0"
OTHER: Final = "whsec_YW5vdGhlciBzZWNyZXQgdGhhdCB0aGUgZnV6emVyIGtub3dz"
URL: Final = "https://pay.example/webhooks/p/acme"
END_OF_HEADERS: Final = b"\r\n\r\n"


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra
    except ImportError:
        print("Fuzzing needs atheris, which is for Linux: pip install paymux[fuzz]", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["paymux"]):
        test_one = TARGETS[sys.argv[1]]()
    with tempfile.TemporaryDirectory(prefix="paymux-fuzz-") as seeds:
        for number, seed in enumerate(SEEDS[sys.argv[1]]()):
            (Path(seeds) / f"seed-{number}").write_bytes(seed)
        options = [argument for argument in sys.argv[2:] if argument.startswith("-")]
        corpora = [argument for argument in sys.argv[2:] if not argument.startswith("-")]
        # Where there is one file only, it is an input to repeat, and seeds would be in its way.
        seeded = [] if any(Path(corpus).is_file() for corpus in corpora) else [seeds]
        atheris.Setup([sys.argv[0], *options, *corpora, *seeded], test_one)
        atheris.Fuzz()
    return 0


# --- verify: whatever the fuzzer makes of headers and body, it does not know the secret


class Lock(NamedTuple):
    """A scheme, its key's secret, and another secret of the same form. `opened` signs as the scheme does, for seeds."""

    scheme: Scheme
    secret: str
    other: str
    opened: Scheme


def verifying() -> Callable[[bytes], None]:
    from paymux.errors import NeedsCertificate, Rejected
    from paymux.signatures import verify

    checks = [((lock.scheme, (lock.scheme.key(lock.secret),)),) for lock in _locks()]

    def test_one(data: bytes) -> None:
        head, _, body = data[1:].partition(END_OF_HEADERS)
        lines = [line.partition(b": ") for line in head.split(b"\r\n")]
        headers = tuple((name, value) for name, _, value in lines)
        delivery = _delivery(body, headers, path_token=head[:40].decode("latin-1"))
        try:
            verify(delivery, checks[_first(data) % len(checks)])
        except (Rejected, NeedsCertificate):
            return
        raise AssertionError("verified without the secret")

    return test_one


def _locks() -> list[Lock]:
    from paymux.signatures.adyen_hmac import AdyenHmac
    from paymux.signatures.basic_auth import AndBasicAuth, BasicAuth
    from paymux.signatures.mollie_hmac import MollieHmac
    from paymux.signatures.path_token import PathToken
    from paymux.signatures.raw_hmac import RawHmac
    from paymux.signatures.signed_form import SignedForm
    from paymux.signatures.static_secret import StaticHeader
    from paymux.signatures.svix import Svix
    from paymux.signatures.timestamped_hmac import TimestampedHmac
    from paymux.signatures.url_hmac import UrlHmac

    schemes: list[Scheme] = [
        TimestampedHmac(),
        TimestampedHmac(secret_encoding="base64"),
        Svix(),
        RawHmac(header=b"x-signature"),
        RawHmac(header=b"x-signature", encoding="base64", algorithm="sha512", prefix="sha512="),
        StaticHeader(header=b"authorization"),
        PathToken(),
        MollieHmac(),
        UrlHmac(header=b"x-square-hmacsha256-signature"),
        SignedForm(public_keys=("k7p2w9x4r5t8n3qb",)),
    ]
    logins = ("paymux:the fuzzer does not know this", "paymux:the fuzzer knows this")
    return [
        *(Lock(scheme, SECRET, OTHER, scheme) for scheme in schemes),
        Lock(BasicAuth(), *logins, BasicAuth()),
        Lock(AdyenHmac(), "5e" * 32, "c7" * 32, AdyenHmac()),
        Lock(AndBasicAuth(signature=AdyenHmac()), "5e" * 32, "c7" * 32, AdyenHmac()),
        _paypal(),
    ]


def _paypal() -> Lock:
    """The certificate is at hand; what the seeds are signed by is another one's key."""
    from cryptography.x509 import load_pem_x509_certificates

    from paymux.providers.paypal import PAYPAL
    from paymux.sandbox.authority import certificate
    from paymux.signatures.certificate_rsa import CertificateRsa
    from paymux.signatures.certificates import Certificate

    scheme = PAYPAL.scheme({})
    if not isinstance(scheme, CertificateRsa):
        raise TypeError("PayPal signs by certificates")
    [own], other = load_pem_x509_certificates(certificate("own")[0].encode()), certificate("other")[0]
    day = timedelta(days=1)
    known = Certificate(key=own.public_key(), begins=NOW - day, ends=NOW + day)  # type: ignore[arg-type]  # it is RSA
    url = f"{scheme.sources[-1].origin}{scheme.sources[-1].path}CERT-sandbox"
    return Lock(
        scheme.given({url: known}), "6MX37520HR194683L", "0AB63958WF741082G", PAYPAL.scheme({"cert_pem": other})
    )


def _signed_otherwise() -> list[bytes]:
    """Correctly signed, with another secret: what a first guess of the fuzzer's would take long to find."""
    from paymux.sandbox import samples
    from paymux.sandbox.signing import signed

    notification = samples.webhook("adyen", "CAPTURE").body
    seeds = []
    for number, lock in enumerate(_locks()):
        for body in (b'{"id":"evt_1"}', notification):
            made = signed(lock.opened, secret=lock.other, body=body, message="msg_1", at=NOW, url=URL)
            lines = "\r\n".join(f"{name}: {value}" for name, value in made.headers.items())
            seeds.append(bytes([number]) + lines.encode() + END_OF_HEADERS + made.body)
    return seeds


# --- parse: the first byte chooses the parser


def parsing() -> Callable[[bytes], None]:
    from paymux.errors import Untranslatable
    from paymux.wild import parse_form, parse_json, parse_xml

    parsers = (parse_json, parse_form, parse_xml)

    def test_one(data: bytes) -> None:
        parse = parsers[_first(data) % len(parsers)]
        try:
            found, again = parse(data[1:]), parse(data[1:])
        except Untranslatable as error:
            if error.reason not in {"shape", "duplicate_key"} or len(error.detail) > 300:
                raise AssertionError(error.reason, error.detail) from error
            return
        if not isinstance(found.value, dict) or found.digest() != again.digest():
            raise AssertionError("no object, or twice the same bytes and not the same object")

    return test_one


def _documents() -> list[bytes]:
    from faults.hostile.torture import INVALID, VALID
    from paymux.sandbox import samples

    forms = [sample.body for sample in samples.webhooks("mollie")] + [b"a=b+c%2B&caf%C3%A9=%F0%9F%98%80&d="]
    documents = [sample.body for sample in samples.webhooks("braintree")] + [XML]
    return [
        *(b"\0" + text for text in (*VALID.values(), *INVALID.values())),
        *(b"\1" + form for form in forms),
        *(b"\2" + document for document in documents),
    ]


# --- translate: the first byte chooses the account, the rest is what the provider's file reads


def translating() -> Callable[[bytes], None]:
    from paymux.canonical import EVENT
    from paymux.delivery import Verified
    from paymux.records import offline_events
    from paymux.statement import Quarantined, Stated
    from paymux.translate import translate

    readers = _readers()

    def test_one(data: bytes) -> None:
        reader = readers[_first(data) % len(readers)]
        account = reader.account
        delivery = _delivery(reader.sent(data[1:]), ((b"webhook-id", b"msg_1"),), provider=account.provider.name)
        verified = Verified(delivery, account.checks[0][0].proof)
        items = translate(account, verified)
        if not items or items != translate(account, verified):
            raise AssertionError("twice the same bytes, and not the same items")
        for item in items:
            if isinstance(item.outcome, Quarantined) and item.outcome.reason == "internal_error":
                raise AssertionError(item.outcome.detail)
            if isinstance(item.outcome, Stated):
                for event in offline_events(account, verified, item):
                    EVENT.validate_json(event, strict=True)

    return test_one


class Reader(NamedTuple):
    """An account, and how its provider wraps a document into a body, where there is more to it than the document."""

    account: Account
    sent: Callable[[bytes], bytes]


def _readers() -> list[Reader]:
    from paymux.providers import ALL
    from paymux.signatures.signed_form import SignedForm

    readers = [_reader(provider, options) for provider in ALL for options in OPTIONS.get(provider.name, ({},))]
    wrapped = [provider for provider in ALL if isinstance(provider.signature, SignedForm)]
    return [*readers, *(_reader(provider, {}, _form) for provider in wrapped)]


def _reader(provider: Any, options: Mapping[str, str], sent: Callable[[bytes], bytes] = bytes) -> Reader:
    from paymux.provider import Account

    checks = ((provider.scheme(options), ()),)
    return Reader(Account(provider=provider, name="acme", checks=checks, options=options), sent)


def _form(document: bytes) -> bytes:
    from paymux.sandbox.signing import signed
    from paymux.signatures.signed_form import SignedForm

    scheme = SignedForm(public_keys=("k7p2w9x4r5t8n3qb",))
    return signed(scheme, secret=OTHER, body=document, message="", at=NOW).body


def _samples() -> list[bytes]:
    """Each document as it is, to each account of its provider: one of them reads it so."""
    from faults.hostile.torture import INVALID, VALID
    from paymux.sandbox import samples

    bodies = [
        bytes([number]) + sample.body
        for number, reader in enumerate(_readers())
        for sample in samples.webhooks(reader.account.provider.name)
    ]
    return [*bodies, *(b"\0" + text for text in (*VALID.values(), *INVALID.values()))]


def _first(data: bytes) -> int:
    return (data or b"\0")[0]


def _delivery(body: bytes, headers: tuple[tuple[bytes, bytes], ...], **more: Any) -> Any:
    from paymux.delivery import Delivery

    told: dict[str, Any] = {"provider": "p", "account": "acme", "received_at": NOW, "url": URL} | more
    return Delivery(id="0190b2a6-0000-7000-8000-000000000001", body=body, headers=headers, **told)


# Providers whose options choose another reading.
OPTIONS: Final[Mapping[str, tuple[Mapping[str, str], ...]]] = {
    "adyen": ({}, {"authentication": "basic"}),
    "flexportal": ({"tenant_id": "bu_harbour_lease"},),
    "klarna": ({}, {"signature_encoding": "hex"}),
    "mollie": ({}, {"webhooks": "classic"}),
    "paypal": ({}, {"confirm": "api"}),
}
XML: Final = b'<?xml version="1.0" encoding="UTF-8"?><a b="1"><c type="array"><d nil="true"/></c><!-- e --></a>'
SEEDS: Final[dict[str, Callable[[], list[bytes]]]] = {
    "verify": _signed_otherwise,
    "parse": _documents,
    "translate": _samples,
}
TARGETS: Final[dict[str, Callable[[], Callable[[bytes], None]]]] = {
    "verify": verifying,
    "parse": parsing,
    "translate": translating,
}


if __name__ == "__main__":
    sys.exit(main())

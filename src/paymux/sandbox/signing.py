"""The sender's half of each scheme: the headers that a provider would send with a body.

Written from the providers' documentation and sharing no code with `paymux.signatures`, whose values only say which
header is meant; the tests hold both to the providers' own SDKs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

from paymux.signatures.adyen_hmac import AdyenHmac
from paymux.signatures.basic_auth import BasicAuth
from paymux.signatures.certificate_rsa import CertificateRsa
from paymux.signatures.hint import Hint
from paymux.signatures.mollie_hmac import HEADER as MOLLIE_HEADER
from paymux.signatures.mollie_hmac import MollieHmac
from paymux.signatures.path_token import PathToken
from paymux.signatures.raw_hmac import RawHmac
from paymux.signatures.signed_form import SignedForm
from paymux.signatures.static_secret import StaticHeader
from paymux.signatures.svix import Svix
from paymux.signatures.timestamped_hmac import TimestampedHmac
from paymux.signatures.url_hmac import UrlHmac

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paymux.signatures import Scheme

Headers = dict[str, str]

_KEY_BEGINS: Final = "-----BEGIN PRIVATE KEY-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What is posted: the body is another one where the signature stands in it."""

    body: bytes
    headers: Headers


def signed(scheme: Scheme, *, secret: str, body: bytes, message: str, at: datetime, url: str = "") -> Signed:
    """`message` is the sender's id of it, the same on a retry; `url` is what the sender posts to. Raises ValueError
    for a scheme not known here.
    """
    task = _Task(secret=secret, body=body, message=message, at=int(at.timestamp()), url=url)
    if sign := _IN_HEADERS.get(type(scheme)):
        return Signed(body=body, headers=sign(scheme, task))
    if sign_body := _IN_BODY.get(type(scheme)):
        return sign_body(scheme, task)
    raise ValueError(f"nothing here signs for {type(scheme).__name__}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    secret: str
    body: bytes
    message: str
    at: int
    url: str


def _timestamped(scheme: TimestampedHmac, task: _Task) -> Headers:
    is_base64 = scheme.secret_encoding == "base64"  # noqa: S105  # a codec
    key = _after_prefix(task.secret) if is_base64 else task.secret.encode()
    digest = hmac.new(key, f"{task.at}.".encode() + task.body, hashlib.sha256).hexdigest()
    return {_name(scheme.header): f"t={task.at},v1={digest}"}


def _svix(scheme: Svix, task: _Task) -> Headers:
    content = f"{task.message}.{task.at}.".encode() + task.body
    signature = base64.b64encode(hmac.new(_after_prefix(task.secret), content, hashlib.sha256).digest()).decode()
    names = [(scheme.prefixes[0] + part).decode() for part in (b"id", b"timestamp", b"signature")]
    return dict(zip(names, (task.message, str(task.at), f"v1,{signature}"), strict=True))


def _raw_hmac(scheme: RawHmac, task: _Task) -> Headers:
    digest = hmac.new(task.secret.encode(), task.body, scheme.algorithm).digest()
    text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    return {_name(scheme.header): scheme.prefix + text}


def _url_hmac(scheme: UrlHmac, task: _Task) -> Headers:
    digest = hmac.new(task.secret.encode(), task.url.encode() + task.body, hashlib.sha256).digest()
    return {_name(scheme.header): base64.b64encode(digest).decode()}


def _basic_auth(_scheme: BasicAuth, task: _Task) -> Headers:
    return {"Authorization": f"Basic {base64.b64encode(task.secret.encode()).decode()}"}


def _adyen(scheme: AdyenHmac, task: _Task) -> Signed:
    """In each item of a standard notification; in a header for what else there is."""
    body = json.loads(task.body)
    if not body.get("notificationItems"):
        return Signed(body=task.body, headers={_name(scheme.header): _hex_keyed(task.secret, task.body)})
    for wrapper in body["notificationItems"]:
        item = wrapper["NotificationRequestItem"]
        fields = [item.get(name) for name in ("pspReference", "originalReference", "merchantAccountCode")]
        fields += [item.get("merchantReference"), item["amount"]["value"], item["amount"]["currency"]]
        fields += [item["eventCode"], item["success"]]
        content = ":".join("" if field is None else str(field) for field in fields)
        item.setdefault("additionalData", {})["hmacSignature"] = _hex_keyed(task.secret, content.encode())
    return Signed(body=json.dumps(body, ensure_ascii=False).encode(), headers={})


def _hex_keyed(secret: str, content: bytes) -> str:
    return base64.b64encode(hmac.new(bytes.fromhex(secret), content, hashlib.sha256).digest()).decode()


def _signed_form(scheme: SignedForm, task: _Task) -> Signed:
    payload = base64.encodebytes(task.body)
    key = hashlib.sha1(task.secret.encode(), usedforsecurity=False).digest()
    digest = hmac.new(key, payload, hashlib.sha1).hexdigest()
    pairs = "&".join(f"{public_key}|{digest}" for public_key in scheme.public_keys)
    return Signed(body=urlencode({"bt_signature": pairs, "bt_payload": payload}).encode(), headers={})


def _mollie(_scheme: MollieHmac, task: _Task) -> Headers:
    digest = hmac.new(task.secret.encode(), task.body, hashlib.sha256).hexdigest()
    return {_name(MOLLIE_HEADER): f"sha256={digest}"}


def _certificate_rsa(scheme: CertificateRsa, task: _Task) -> Headers:
    """By the private key that stands beside the certificate in `cert_pem`. Raises ValueError where none does."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _private_key(scheme.cert_pem)
    time = datetime.fromtimestamp(task.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    transmission = str(uuid5(NAMESPACE_URL, task.message))
    content = f"{transmission}|{time}|{scheme.webhook_id}|{zlib.crc32(task.body)}"
    told = {
        "Transmission-Id": transmission,
        "Transmission-Time": time,
        "Transmission-Sig": base64.b64encode(key.sign(content.encode(), PKCS1v15(), SHA256())).decode(),
        "Cert-Url": f"{scheme.sources[-1].origin}{scheme.sources[-1].path}CERT-sandbox",
        "Auth-Algo": "SHA256withRSA",
    }
    return {_name(scheme.prefix) + name: value for name, value in told.items()}


@cache
def _private_key(cert_pem: str) -> Any:
    """Reading one, with all its checks, takes a hundred times as long as signing by it."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(f"{_KEY_BEGINS}{cert_pem.partition(_KEY_BEGINS)[2]}".encode(), None)


def _static(scheme: StaticHeader, task: _Task) -> Headers:
    return {_name(scheme.header): task.secret}


def _nothing(_scheme: Scheme, _task: _Task) -> Headers:
    return {}


def _after_prefix(secret: str) -> bytes:
    text = secret.removeprefix("whsec_")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _name(header: bytes) -> str:
    return header.decode().title()


_IN_HEADERS: Final[Mapping[type, Callable[[Any, _Task], Headers]]] = {
    TimestampedHmac: _timestamped,
    Svix: _svix,
    CertificateRsa: _certificate_rsa,
    RawHmac: _raw_hmac,
    MollieHmac: _mollie,
    UrlHmac: _url_hmac,
    StaticHeader: _static,
    BasicAuth: _basic_auth,
    Hint: _nothing,
    PathToken: _nothing,
}
_IN_BODY: Final[Mapping[type, Callable[[Any, _Task], Signed]]] = {
    AdyenHmac: _adyen,
    SignedForm: _signed_form,
}

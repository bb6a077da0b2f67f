"""The sender's half of each scheme: the headers that a provider would send with a body.

Written from the providers' documentation and sharing no code with `paymux.signatures`, whose values only say which
header is meant; the tests hold both to the providers' own SDKs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

from paymux.signatures.hint import Hint
from paymux.signatures.path_token import PathToken
from paymux.signatures.raw_hmac import RawHmac
from paymux.signatures.static_secret import StaticHeader
from paymux.signatures.svix import Svix
from paymux.signatures.timestamped_hmac import TimestampedHmac

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from paymux.signatures import Scheme

Headers = dict[str, str]


def signed(scheme: Scheme, *, secret: str, body: bytes, message: str, at: datetime) -> Headers:
    """`message` is the sender's id of it, the same on a retry. Raises ValueError for a scheme not known here."""
    sign = _SIGNERS.get(type(scheme))
    if sign is None:
        raise ValueError(f"nothing here signs for {type(scheme).__name__}")
    return sign(scheme, secret, body, message, int(at.timestamp()))


def _timestamped(scheme: TimestampedHmac, secret: str, body: bytes, _message: str, at: int) -> Headers:
    key = _after_prefix(secret) if scheme.secret_encoding == "base64" else secret.encode()  # noqa: S105  # a codec
    digest = hmac.new(key, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {_name(scheme.header): f"t={at},v1={digest}"}


def _svix(scheme: Svix, secret: str, body: bytes, message: str, at: int) -> Headers:
    digest = hmac.new(_after_prefix(secret), f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    names = [(scheme.prefixes[0] + part).decode() for part in (b"id", b"timestamp", b"signature")]
    return dict(zip(names, (message, str(at), f"v1,{base64.b64encode(digest).decode()}"), strict=True))


def _raw_hmac(scheme: RawHmac, secret: str, body: bytes, _message: str, _at: int) -> Headers:
    digest = hmac.new(secret.encode(), body, scheme.algorithm).digest()
    text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    return {_name(scheme.header): scheme.prefix + text}


def _static(scheme: StaticHeader, secret: str, _body: bytes, _message: str, _at: int) -> Headers:
    return {_name(scheme.header): secret}


def _nothing(_scheme: Scheme, _secret: str, _body: bytes, _message: str, _at: int) -> Headers:
    return {}


def _after_prefix(secret: str) -> bytes:
    text = secret.removeprefix("whsec_")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _name(header: bytes) -> str:
    return header.decode().title()


_SIGNERS: Final[Mapping[type, Callable[[Any, str, bytes, str, int], Headers]]] = {
    TimestampedHmac: _timestamped,
    Svix: _svix,
    RawHmac: _raw_hmac,
    StaticHeader: _static,
    Hint: _nothing,
    PathToken: _nothing,
}

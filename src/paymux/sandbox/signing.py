"""The sender's half of each scheme: the headers that a provider would send with a body.

Written from the providers' documentation and sharing no code with `paymux.signatures`, whose values only say which
header is meant; the tests hold both to the providers' own SDKs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
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
    RawHmac: _raw_hmac,
    StaticHeader: _static,
    Hint: _nothing,
    PathToken: _nothing,
}
_IN_BODY: Final[Mapping[type, Callable[[Any, _Task], Signed]]] = {}

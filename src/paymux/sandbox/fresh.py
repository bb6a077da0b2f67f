"""Samples made new: other ids and the time of now, so that each is a payment that nobody has heard of."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Ids of events and of what money moves by; customers and invoices stay who they are. The first group stays as it is.
_PREFIXED: Final = re.compile(
    rb"(?<![A-Za-z0-9_])((?:evt|pi|ch|py|re|pyr|dp|du|po|pay|ref|refund|pym|attempt)_)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{6,64}"
)
# Providers whose ids have other forms; those without a sign of their own are known by the key before them.
IDS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "adyen": re.compile(rb"(?<![A-Za-z0-9])()(?=[A-Z]*[0-9])[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "braintree": re.compile(
        rb"(?<=>)()(?=[a-z]*[0-9])(?:[a-z0-9]{8}|[a-z0-9]{16}|[A-Z0-9]{17})"
        rb"(?=</(?:id|item|payment-id|refunded-transaction-id|retried-transaction-id)>)"
    ),
    "checkout": re.compile(rb"(?<![A-Za-z0-9_])((?:evt|pay|act|dsp)_)[a-z0-9]{12,40}"),
    "gocardless": re.compile(rb"(?<![A-Za-z0-9_])(EV|PM|RF|PO|WB)[A-Z0-9]{10,20}(?![A-Za-z0-9_])"),
    "klarna": re.compile(rb'(?:(?<="order_id": ")|(?<="order_id":"))()[0-9a-f-]{36}'),
    "mollie": re.compile(rb"(?<![A-Za-z0-9_])((?:tr|re|chb|cpt|event|payout)_)(?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,64}"),
    "paypal": re.compile(
        rb"(?<![A-Za-z0-9])((?:WH-|PP-R-[A-Z]{3}-)?)(?=[A-Z]*[0-9])(?:[A-Z0-9]{17}|[0-9]{8})(?![A-Za-z0-9])"
    ),
    "paystack": re.compile(
        rb'(?:(?<="reference": ")|(?<="transaction_reference": ")|(?<="transfer_code": "))((?:TRF_|pre_)?)[a-z0-9]{10,}'
    ),
    "razorpay": re.compile(rb"(?<![A-Za-z0-9_])((?:pay|rfnd|disp|setl|pout|order)_)[A-Za-z0-9]{14}"),
    "square": re.compile(
        rb'(?:(?<="id": ")|(?<="event_id": ")|(?<="payment_id": ")|(?<="dispute_id": "))((?:po_)?)[A-Za-z0-9_-]{12,}'
    ),
}
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SECONDS: Final = range(1_500_000_000, 2_200_000_000)
_MILLISECONDS: Final = range(_SECONDS.start * 1000, _SECONDS.stop * 1000)
# Where a body says when it is from, the first that is there.
_OWN_TIMES: Final = (
    "timestamp",
    "updatedAt",
    "updated_at",
    "created",
    "created_at",
    "create_time",
    "created_on",
    "createdAt",
)
# No letter that a ULID does not have, and no first digit that it must not have.
_ALPHABETS: Final = ("01234567", "ABCDEFGHJKMNPQRSTVWXYZ", "abcdefghjkmnpqrstvwxyz")


@dataclass(frozen=True, slots=True)
class Fresh:
    """One new id for each old one, however often it comes: the bodies of one story stay about the same payment."""

    provider: str = ""
    ids: dict[bytes, bytes] = field(default_factory=dict)
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def body(self, body: bytes, at: datetime) -> bytes:
        """The same body, its own time at `at` and every other time as far from it as before."""
        return shifted(self.renamed(body), at)

    def renamed(self, body: bytes) -> bytes:
        return IDS.get(self.provider, _PREFIXED).sub(lambda found: self._id(found[0], found[1]), body)

    def unite(self, ids: Sequence[str]) -> None:
        """All of these become one id."""
        for one in ids:
            self.ids[one.encode()] = self.renamed(ids[0].encode())

    def _id(self, old: bytes, prefix: bytes) -> bytes:
        if old not in self.ids:
            self.ids[old] = prefix + "".join(map(_another, old[len(prefix) :].decode())).encode()
        return self.ids[old]


def renewed(body: bytes, says: Mapping[str, Any]) -> bytes:
    """The same body with other values in its envelope."""
    return orjson.dumps({**json.loads(body, parse_float=orjson.Fragment), **says}) if says else body


def shifted(body: bytes, at: datetime) -> bytes:
    """Numbers keep their digits, keys their order; the spacing of JSON goes. The newest time of another text is its
    own.
    """
    if body.lstrip()[:1] not in (b"{", b"["):
        return _shifted_text(body.decode(), at).encode()
    value = json.loads(body, parse_float=orjson.Fragment)
    own = _own_time(value)
    return orjson.dumps(value if own is None else _moved(value, at.replace(microsecond=0) - own))


def _shifted_text(text: str, at: datetime) -> str:
    own = max((datetime.fromisoformat(found[0]) for found in _TIME.finditer(text)), default=None)
    if own is None:
        return text
    return _TIME.sub(lambda found: _moved_text(found[0], at.replace(microsecond=0) - own), text)


def _another(character: str) -> str:
    if not character.isalnum():
        return character
    kind = 0 if character.isdigit() else 1 if character.isupper() else 2
    return secrets.choice(_ALPHABETS[kind])


def _own_time(value: dict[str, Any]) -> datetime | None:
    """When the envelope says that it is from, or the answer's object; else the newest ..._at or eventDate."""
    inner = [child for child in value.values() if isinstance(child, dict)]
    for holder in (value, *inner):
        for key in _OWN_TIMES:
            if own := _read(holder.get(key)):
                return own
    return max(
        (at for key, said in _leaves(value) if key.endswith(("_at", "eventDate")) and (at := _read(said)) is not None),
        default=None,
    )


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(child, name)
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(child, key)
    else:
        yield key, value


def _read(value: Any) -> datetime | None:
    if isinstance(value, str) and _TIME.fullmatch(value):
        return datetime.fromisoformat(value)
    if isinstance(value, int) and value in _SECONDS:
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, int) and value in _MILLISECONDS:
        return datetime.fromtimestamp(value // 1000, UTC)
    return None


def _moved(value: Any, by: timedelta) -> Any:
    if isinstance(value, dict):
        return {key: _moved(child, by) for key, child in value.items()}
    if isinstance(value, list):
        return [_moved(child, by) for child in value]
    if isinstance(value, str):
        return _moved_text(value, by)
    if isinstance(value, int) and value in _SECONDS:
        return value + int(by.total_seconds())
    if isinstance(value, int) and value in _MILLISECONDS:
        return value + int(by.total_seconds()) * 1000
    return value


def _moved_text(text: str, by: timedelta) -> str:
    if _DATE.fullmatch(text):
        return (datetime.fromisoformat(text) + by).strftime("%Y-%m-%d")
    found = _TIME.fullmatch(text)
    if not found:
        return text
    moved = (datetime.fromisoformat(text) + by).astimezone(UTC)
    return moved.strftime("%Y-%m-%dT%H:%M:%S") + (found[1] or "") + "Z"

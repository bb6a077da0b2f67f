"""Rows of what is accepted and what is rejected, and nothing else raised."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from paymux.errors import Rejected
from paymux.testing import junk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paymux.testing.suite.cases import SignedHeader
    from paymux.testing.ways import Change, Headers, Way

SOME = 5  # samples, where more would only say the same


def test_correctly_signed(way: Way) -> None:
    """Every sample is accepted, and what proves it is named."""
    for sample in way.samples:
        sent = way.delivery(sample.body)
        proven = way.prove(sent, way.account())
        assert proven.proof is way.proof
        assert proven.delivery is sent


def test_each_of_several_secrets(rotating: Way) -> None:
    """Any of the account's secrets verifies, and which one is known: rotation has no gap."""
    account = rotating.account(*rotating.secrets)
    for index, secret in enumerate(rotating.secrets):
        for sample in rotating.samples[:3]:
            assert rotating.prove(rotating.delivery(sample.body, secret), account).secret == index


def test_a_wrong_secret(rotating: Way) -> None:
    """Every sample, signed with a secret that the account does not have, is rejected."""
    for sample in rotating.samples:
        rejected(rotating, *rotating.signed(sample.body, rotating.secrets[1]))


# What is done to the text that is the proof, in a header or in the body.
SPOILED: dict[str, Change] = {
    "empty": lambda _: b"",
    "cut by one character": lambda value: value[:-1],
    "cut in half": lambda value: value[: len(value) // 2],
    "only its beginning": lambda value: value[:4],
    "one character more": lambda value: value + b"0",
    "another last character": lambda value: value[:-2] + (b"00" if value[-2:] != b"00" else b"11"),
    "reversed": lambda value: value[::-1],
    "two of it in one, by comma": lambda value: value + b"," + value,
    "no ASCII": lambda value: value[:-1] + b"\xff",
    "full-width digits": lambda value: value.translate(None, b"0123456789") + "\uff11\uff12".encode(),
    "a NUL at its end": lambda value: value + b"\x00",
    "commas": lambda _: b",,,=",
    "a megabyte": lambda value: value[:5] + b"x" * 1_000_000,
}


def _without(name: bytes) -> Callable[[Headers], Headers]:
    return lambda headers: tuple((key, value) for key, value in headers if key.lower() != name)


def _changed(name: bytes, change: Change) -> Callable[[Headers], Headers]:
    return lambda headers: tuple(
        (key, (change(value) or b"") if key.lower() == name else value) for key, value in headers
    )


def _twice(name: bytes) -> Callable[[Headers], Headers]:
    return lambda headers: (*headers, *((key.upper(), value) for key, value in headers if key.lower() == name))


SPOILED_HEADERS: dict[str, Callable[[bytes], Callable[[Headers], Headers]]] = {
    "missing": _without,
    "there twice": _twice,
    **{what: lambda name, change=change: _changed(name, change) for what, change in SPOILED.items()},  # type: ignore[misc]
}


@pytest.mark.parametrize("spoiled", SPOILED_HEADERS)
def test_the_proof_is_spoiled(signed_in_header: Way, spoiled: str) -> None:
    """Rejected, and nothing else is raised; the reason is a slug of the documented list."""
    way = signed_in_header
    assert way.signature is not None
    change = SPOILED_HEADERS[spoiled](way.signature)
    for sample in way.samples[:SOME]:
        body, headers = way.signed(sample.body, way.secrets[0])
        rejected(way, body, change(headers))


@pytest.mark.parametrize("spoiled", SPOILED)
def test_the_proof_in_the_body_is_spoiled(signed_in_body: Way, spoiled: str) -> None:
    """So is what stands in the body, if only in the last item of a batch."""
    way = signed_in_body
    assert way.spoil is not None
    for sample in way.samples[:SOME]:
        body, headers = way.signed(sample.body, way.secrets[0])
        rejected(way, way.spoil(body, SPOILED[spoiled]), headers)


def test_a_signed_header_is_spoiled(signed_header: SignedHeader) -> None:
    """Where the signature covers headers, each of them is needed, once, as it was signed."""
    way, header = signed_header.way, signed_header.header
    body, headers = way.signed(way.samples[0].body, way.secrets[0])
    changes = (
        _without(header),
        _twice(header),
        _changed(header, lambda value: value + b"0"),
        _changed(header, lambda value: value[:-1]),
        _changed(header, lambda _: b""),
    )
    for change in changes:
        rejected(way, body, change(headers))


def test_no_signature_at_all(signed: Way) -> None:
    """Every sample without the headers is rejected as missing its proof; without what stands in its body, too."""
    for sample in signed.samples:
        body, headers = signed.signed(sample.body, signed.secrets[0])
        missing = {"signature_missing", "static_secret_missing"}
        if signed.signature:
            assert rejected(signed, body, ()) in missing
        if signed.spoil:
            assert rejected(signed, signed.spoil(body, lambda _: None), headers) in missing


def test_one_bit_of_the_body(binding: Way) -> None:
    """Whichever bit of what is signed flips: rejected."""
    for sample in binding.samples:
        body, headers = binding.signed(sample.body, binding.secrets[0])
        step = max(1, len(body) // 40)
        flips = [_flipped(body, place, bit) for place in {*range(0, len(body), step), len(body) - 1} for bit in (1, 32)]
        touched = [flipped for flipped in flips if touches(binding, body, flipped)]
        assert touched, "covers() says that none of forty bits is signed"
        for flipped in touched:
            rejected(binding, flipped, headers)


def _flipped(body: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(body)
    changed[place] ^= bit
    return bytes(changed)


# What is done to the whole body.
OTHERS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda body: body[:-1],
    "a line more": lambda body: body + b"\n",
    "a blank before": lambda body: b" " + body,
    "empty": lambda _: b"",
    "written anew": lambda body: _written_anew(body),  # noqa: PLW0108  # it stands below
    "twice": lambda body: body + body,
    "a field more": lambda body: body + b"&x=1",
}


@pytest.mark.parametrize("change", OTHERS)
def test_another_body(binding: Way, change: str) -> None:
    """What is signed are the bytes, not what they mean."""
    for sample in binding.samples:
        body, headers = binding.signed(sample.body, binding.secrets[0])
        other = OTHERS[change](body)
        if touches(binding, body, other):
            rejected(binding, other, headers)


def test_another_samples_signature(binding_in_header: Way) -> None:
    """It proves that sample, not this one."""
    way = binding_in_header
    first, second = way.samples[:2]
    rejected(way, first.body, way.signed(second.body, way.secrets[0])[1])


def test_the_second_item_of_a_batch(batches: Way) -> None:
    """Whatever of it is signed and changes, the whole delivery is rejected."""
    held = 0
    for sample in batches.samples:
        body, headers = batches.signed(sample.body, batches.secrets[0])
        for other in _with_another_second_item(batches, body):
            if touches(batches, body, other):
                rejected(batches, other, headers)
                held += 1
    assert held >= 3, "fewer than three of the second items' values are signed"


def _with_another_second_item(way: Way, body: bytes) -> Iterator[bytes]:
    """The batch with each of the second item's values changed."""
    second = _second(way)
    document = orjson.loads(body)
    for path in junk.paths(document):
        if path[: len(second)] == second and not isinstance(value := junk.leaf(document, path), dict | list):
            yield junk.replaced(body, path, orjson.dumps(_another(value)))


def _second(way: Way) -> junk.Path:
    """Where the second item of a batch stands: beside the first one, whose event type is known to stand somewhere."""
    path = way.type_at or ()
    depth = next(depth for depth, step in enumerate(path) if isinstance(step, int))
    return (*path[:depth], 1)


def _another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case _:
            return "x"


def _written_anew(body: bytes) -> bytes:
    try:
        return orjson.dumps(orjson.loads(body))
    except orjson.JSONDecodeError:
        return body


def touches(way: Way, body: bytes, other: bytes) -> bool:
    """Whether what the proof is about differs. A body that cannot be read is another one."""
    if other == body:
        return False
    try:
        return way.covers(other) != way.covers(body)
    except Exception:  # noqa: BLE001  # covers() may refuse in any way
        return True


def rejected(way: Way, body: bytes, headers: Headers) -> str:
    """Assert that it is, and give the reason."""
    with pytest.raises(Rejected) as caught:
        way.prove(way.sent(body, headers), way.account())
    assert caught.value.reason in re.split(r"[,.\s]+", Rejected.__doc__ or "")
    assert not any(secret in str(caught.value) for secret in way.secrets if secret)
    return caught.value.reason

"""A request as a value, and what of it may be stored."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from paymux import delivery as module
from paymux.delivery import ALWAYS_SECRET, REDACTED, Delivery, Proof, Verified, Via

SOURCE = Path(__file__).parents[1] / "src/paymux"


def a_delivery(**changes):
    given = {
        "id": "0190b2a6-0000-7000-8000-000000000001",
        "provider": "flowlix",
        "account": "acme",
        "received_at": datetime(2024, 7, 1, 0, 0, 43, tzinfo=UTC),
        "body": b'{"id":"evt_1"}',
    }
    return Delivery(**given | changes)


def test_a_header_in_any_case():
    """Names are compared in lower case; values come in order, unchanged, repetitions too."""
    delivery = a_delivery(headers=((b"X-Sig", b" a"), (b"x-sig", b"\xff"), (b"X-SIG", b""), (b"X-Sig2", b"z")))

    assert delivery.header(b"x-sig") == [b" a", b"\xff", b""]
    assert delivery.header(b"x-other") == []


def test_a_delivery_does_not_change():
    """It is a value."""
    with pytest.raises(FrozenInstanceError):
        a_delivery().body = b"{}"


@pytest.mark.parametrize("name", sorted(ALWAYS_SECRET))
def test_credentials_in_headers(name):
    """They never stay, in any case and however often they stand there."""
    headers = ((name.title(), b"s3cr3t"), (b"X-Kept", b"kept"), (name.upper(), b"s3cr3t too"))

    redacted = a_delivery(headers=headers).redacted()

    assert redacted.headers == ((name.title(), REDACTED), (b"X-Kept", b"kept"), (name.upper(), REDACTED))


def test_a_static_secret_in_a_header_of_the_operators():
    """The header that the scheme names is replaced, and the order stays."""
    redacted = a_delivery(headers=((b"X-Shared", b"s3cr3t"), (b"Date", b"now"))).redacted({b"x-shared"})

    assert redacted.headers == ((b"X-Shared", REDACTED), (b"Date", b"now"))


def test_the_path_token():
    """It is a secret, so the stored form has none, and nothing else is lost."""
    delivery = a_delivery(
        path_token="s3cr3t-token", path="/webhooks/flowlix/acme", query="a=1", url="https://example.com/x"
    )

    redacted = delivery.redacted()

    assert redacted.path_token is None
    assert "s3cr3t" not in repr(redacted)
    for field in fields(Delivery):
        if field.name != "path_token":
            assert getattr(redacted, field.name) == getattr(delivery, field.name)


def test_the_words_that_events_carry():
    """`via` and `proof` are the words of the published contract; a hint proves nothing and is not among them."""
    assert [word.value for word in Via] == ["webhook", "lookup", "reconcile", "import"]
    assert [word.value for word in Proof] == ["signature", "static", "api", "trusted", "hint"]


def test_only_signatures_make_a_verified_delivery():
    """Nothing else in the source calls Verified(...): P2 cannot be gone round by accident."""
    makers = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") == "Verified" or getattr(node.func, "attr", "") == "Verified")
    }

    assert makers == {"signatures/__init__.py"}
    assert Verified.__module__ == module.__name__

"""The signatures that providers publish in their tests and documentation."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from paymux.cli.verify import verify
from paymux.delivery import Delivery
from paymux.errors import Rejected
from paymux.providers import BY_NAME
from paymux.signatures.bare import BARE_SCHEMES, admitting_short_secrets
from paymux.signatures.hint import Hint
from paymux.signatures.timestamped_hmac import TimestampedHmac

FILE = Path(__file__).parents[2] / "../shared/reference/vectors.json"
SCHEMES = {"stripe": TimestampedHmac(), **BARE_SCHEMES}
BODIES = {"utf-8": str.encode, "base64": base64.b64decode}
# Where the vector names no time, its verdict depends on none.
ANY_TIME = 1700000000


def _vectors():
    if not FILE.exists():
        return [pytest.param(None, marks=pytest.mark.skip("the published vectors are not beside the repository"))]
    ours = [vector for vector in json.loads(FILE.read_text()) if vector["provider"] in SCHEMES]
    return [pytest.param(vector, id=f"{vector['provider']}:{vector['name']}") for vector in ours]


@pytest.mark.parametrize("vector", _vectors())
def test_a_published_vector_gets_its_verdict(vector):
    """ok verifies, fail is rejected; an empty secret is refused before anything is verified."""
    if vector["secret"].startswith("whpk_"):
        pytest.importorskip("cryptography", reason="the ed25519 extra is not installed")
    scheme = replace(SCHEMES[vector["provider"]], tolerance=vector.get("tolerance", 300))
    assert _verified(admitting_short_secrets(scheme), vector) is (vector["expect"] == "ok")


def _verified(scheme, vector) -> bool:
    delivery = Delivery(
        id="",
        provider=vector["provider"],
        account="",
        received_at=datetime.fromtimestamp(vector.get("now", ANY_TIME), UTC),
        body=BODIES[vector["body_encoding"]](vector["body"]),
        headers=tuple((name.encode(), value.encode()) for name, value in vector["headers"].items()),
    )
    try:
        key = scheme.key(vector["secret"])
    except ValueError:
        return False
    try:
        return scheme.verify(delivery, [key]) == 0
    except Rejected:
        return False


def _requests():
    """Every published vector that is a request: a digest is a primitive."""
    return [vector for vector in json.loads(FILE.read_text()) if "digest" not in vector]


def _every_vector():
    if not FILE.exists():
        return [pytest.param(None, marks=pytest.mark.skip("the published vectors are not beside the repository"))]
    return [pytest.param(vector, id=f"{vector['provider']}:{vector['name']}") for vector in _requests()]


@pytest.mark.parametrize("vector", _every_vector())
def test_a_published_vector_by_verify_requests(vector):
    """`paymux verify --requests` gives each its published verdict, by one line for one line."""
    asked = orjson.dumps(_request(vector))
    done = CliRunner().invoke(verify, ["--requests", "-"], input=asked)
    [line] = done.stdout.splitlines()
    assert json.loads(line).get("verified") is (vector["expect"] == "ok"), line
    assert done.exit_code == int(vector["expect"] != "ok")


@pytest.mark.skipif(not FILE.exists(), reason="the published vectors are not beside the repository")
def test_all_published_vectors_at_once():
    """One file of them, one result for each, in order; nothing but the one primitive is left out."""
    vectors = _requests()
    assert {vector["provider"] for vector in vectors} <= {*BY_NAME, *BARE_SCHEMES}
    assert len(json.loads(FILE.read_text())) - len(vectors) == 1
    done = CliRunner().invoke(verify, ["--requests", "-"], input=b"\n".join(orjson.dumps(_request(v)) for v in vectors))
    results = [json.loads(line).get("verified") for line in done.stdout.splitlines()]
    assert results == [vector["expect"] == "ok" for vector in vectors]
    assert done.exit_code == 1


def _request(vector):
    """The vector as a line of the command's input. PayPal's secret is the webhook's id."""
    options = {name: vector[name] for name in ("tolerance", "public_key", "cert_pem", "ca_pem") if name in vector}
    is_paypal = vector["provider"] == "paypal"
    return {
        "provider": vector["provider"],
        "secrets": [] if is_paypal else [vector["secret"]],
        "method": "POST",
        "url": vector.get("url"),
        "headers": vector["headers"],
        "body" if vector["body_encoding"] == "utf-8" else "body_base64": vector["body"],
        "options": options | ({"webhook_id": vector["secret"]} if is_paypal else {}),
        "received_at": vector.get("now"),
    }


@pytest.mark.parametrize("secret", ["whsec_=", "=", "whsec_===="])
def test_padding_alone_makes_no_key(secret):
    """What decodes to nothing is empty, also where short secrets are let through."""
    for scheme in (*BARE_SCHEMES.values(), TimestampedHmac(secret_encoding="base64")):
        with pytest.raises(ValueError, match="shorter than 1 byte"):
            admitting_short_secrets(scheme).key(secret)


def test_a_scheme_without_a_least_length_stays_as_it_is():
    """A hint knows no secrets; a scheme that does keeps everything else."""
    assert admitting_short_secrets(Hint(limit=7)) == Hint(limit=7)
    assert admitting_short_secrets(TimestampedHmac(tolerance=7)) == TimestampedHmac(tolerance=7, shortest=1)

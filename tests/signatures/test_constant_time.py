"""V-04: what is derived from a key or a signature is compared by hmac.compare_digest only, followed through each
function of the signatures and of the listeners.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from comparing import leaky

SOURCE = Path(__file__).parents[2] / "src/paymux"
FILES = sorted(path for room in ("signatures", "http") for path in (SOURCE / room).rglob("*.py"))

# Comparisons that give nothing away -> why.
HARMLESS = {
    "signatures/svix.py: found != first": "both sides are the sender's own headers",
    "signatures/certificate_rsa.py: algorithm != ALGORITHM": "the name of an algorithm is public",
    "http/private.py: scheme.lower() == 'bearer'": "the word before the token is public",
}


def found_in(path: Path) -> set[str]:
    return {f"{path.relative_to(SOURCE).as_posix()}: {one.text}" for one in leaky(path.read_text())}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_v04_nothing_secret_is_compared_in_another_way(path):
    """No ==, !=, in, match or search touches it, but for what the table explains."""
    assert found_in(path) <= set(HARMLESS)


def test_v04_what_is_harmless_is_there():
    """No entry of the table outlives its line."""
    assert set().union(*map(found_in, FILES)) == set(HARMLESS)


PLANTED = {
    "the code itself": "def f(k, m, given):\n    return hmac.digest(k, m, 'sha256') == given",
    "hex of it": "def f(given):\n    return hmac.new(b'k', b'm', 'sha256').hexdigest() != given",
    "under another name": "def f(k, given):\n    a = hmac.digest(k, b'', 'sha1')\n    b = a.hex()\n    return given == b",
    "a header's value": "def f(delivery, want):\n    value = only(delivery, b'x')\n    return value == want",
    "a header from a loop": "def f(delivery, want):\n    return [v for n, v in delivery.headers if v == want]",
    "collected first": "def f(delivery, a):\n    g = []\n    for _, v in delivery.headers:\n        g.append(v)\n    return a in g",
    "a key among keys": "def f(given, keys):\n    return given in keys",
    "a key from a loop": "def f(given, keys):\n    for k in keys:\n        if given != k:\n            return False",
    "by walrus": "def f(k, given):\n    if (a := hmac.digest(k, b'', 'sha1')) and a == given:\n        return 1",
    "unpacked": "def f(delivery, want):\n    time, entries = read(only(delivery, b'x'))\n    return want in entries",
    "in a comprehension": "def f(given, tokens):\n    return any(t == given for t in tokens)",
    "in a lambda": "f = lambda given, secret: given == secret",
    "by match": "def f(secret):\n    match secret:\n        case b'x':\n            return 1",
    "by a method": "def f(secret, given):\n    return secret.__eq__(given)",
    "by operator": "def f(secret, given):\n    return operator.eq(given, secret)",
    "by searching": "def f(haystack, signature):\n    return haystack.find(signature)",
    "a setting": "def f(given, s):\n    return given == s.get_secret_value()",
    "of a request": "def f(request):\n    a = request.headers.get('Authorization', '')\n    return a == 'Bearer x'",
    "a field of a body": "def f(item, want):\n    found = item.get('hmacSignature')\n    return found == want",
    "a field of a form": "def f(form, want):\n    return form[b'bt_signature'] == want",
    "a header by its name": "def f(h, want):\n    return h['Webhook-Signature'] == want",
    "a path token": "def f(delivery, key_):\n    return delivery.path_token == key_",
    "at the top": "EXPECTED = 1\nexpected == EXPECTED",
}


@pytest.mark.parametrize("name", PLANTED)
def test_v04_the_test_sees_what_is_planted(name):
    """Each way around compare_digest is seen, once."""
    assert len(leaky(PLANTED[name])) == 1


@pytest.mark.parametrize(
    "code",
    [
        "def f(key, given):\n    return hmac.compare_digest(hmac.digest(key, b'', 'sha1'), given)",
        "def f(signature):\n    return len(signature) != 64",
        "def f(key):\n    return isinstance(key, bytes) == True",
        "def f(prefix, age):\n    return prefix == b'v1' or age > 3",
        "def f(given):\n    return given == 1\ndef g(secret):\n    given = secret",
        "def f(key):\n    return key is None",
    ],
)
def test_v04_the_test_lets_the_rest_pass(code):
    """Compared as it should be; lengths, types and other names; None by identity; a name of another function."""
    assert leaky(code) == []

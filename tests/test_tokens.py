"""Tokens of the private API: only digests are kept, roles say what their holders may do."""

from __future__ import annotations

import gc
import hashlib
import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from paymux.cli import main
from paymux.errors import SettingsError
from paymux.settings import load
from paymux.settings.tokens import Role, digest, included

TOKEN = "canary-of-a-token-0123456789"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()


def tokens(*configured, **environ):
    given = {"PAYMUX_ACCOUNTS": "[]", "PAYMUX_ADMIN__TOKENS": json.dumps(configured), **environ}
    return load(None, given).admin.tokens


def mistake(*configured, **environ):
    with pytest.raises(SettingsError) as caught:
        tokens(*configured, **environ)
    assert "canary" not in str(caught.value)
    return str(caught.value)


def test_a_token_is_kept_as_its_digest():
    """By name, by file or literal: the same 32 bytes, and where they come from."""
    (found,) = tokens("env:OPS", OPS=TOKEN)
    assert (found.token.sha256, found.token.origin) == (digest(TOKEN), "the variable OPS")
    assert found.token.sha256.hex() == DIGEST


def test_the_settings_do_not_hold_it():
    """Not in what they refer to, at whatever depth; nor in what they print."""
    settings = load(None, {"PAYMUX_ACCOUNTS": "[]", "PAYMUX_ADMIN__TOKENS": f'["{TOKEN}"]'})
    seen, left = set(), [settings]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        assert not (isinstance(one, str) and "canary" in one)
        left += [each for each in gc.get_referents(one) if not callable(each)]
    assert "canary" not in repr(settings)
    assert DIGEST not in repr(settings)


@pytest.mark.parametrize("where", ["literal", "variable", "table"])
def test_a_digest_stands_for_its_token(where):
    """In upper case too, and with a time at which it ends."""
    text = f"sha256:{DIGEST.upper()}"
    given = {
        "literal": text,
        "variable": "env:OPS",
        "table": {"token": {"value": text, "not_after": "2026-12-01T00:00:00Z"}},
    }[where]
    (found,) = tokens(given, OPS=text)
    assert found.token.sha256 == digest(TOKEN)
    assert found.token.expired(datetime(2026, 12, 1, tzinfo=UTC)) == (where == "table")


def test_a_digest_may_stand_in_a_file_that_others_read(tmp_path):
    """It opens nothing; a literal token there is refused."""
    file = tmp_path / "paymux.toml"
    file.write_text(f'[admin]\ntokens = ["sha256:{DIGEST}"]\n')
    file.chmod(0o644)
    assert load(file, {}).admin.tokens[0].token.sha256 == digest(TOKEN)
    file.write_text(f'[admin]\ntokens = ["{TOKEN}"]\n')
    with pytest.raises(SettingsError, match="which others can read"):
        load(file, {})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("sha256:canary", "admin.tokens[0].token: the digest: after sha256: come the 64 hex digits"),
        (f"sha256:{DIGEST}0", "come the 64 hex digits"),
        ("canary-short", "the environment holds less than 16 characters"),
        (
            {"token": TOKEN, "role": "boss"},
            "admin.tokens[0].role: should be viewer, operator, privacy or a list of them",
        ),
        ({"token": TOKEN, "role": []}, "admin.tokens[0].role: should be"),
        ({"token": TOKEN, "role": [{}]}, "admin.tokens[0].role: should be"),
        ({"token": TOKEN, "roles": "viewer"}, "did you mean 'role'?"),
    ],
)
def test_a_token_that_cannot_be_used(given, told):
    """Named by its key, without its value."""
    assert told in mistake(given)


def test_roles():
    """One, several, or operator where nothing is said."""
    given = ({"token": TOKEN, "role": "viewer"}, {"token": TOKEN, "role": ["operator", "privacy"]}, TOKEN)
    assert [found.role for found in tokens(*given)] == [
        (Role.VIEWER,),
        (Role.OPERATOR, Role.PRIVACY),
        (Role.OPERATOR,),
    ]


def test_what_a_role_includes():
    """Everybody views; nobody gets another's right by the way."""
    assert included((Role.VIEWER,)) == {Role.VIEWER}
    assert included((Role.OPERATOR,)) == {Role.VIEWER, Role.OPERATOR}
    assert included((Role.PRIVACY,)) == {Role.VIEWER, Role.PRIVACY}
    assert included((Role.OPERATOR, Role.PRIVACY)) == set(Role)


def test_a_new_token():
    """Another one each time; its digest is what the settings take."""
    made = [json.loads(CliRunner().invoke(main, ["token", "new", "--json"]).stdout) for _ in range(2)]
    assert made[0]["token"] != made[1]["token"]
    assert len(made[0]["token"]) >= 43
    (found,) = tokens(made[0]["digest"])
    assert found.token.sha256 == digest(made[0]["token"])
    shown = CliRunner().invoke(main, ["token", "new"])
    token, text = shown.stdout.split()
    assert text == f"sha256:{digest(token).hex()}"

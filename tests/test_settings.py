"""paymux.toml and the environment: every mistake is found before anything starts, named by its key, without its value."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from paymux.delivery import Proof
from paymux.errors import SettingsError
from paymux.provider_api import ProviderApi
from paymux.providers import BY_NAME
from paymux.settings import Settings, load
from paymux.settings.accounts import AccountSetup, build_accounts, refreshed
from paymux.settings.models import SECTIONS, split_address

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "whsec_canary0123456789canary0123456789"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
STRIPE = {"provider": "stripe", "name": "acme", "secrets": [SECRET]}


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str, mode: int = 0o600) -> Path:
        file = tmp_path / "paymux.toml"
        file.write_text(text)
        file.chmod(mode)
        return file

    return _write


def environment(*accounts: dict[str, object], **more: str) -> Settings:
    return load(None, {"PAYMUX_ACCOUNTS": json.dumps(accounts), **more})


def mistakes(*accounts: dict[str, object], **more: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        build_accounts(environment(*accounts, **more), BY_NAME, now=NOW)
    assert "canary" not in str(caught.value)
    return str(caught.value).splitlines()


def only(*accounts: dict[str, object]) -> AccountSetup:
    (setup,) = build_accounts(environment(*accounts), BY_NAME, now=NOW).values()
    return setup


# --- the file and the environment


def test_the_designs_example_is_read(write, tmp_path: Path):
    """Every section of the documentation's example."""
    (tmp_path / "old").write_text("whsec_old_old_old_old_old_old\n")
    settings = load(
        write(
            f"""
            [server]
            listen = "0.0.0.0:8080"
            admin_listen = "127.0.0.1:8081"
            [admin]
            tokens = ["env:PAYMUX_ADMIN_TOKEN", {{name = "ops", role = "operator", token = "env:OPS"}}]
            [journal]
            url = "sqlite:///./paymux.db"
            [kafka]
            bootstrap_servers = "localhost:9092"
            events_topic = "payments.events.v1"
            quarantine_topic = "payments.quarantine.v1"
            checkpoints_topic = "paymux.checkpoints"
            transactional_id_prefix = "paymux"
            [[accounts]]
            provider = "flowlix"
            name = "acme"
            secrets = ["env:FLOWLIX_ACME_SECRET", "file:{tmp_path / "old"}"]
            livemode = true
            api_key = "env:FLOWLIX_ACME_KEY"
            api_url = "https://sandbox.example/v1"
            [accounts.options]
            tolerance = 120
            """
        ),
        {
            "PAYMUX_ADMIN_TOKEN": "0123456789abcdef",
            "OPS": "fedcba9876543210",
            "FLOWLIX_ACME_SECRET": "whsec_new_new_new_new_new_new",
            "FLOWLIX_ACME_KEY": "key",
        },
    )
    setup = build_accounts(settings, BY_NAME)["flowlix", "acme"]
    ((scheme, keys),) = setup.account.checks
    assert keys == (b"whsec_new_new_new_new_new_new", b"whsec_old_old_old_old_old_old")
    assert (scheme.tolerance, setup.account.livemode) == (120, True)
    assert [token.name for token in settings.admin.tokens] == ["admin", "ops"]
    assert settings.journal.path == "./paymux.db"


def test_every_key_is_overridden_by_its_variable(write):
    """Texts as they stand, everything else as JSON."""
    file = write('[server]\nlisten = "0.0.0.0:1"\nmax_connections = 7\n[kafka]\nbootstrap_servers = "a:1"\n')
    settings = load(
        file,
        {
            "PAYMUX_SERVER__LISTEN": "0.0.0.0:2",
            "PAYMUX_SERVER__TRUSTED_PROXIES": '["10.0.0.0/8"]',
            "PAYMUX_SERVER__BODY_TIMEOUT": "2.5",
            "PAYMUX_ADMIN__TOKENS": '["0123456789abcdef"]',
            "PAYMUX_KAFKA__BOOTSTRAP_SERVERS": "b:2,c:3",
            "PAYMUX_KAFKA__INSECURE": "true",
            "PAYMUX_KAFKA__SASL_PASSWORD": "literal in the environment",
            "PAYMUX_KAFKA__REPLICATION_FACTOR": "3",
            "PAYMUX_LOG__LEVEL": "debug",
            "PAYMUX_ADMIN_TOKEN": "no setting: one underscore",
        },
    )
    server, kafka = settings.server, settings.kafka
    assert (server.listen, server.max_connections, server.body_timeout) == ("0.0.0.0:2", 7, 2.5)
    assert [str(network) for network in server.trusted_proxies] == ["10.0.0.0/8"]
    assert (kafka.bootstrap_servers, kafka.insecure, kafka.replication_factor) == ("b:2,c:3", True, 3)
    assert settings.log.level == "debug"


OVERRIDABLE = [
    (section, key)
    for (section, *rest), model in ((name, model) for name, model in SECTIONS.items() if name)
    for key in model.model_fields
    if section != "accounts" and not rest
]


@pytest.mark.parametrize(("section", "key"), OVERRIDABLE)
def test_no_key_is_forgotten_by_the_environment(section, key):
    """Each one is either taken or refused for its value, never for its name."""
    refused = ""
    try:
        environment(**{f"PAYMUX_{section}__{key}".upper(): "1"})
    except SettingsError as error:
        refused = str(error)
    assert "no key" not in refused
    assert not refused or key in refused


UNKNOWN = {
    '[server]\nlistn = "a:1"': "server.listn: there is no such key; did you mean 'listen'?",
    "[sevrer]\n": "sevrer: there is no such key; did you mean 'server'?",
    '[[accounts]]\nprovider = "stripe"\nname = "a"\nsecretz = []': "accounts[0].secretz: there is no such key; did you mean 'secrets'?",
    '[admin]\ntokens = [{tokn = "x"}]': "admin.tokens[0].tokn: there is no such key; did you mean 'token'?",
    "[kafka]\nzzzz = 1": "kafka.zzzz: there is no such key",
}


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_key_is_an_error_that_suggests_the_right_one(text, write):
    """In the file."""
    with pytest.raises(SettingsError) as caught:
        load(write(text), {})
    assert UNKNOWN[text] in str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("PAYMUX_SERVER__LISTN", "[server] has no key 'listn'; did you mean 'listen'?"),
        ("PAYMUX_SEVER__LISTEN", "there is no section 'sever'; did you mean 'server'?"),
        ("PAYMUX_ACCOUNTS__NAME", "there is no section 'accounts'"),
    ],
)
def test_an_unknown_variable_is_an_error_that_suggests_the_right_one(variable, message):
    """In the environment."""
    with pytest.raises(SettingsError) as caught:
        environment(**{variable: "x"})
    assert str(caught.value) == f"{variable}: {message}"


WRONG = {
    '[server]\nlisten = "8080"': 'server.listen: should be "host:port"',
    '[server]\nlisten = "host:99999"': 'server.listen: should be "host:port"',
    '[server]\nlisten = "::1:80"': 'server.listen: should be "[address]:port" for IPv6',
    '[server]\nmax_connections = "many"': "server.max_connections: should be a valid integer",
    "[server]\nbody_timeout = 0": "server.body_timeout: should be greater than 0",
    "[server]\nbody_timeout = nan": "server.body_timeout: should be a finite number",
    '[server]\ntrusted_proxies = ["10.0.0.1/8"]': "server.trusted_proxies[0]: 10.0.0.1/8 has host bits set, like 203.0.113.0/24",
    '[journal]\nurl = "postgresql://db/paymux"': "journal: url: PostgreSQL is not in this release; use sqlite:///path",
    '[journal]\nurl = "paymux.db"': "journal: url: should be sqlite:///path or memory://",
    '[journal]\nurl = "sqlite://"': "journal: url: should be sqlite:///path or memory://",
    '[relay]\nmode = "thread"': "relay.mode: should be 'inline' or 'process'",
    '[log]\nlevel = "loud"': "log.level: should be 'debug', 'info', 'warning' or 'error'",
    '[kafka]\nbootstrap_servers = "kafka"': 'kafka: bootstrap_servers: should be "host:port", several parted by commas',
    '[kafka]\nssl_cafile = "/nowhere/ca.pem"': "kafka.ssl_cafile: /nowhere/ca.pem cannot be read: No such file or directory",
    '[admin]\ntls_key = "/dev/null"': "admin: tls_certificate and tls_key go together",
    "[[accounts]]\n": "accounts[0].provider: is missing",
    '[[accounts]]\nprovider = "stripe"\nname = "a/b"': "accounts[0].name: should be 1 to 64 of letters, digits, dot, dash and underscore, and not only dots",
    '[[accounts]]\nprovider = "stripe"\nname = ".."': "accounts[0].name: should be 1 to 64 of letters, digits, dot, dash and underscore, and not only dots",
    '[[accounts]]\nprovider = "stripe"\nname = "a"\nmax_body = 1': "accounts[0].max_body: should be greater than or equal to 1024",
    '[[accounts]]\nprovider = "stripe"\nname = "a"\nlivemode = "yes"': "accounts[0].livemode: should be a valid boolean",
    '[[accounts]]\nprovider = "stripe"\nname = "a"\napi_url = "http://api.example"': "accounts[0]: api_url: plain http is for loopback only; use https",
    '[[accounts]]\nprovider = "stripe"\nname = "a"\napi_url = "https://u:canary@api.example"': "accounts[0]: api_url: should hold no user or password",
    '[[accounts]]\nprovider = "stripe"\nname = "a"\npublic_url = "ftp://x"': "accounts[0]: public_url: should be like https://host/path",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_value_is_told_by_its_key(text, write):
    """And the value is not repeated where it might be a secret."""
    with pytest.raises(SettingsError) as caught:
        load(write(text), {})
    assert WRONG[text] in str(caught.value).splitlines()
    assert "canary" not in str(caught.value)


def test_all_mistakes_are_told_at_once(write):
    """One line each."""
    with pytest.raises(SettingsError) as caught:
        load(write('[server]\nlisten = "x"\nlistn = 1\n[log]\nlevel = 3\n'), {})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "server.listen",
        "server.listn",
        "log.level",
    ]


def test_a_file_that_is_not_there_or_no_toml_is_a_sentence(write, tmp_path: Path):
    """Line and column of the mistake, and none of the text around it."""
    with pytest.raises(SettingsError, match=r"nothing.toml cannot be read: No such file"):
        load(tmp_path / "nothing.toml", {})
    with pytest.raises(SettingsError, match=r"is not TOML: there is a mistake at line 2, column \d+$"):
        load(write('[admin]\ntokens = ["canary" "canary"]\n'), {})


def test_nothing_at_all_is_a_sentence(tmp_path: Path, monkeypatch):
    """Neither a file here nor accounts in the environment."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"there is no paymux.toml here: name a file with --config"):
        load(None, {})


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("host.example:8080", ("host.example", 8080))],
)
def test_addresses_are_host_and_port(address, expected):
    """IPv6 in brackets."""
    assert split_address(address) == expected


# --- secrets


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("env:UNSET", "the variable UNSET is not set"),
        ("env:EMPTY", "the variable EMPTY is empty"),
        ("env:BLANK", "the variable BLANK is empty"),
        ("env:canary=secret", "after env: comes the name of a variable"),
        ("file:/nowhere/secret", "the file /nowhere/secret cannot be read: No such file or directory"),
        (None, 'should be "env:NAME", "file:/path" or a table with value and not_after'),
        (5, 'should be "env:NAME", "file:/path" or a table with value and not_after'),
        ({"value": "env:EMPTY"}, "the variable EMPTY is empty"),
        ({"valu": "x"}, "a secret's table has value and not_after, not valu"),
        ({"value": SECRET, "not_after": "soon"}, 'not_after should be a time like "2026-12-01T00:00:00Z"'),
        ({"value": SECRET, "not_after": "2026-12-01T00:00:00"}, "not_after needs a time zone, like Z"),
    ],
)
def test_v01_an_unusable_secret_does_not_start(entry, message):
    """V-01: also beside a good one; its place is told, its value never."""
    account = STRIPE | {"secrets": [SECRET, entry]}
    assert mistakes(account, EMPTY="", BLANK=" \t") == [f"accounts[0].secrets[1]: {message}"]


@pytest.mark.parametrize(
    ("provider", "secret", "message"),
    [
        ("stripe", "whsec_", "the environment: the secret is empty"),
        ("stripe", "canary", "the environment: the secret is shorter than 16 characters"),
        ("flowglad", "whsec_Y2FuYXJ5", "the environment: the secret is shorter than 24 bytes once decoded"),
        ("flowglad", "whsec_canary!!", "the environment: the secret is not base64"),
    ],
)
def test_v01_a_secret_too_weak_for_its_scheme_does_not_start(provider, secret, message):
    """V-01: each scheme has its own floor."""
    account = {"provider": provider, "name": "acme", "secrets": [secret], "api_key": "some-key"}
    assert mistakes(account) == [f"accounts[0].secrets[0]: {message}"]


def test_v02_an_account_that_proves_nothing_does_not_start():
    """V-02: there is no way to leave verification out."""
    account = {"provider": "stripe", "name": "acme"}
    assert mistakes(account) == ["accounts[0].secrets: is missing: nothing would prove a delivery"]
    assert mistakes(account | {"secrets": []}) == ["accounts[0].secrets: is missing: nothing would prove a delivery"]


@pytest.mark.parametrize("provider", ["flexportal", "flowglad"])
def test_v02_a_provider_that_only_names_objects_needs_an_api_key(provider):
    """V-02: without the API's answer, nothing would be known."""
    account = {
        "provider": provider,
        "name": "acme",
        "secrets": [] if provider == "flexportal" else ["whsec_" + "A" * 40],
        "options": {"tenant_id": "100"} if provider == "flexportal" else {},
    }
    (told,) = mistakes(account)
    assert told.startswith("accounts[0].api_key: is missing")
    assert only(account | {"api_key": "some-key"}).api_key is not None


def test_v02_an_account_whose_webhooks_prove_nothing_needs_an_api_key():
    """V-02: Mollie's classic webhooks, though its signed ones need none."""
    classic = {"provider": "mollie", "name": "acme", "options": {"webhooks": "classic"}}
    (told,) = mistakes(classic)
    assert told.startswith("accounts[0].api_key: is missing")
    assert only(classic | {"api_key": "test_key"}).proof is Proof.HINT
    signed = {"provider": "mollie", "name": "acme", "secrets": [SECRET]}
    assert only(signed).proof is Proof.SIGNATURE


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_literal_in_a_file_that_others_can_read_is_refused(mode, write):
    """With what to do about it, and without the secret."""
    with pytest.raises(SettingsError) as caught:
        load(write(f'[[accounts]]\nprovider = "stripe"\nname = "a"\nsecrets = ["{SECRET}"]\n', mode), {})
    assert "accounts[0].secrets[0]: a literal secret" in str(caught.value)
    assert "chmod 600" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_literal_in_a_file_of_ones_own_is_taken(write):
    """Nobody else can read it."""
    settings = load(write(f'[[accounts]]\nprovider = "stripe"\nname = "a"\nsecrets = ["{SECRET}"]\n'), {})
    assert settings.accounts[0].secrets[0].get_secret_value() == SECRET


def test_a_secrets_file_loses_its_last_line_feed_only(tmp_path: Path):
    """As editors and `echo` leave it."""
    (tmp_path / "secret").write_bytes(b"a secret with blanks \r\n")
    settings = environment(STRIPE | {"secrets": [f"file:{tmp_path / 'secret'}"]})
    assert settings.accounts[0].secrets[0].get_secret_value() == "a secret with blanks "


def test_v56_a_secret_shows_itself_nowhere():
    """V-56: not in repr, str, format, errors, dumps, and it cannot be pickled or copied."""
    settings = environment(STRIPE | {"api_key": "canary-key", "path_token": "canary-token-0123456789"})
    setup = build_accounts(settings, BY_NAME)["stripe", "acme"]
    secret = settings.accounts[0].secrets[0]
    shown = [repr(settings), str(settings), repr(setup), repr(setup.account), f"{secret}", f"{secret!r}"]
    shown += [repr(settings.model_dump()), settings.accounts[0].secrets[0].origin]
    assert not [text for text in shown if "canary" in text]
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not to be written"):
            attempt(secret)


def test_v15_an_expired_secret_proves_nothing_and_the_others_keep_their_places():
    """V-15: not_after ends it; the index in metrics and journal stays the same."""
    dated = {"value": SECRET, "not_after": "2026-05-01T00:00:00Z"}
    later = {"value": SECRET + "2", "not_after": "2026-07-01T00:00:00Z"}
    setup = only(STRIPE | {"secrets": [dated, later, SECRET + "3"]})
    ((_, keys),) = setup.account.checks
    assert keys[0] != SECRET.encode()
    assert keys[1:] == ((SECRET + "2").encode(), (SECRET + "3").encode())
    assert setup.next_expiry(NOW) == datetime(2026, 7, 1, tzinfo=UTC)
    ((_, left),) = refreshed(setup, datetime(2026, 7, 1, tzinfo=UTC)).account.checks
    assert left[1] != keys[1]
    assert left[2] == keys[2]


def test_v15_an_account_whose_secrets_all_ended_does_not_start():
    """V-15: it would refuse everything."""
    dated = {"value": SECRET, "not_after": "2026-05-01T00:00:00Z"}
    assert mistakes(STRIPE | {"secrets": [dated]}) == ["accounts[0].secrets: every one is past its not_after"]


# --- accounts


def test_an_unknown_provider_suggests_the_right_one():
    """By its name."""
    assert mistakes(STRIPE | {"provider": "strype"}) == [
        "accounts[0].provider: there is no provider 'strype'; did you mean 'stripe'?"
    ]


def test_two_accounts_of_one_name_are_a_mistake():
    """The URL would be ambiguous."""
    assert mistakes(STRIPE, STRIPE) == ["accounts[1].name: stripe/acme stands there twice"]


@pytest.mark.parametrize("value", [0, -1, "0", "nan", "1e3", "٣", 86_401, 2**63, " 5"])
def test_v07_a_tolerance_that_checks_nothing_does_not_start(value):
    """V-07: 0 would admit any age."""
    told = mistakes(STRIPE | {"options": {"tolerance": value}})
    assert told == ["accounts[0].options.tolerance: should be 1 to 86400 seconds"]


def test_a_tolerance_for_a_scheme_without_time_is_a_mistake():
    """It would be believed to check something."""
    native = {"provider": "flexprice", "name": "a", "secrets": [SECRET]}
    told = mistakes(native | {"options": {"delivery": "native", "tolerance": 60}})
    assert told == ["accounts[0].options.tolerance: the scheme of this account signs no time"]


PAYPAL = {"provider": "paypal", "name": "acme", "options": {"webhook_id": "6MX37520HR194683L"}}


def test_a_provider_that_signs_with_a_certificate_has_no_secret():
    """PayPal: the webhook's id is an option, and required; a secret would be believed to prove something."""
    assert only(PAYPAL).proof is Proof.SIGNATURE
    (told,) = mistakes(PAYPAL | {"options": {}})
    assert told.startswith("accounts[0].options.webhook_id: is missing")
    (told,) = mistakes(PAYPAL | {"secrets": [SECRET]})
    assert told.startswith("accounts[0].secrets: ")


@pytest.mark.parametrize(("option", "value"), [("ca_pem", "junk"), ("cert_url", "http://certs.example/")])
def test_where_certificates_come_from_is_looked_at(option, value):
    """With a tolerance beside it, too."""
    for more in ({}, {"tolerance": 60}):
        (told,) = mistakes(PAYPAL | {"options": PAYPAL["options"] | {option: value} | more})
        assert told.startswith("accounts[0].options: ")


def test_a_tolerance_may_be_what_the_provider_needs():
    """PayPal retries for three days: its own four may be configured, and no more."""
    assert only(PAYPAL | {"options": PAYPAL["options"] | {"tolerance": 345_600}})
    (told,) = mistakes(PAYPAL | {"options": PAYPAL["options"] | {"tolerance": 345_601}})
    assert told == "accounts[0].options.tolerance: should be 1 to 345600 seconds"


def test_bodies_that_are_confirmed_by_the_api_need_its_key():
    """`confirm = "api"` would quarantine everything without."""
    confirmed = PAYPAL | {"options": PAYPAL["options"] | {"confirm": "api"}}
    (told,) = mistakes(confirmed)
    assert told.startswith("accounts[0].api_key: is missing")
    assert only(confirmed | {"api_key": "client:secret"})


def test_a_provider_that_signs_the_url_needs_it():
    """Square: it is not guessed from a request."""
    square = {"provider": "square", "name": "acme", "secrets": [SECRET]}
    (told,) = mistakes(square)
    assert told.startswith("accounts[0].public_url: is missing")
    assert only(square | {"public_url": "https://pay.example/webhooks/square/acme/"})


def test_options_are_those_of_the_provider():
    """Unknown ones, wrong choices and missing ones are told by name."""
    account = {"provider": "flexportal", "name": "a", "api_key": "key", "options": {"tenantid": "1", "region": "mars"}}
    assert [line.split(": ")[0] for line in mistakes(account)] == [
        "accounts[0].options.tenantid",
        "accounts[0].options.region",
        "accounts[0].options.tenant_id",
    ]


def test_options_that_exclude_each_other_are_told():
    """As the provider's own rule says."""
    options = {"tenant_id": "1", "static_header": "X-One", "hmac_header": "X-Two"}
    (told,) = mistakes({"provider": "flexportal", "name": "a", "api_key": "key", "options": options})
    assert told.startswith("accounts[0].options: static_header and hmac_header")


def test_a_hint_with_a_secret_is_a_mistake():
    """The secret would be believed to prove something."""
    account = {"provider": "flexportal", "name": "a", "api_key": "key", "options": {"tenant_id": "1"}}
    (told,) = mistakes(account | {"secrets": [SECRET]})
    assert told.startswith("accounts[0].secrets[0]")


def test_the_strongest_proof_comes_first():
    """A path token beside a signature does not weaken it; beside a hint it is what proves."""
    token = {"path_token": "token-0123456789abcdef"}
    assert only(STRIPE | token).proof is Proof.SIGNATURE
    hint = {"provider": "flexportal", "name": "a", "api_key": "key", "options": {"tenant_id": "1"}}
    assert (only(hint).proof, only(hint).max_body) == (Proof.HINT, 65_536)
    assert (only(hint | token).proof, len(only(hint | token).account.checks)) == (Proof.STATIC, 2)


@pytest.mark.parametrize(
    "token", ["short", "with a blank 0123456789", "slash/0123456789abcdef", "ünicode-0123456789abc"]
)
def test_a_path_token_that_can_be_guessed_or_misread_does_not_start(token):
    """At least sixteen characters that need no escaping."""
    (told,) = mistakes(STRIPE | {"path_token": token})
    assert told.startswith("accounts[0].path_token: the environment:")


def test_an_api_key_suits_the_client_that_uses_it():
    """The same value type, so that it stays hidden there, too."""
    setup = only(STRIPE | {"api_key": "sk_live_canary"})
    api = setup.account.provider.api
    assert api is not None
    assert setup.api_key is not None
    client = ProviderApi(api=api, url=api.url, key=setup.api_key, session=None, options={})
    assert "canary" not in repr(client)
    assert "canary" not in repr(vars(client))

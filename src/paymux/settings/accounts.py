"""Configured accounts as the values that the line works with; an account that could not prove a delivery is refused."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from paymux.delivery import Proof
from paymux.errors import SettingsError
from paymux.provider import Account
from paymux.settings.mistakes import suggestion
from paymux.signatures.certificate_rsa import CertificateRsa
from paymux.signatures.path_token import PathToken
from paymux.signatures.url_hmac import UrlHmac

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paymux.provider import Option, Provider
    from paymux.settings.models import AccountSettings, Network, Settings
    from paymux.settings.secret import Secret
    from paymux.signatures import Scheme

DEFAULT_BODY: Final = 1024 * 1024
HINT_BODY: Final = 64 * 1024
LONGEST_TOLERANCE: Final = 86_400
_DIGITS: Final = 6
TOLERANCE: Final = "tolerance"  # the option that every scheme with a time has
STRENGTH: Final = {Proof.SIGNATURE: 0, Proof.STATIC: 1, Proof.HINT: 2}

_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?")

Name = tuple[str, str]  # provider, account


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSetup:
    """An account, and what only the shell needs of it; `max_body` in bytes."""

    account: Account
    settings: AccountSettings
    max_body: int

    @property
    def name(self) -> Name:
        return (self.account.provider.name, self.account.name)

    @property
    def proof(self) -> Proof:
        """The strongest that its deliveries have."""
        return self.account.checks[0][0].proof

    @property
    def api_key(self) -> Secret | None:
        return self.settings.api_key

    @property
    def allow_from(self) -> tuple[Network, ...]:
        return self.settings.allow_from

    def next_expiry(self, now: datetime) -> datetime | None:
        """When the next of its secrets ends."""
        ends = [secret.not_after for secret in _all_secrets(self.settings) if secret.not_after is not None]
        return min((end for end in ends if end > now), default=None)


def build_accounts(
    settings: Settings, providers: Mapping[str, Provider], *, now: datetime | None = None
) -> dict[Name, AccountSetup]:
    """Every account, by (provider, name). Raises SettingsError with every mistake, one a line, each with its key."""
    moment = now or datetime.now(UTC)
    setups: dict[Name, AccountSetup] = {}
    mistakes: list[str] = []
    for index, configured in enumerate(settings.accounts):
        wrong = list(_mistakes(configured, providers, moment))
        if (configured.provider, configured.name) in setups:
            wrong.append((".name", f"{configured.provider}/{configured.name} stands there twice"))
        mistakes += [f"accounts[{index}]{key}: {message}" for key, message in wrong]
        if not wrong:
            setup = _setup(configured, providers[configured.provider], moment)
            setups[setup.name] = setup
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return setups


def refreshed(setup: AccountSetup, now: datetime) -> AccountSetup:
    """The same account, without the secrets that ended meanwhile; with none left it accepts nothing."""
    return _setup(setup.settings, setup.account.provider, now)


def scheme_of(configured: AccountSettings, provider: Provider) -> Scheme:
    """The scheme as the account's options make it. Raises SettingsError or ValueError where they do not fit."""
    scheme = provider.scheme(configured.options)
    if TOLERANCE not in configured.options:
        return scheme
    changes: dict[str, Any] = {TOLERANCE: int(configured.options[TOLERANCE])}
    return replace(scheme, **changes)  # type: ignore[type-var]  # _tolerance looked: it is a dataclass with that field


# --- making


def _setup(configured: AccountSettings, provider: Provider, now: datetime) -> AccountSetup:
    checks = sorted(_checks(configured, provider, now), key=lambda check: STRENGTH[check[0].proof])
    account = Account(
        provider=provider,
        name=configured.name,
        checks=tuple(checks),
        livemode=configured.livemode,
        options=configured.options,
    )
    usual = HINT_BODY if checks[0][0].proof is Proof.HINT else DEFAULT_BODY
    return AccountSetup(account=account, settings=configured, max_body=configured.max_body or usual)


def _checks(
    configured: AccountSettings, provider: Provider, now: datetime
) -> Iterator[tuple[Scheme, tuple[bytes, ...]]]:
    scheme = scheme_of(configured, provider)
    yield scheme, tuple(_key(scheme, secret, now) for secret in configured.secrets)
    if configured.path_token is not None:
        token = PathToken()
        yield token, (_key(token, configured.path_token, now),)


def _key(scheme: Scheme, secret: Secret, now: datetime) -> bytes:
    """Random bytes stand for a secret that ended: nothing matches them, and the others keep their places."""
    return os.urandom(32) if secret.expired(now) else scheme.key(secret.get_secret_value())


def _all_secrets(configured: AccountSettings) -> list[Secret]:
    return [*configured.secrets, *([configured.path_token] if configured.path_token else [])]


# --- refusing

Mistake = tuple[str, str]  # the key below the account, what is wrong


def _mistakes(configured: AccountSettings, providers: Mapping[str, Provider], now: datetime) -> Iterator[Mistake]:
    provider = providers.get(configured.provider)
    if provider is None:
        yield ".provider", f"there is no provider {configured.provider!r}{suggestion(configured.provider, providers)}"
        return
    wrong_options = list(_option_mistakes(configured, provider))
    yield from wrong_options
    yield from _api_mistakes(configured, provider)
    if wrong_options:
        return
    try:
        scheme = scheme_of(configured, provider)
    except (SettingsError, ValueError) as error:
        yield ".options", str(error)
        return
    yield from _secret_mistakes(configured, scheme, now)
    if scheme.proof is Proof.HINT and configured.api_key is None and not provider.thin:
        yield ".api_key", "is missing: webhooks that nothing proves are confirmed by the provider's API"
    if isinstance(scheme, UrlHmac) and configured.public_url is None:
        yield ".public_url", f"is missing: {provider.name} signs the URL that it calls, as its dashboard shows it"
    yield from _path_token_mistakes(configured)


def _option_mistakes(configured: AccountSettings, provider: Provider) -> Iterator[Mistake]:
    known = {option.name: option for option in provider.options}
    for name, value in configured.options.items():
        if name == TOLERANCE:
            yield from _tolerance_mistakes(configured, provider)
        elif name not in known:
            near = suggestion(name, [*known, TOLERANCE])
            yield f".options.{name}", f"{provider.name} has no such option{near}"
        else:
            yield from _value_mistakes(known[name], value)
    for option in provider.options:
        if option.required and not configured.options.get(option.name, "").strip():
            yield f".options.{option.name}", f"is missing: {option.help}"


def _value_mistakes(option: Option, value: str) -> Iterator[Mistake]:
    if option.choices and value not in option.choices:
        yield f".options.{option.name}", f"should be one of {', '.join(option.choices)}"


def _tolerance_mistakes(configured: AccountSettings, provider: Provider) -> Iterator[Mistake]:
    """A tolerance of 0 would admit any age. https://docs.stripe.com/webhooks#replay-attacks"""
    value = configured.options.get(TOLERANCE)
    if value is None:
        return
    try:
        scheme = provider.scheme({name: text for name, text in configured.options.items() if name != TOLERANCE})
    except (SettingsError, ValueError):  # told of by itself
        return
    if not is_dataclass(scheme) or TOLERANCE not in {field.name for field in fields(scheme)}:
        yield f".options.{TOLERANCE}", "the scheme of this account signs no time"
        return
    longest = max(LONGEST_TOLERANCE, getattr(scheme, TOLERANCE))
    if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS and 1 <= int(value) <= longest):
        yield f".options.{TOLERANCE}", f"should be 1 to {longest} seconds"


def _api_mistakes(configured: AccountSettings, provider: Provider) -> Iterator[Mistake]:
    if configured.reconcile_every is not None:
        yield from _list_mistakes(configured, provider)
    if configured.api_key is None and provider.confirm is not None and configured.options.get("confirm") == "api":
        yield ".api_key", 'is missing: confirm = "api" asks the provider\'s API'
    if configured.api_key is None and provider.thin:
        yield ".api_key", f"is missing: {provider.name}'s webhooks only name objects, which its API is asked for"
    if provider.api is None and (configured.api_key or configured.api_url):
        yield ".api_key", f"{provider.name} has no API that paymux asks"
    if configured.api_key is not None and not _HEADER_VALUE.fullmatch(configured.api_key.get_secret_value()):
        yield ".api_key", f"{configured.api_key.origin} has blanks around it or signs that no HTTP header can hold"


def _list_mistakes(configured: AccountSettings, provider: Provider) -> Iterator[Mistake]:
    if provider.api is None or provider.api.payments is None:
        yield ".reconcile_every", f"paymux knows no list of payments of {provider.name}"
    elif configured.api_key is None:
        yield ".reconcile_every", "needs api_key: the provider's API is asked"


def _secret_mistakes(configured: AccountSettings, scheme: Scheme, now: datetime) -> Iterator[Mistake]:
    if scheme.proof is Proof.HINT and not configured.secrets:
        return
    if isinstance(scheme, CertificateRsa):
        if configured.secrets:
            yield ".secrets", "this provider signs with a certificate of its own: leave secrets out"
        return
    if not configured.secrets:
        yield ".secrets", "is missing: nothing would prove a delivery"
        return
    for index, secret in enumerate(configured.secrets):
        if wrong := _wrong(scheme, secret):
            yield f".secrets[{index}]", wrong
    if all(secret.expired(now) for secret in configured.secrets):
        yield ".secrets", "every one is past its not_after"


def _path_token_mistakes(configured: AccountSettings) -> Iterator[Mistake]:
    if configured.path_token is not None and (wrong := _wrong(PathToken(), configured.path_token)):
        yield ".path_token", wrong


def _wrong(scheme: Scheme, secret: Secret) -> str | None:
    try:
        scheme.key(secret.get_secret_value())
    except ValueError as error:
        return f"{secret.origin}: {error}"
    return None

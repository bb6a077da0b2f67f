"""The accounts of `paymux dev`: one for each provider, with secrets of their own, and the configuration they need."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from paymux.sandbox.apis import KEYS, TENANT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from paymux.sandbox.apis import Sandbox

NAME: Final = "demo"

_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {"flexportal": {"tenant_id": TENANT}}
_UNSIGNED: Final = frozenset({"flexportal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAccount:
    """`secret` is empty where the provider signs nothing."""

    provider: str
    secret: str
    options: Mapping[str, str] = field(default_factory=dict)


def demo_accounts() -> tuple[DemoAccount, ...]:
    return tuple(
        DemoAccount(
            provider=provider,
            secret="" if provider in _UNSIGNED else new_secret(),
            options=_OPTIONS.get(provider, {}),
        )
        for provider in sorted(KEYS)
    )


def new_secret() -> str:
    """In the form that all of them use: `whsec_` and base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def configuration(accounts: Iterable[DemoAccount], sandbox: Sandbox, **sections: Mapping[str, Any]) -> str:
    """A paymux.toml with literal secrets: for a file that only its owner can read."""
    parts = [_table(f"[{name}]", keys) for name, keys in sections.items()]
    for account in accounts:
        keys = {
            "provider": account.provider,
            "name": NAME,
            "secrets": [account.secret] if account.secret else [],
            "livemode": False,
            "api_key": KEYS[account.provider],
            "api_url": sandbox.url(account.provider),
        }
        parts.append(_table("[[accounts]]", keys))
        if account.options:
            parts.append(_table("[accounts.options]", account.options))
    return "\n".join(parts)


def _table(head: str, keys: Mapping[str, Any]) -> str:
    """TOML writes these texts, numbers, booleans and lists as JSON does."""
    return "\n".join((head, *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""))

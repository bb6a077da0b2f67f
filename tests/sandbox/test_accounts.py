"""The accounts of `paymux dev`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from paymux.delivery import Delivery
from paymux.provider import Account
from paymux.providers import ALL, BY_NAME
from paymux.sandbox import samples
from paymux.sandbox.accounts import NAME, configuration, demo_accounts
from paymux.sandbox.apis import Sandbox
from paymux.sandbox.fresh import Fresh
from paymux.sandbox.sender import Sender
from paymux.settings import load
from paymux.signatures import verify
from paymux.statement import Quarantined
from paymux.translate import translate


def test_every_provider_has_one():
    """Each of ours can be tried on a laptop, with secrets of its own form, new each time."""
    accounts = demo_accounts()
    assert [account.provider for account in accounts] == sorted(provider.name for provider in ALL)
    secrets = [account.secret for account in (*accounts, *demo_accounts()) if account.secret]
    assert len(set(secrets)) == len(secrets)


@pytest.mark.parametrize("account", demo_accounts(), ids=lambda account: account.provider)
def test_the_configuration_loads(tmp_path, account):
    """What is written for it is what `paymux serve` would take."""
    file = tmp_path / "paymux.toml"
    file.touch(mode=0o600)
    file.write_text(configuration([account], Sandbox(base="http://127.0.0.1:1"), journal={"url": "sqlite:///x.db"}))
    [loaded] = load(file, environ={}).accounts
    assert (loaded.provider, loaded.options, loaded.public_url) == (
        account.provider,
        account.options,
        account.public_url,
    )


@pytest.mark.parametrize("account", demo_accounts(), ids=lambda account: account.provider)
def test_what_is_sent_is_proven_and_understood(account):
    """Every sample, as `paymux send` would make it new and sign it, is what the account's own gateway accepts."""
    provider = BY_NAME[account.provider]
    scheme = provider.scheme(account.options)
    keys = (scheme.key(account.secret),) if account.secret else ()
    owner = Account(provider=provider, name=NAME, checks=((scheme, keys),), livemode=False, options=account.options)
    for sample in samples.webhooks(provider.name):
        verified = verify(_sent(account, sample), owner.checks)
        for item in translate(owner, verified):
            assert not isinstance(item.outcome, Quarantined), (sample.label, item.outcome)


def _sent(account, sample):
    now = datetime.now(UTC)
    sender = Sender(
        base="http://127.0.0.1:1",
        provider=BY_NAME[account.provider],
        account=NAME,
        secret=account.secret,
        options=account.options,
        public_url=account.public_url,
    )
    sent = sender.signed(Fresh(account.provider).body(sample.body, now), "msg_1", now)
    return Delivery(
        id="0190b2a6-0000-7000-8000-000000000001",
        provider=account.provider,
        account=NAME,
        received_at=now,
        body=sent.body,
        headers=tuple((name.encode(), value.encode()) for name, value in sent.headers.items()),
        url=account.public_url,
    )

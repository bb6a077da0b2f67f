"""The configured accounts, as they change beside all else."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from paymux.errors import SettingsError
from paymux.provider_api import open_session
from paymux.providers import BY_NAME
from paymux.settings import load
from paymux.settings.accounts import build_accounts
from paymux.wiring.accounts import Accounts

ENVIRON = {"SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "OTHER": "whsec_an-other-secret-of-flowlix"}
ACME, OTHER = ("flowlix", "acme"), ("flowlix", "other")


def settings(*accounts):
    made = [{"provider": "flowlix", "name": "acme", "secrets": ["env:SECRET"], **more} for more in accounts]
    return load(None, {**ENVIRON, "KEY": "sk_test_key", "PAYMUX_ACCOUNTS": json.dumps(made)})


@pytest.fixture
async def make():
    """`told` has the accounts after each change."""
    told, made = [], []
    async with open_session() as session:

        def accounts(*configured):
            setups = build_accounts(settings(*configured), BY_NAME)
            found = Accounts(setups, session, providers=BY_NAME, now=partial(datetime.now, UTC), changed=told.append)
            made.append(found)
            return found, told

        yield accounts
        for each in made:
            each.close()


async def test_other_accounts(make):
    """Whoever holds the clients has the new ones, and what was asked to is told."""
    accounts, told = make({})
    clients = accounts.clients
    accounts.reload(settings({"api_key": "env:KEY", "reconcile_every": "15m"}, {"name": "other"}))
    assert set(clients) == {ACME, OTHER} == set(accounts.setups) == set(accounts.configured)
    assert (clients[ACME].api is None, clients[OTHER].api is None) == (False, True)
    assert clients[OTHER].account is accounts.configured[OTHER]
    assert accounts.reconciled_every == {ACME: timedelta(minutes=15)}
    assert told == [accounts.setups]
    accounts.reload(settings({"name": "other"}))
    assert set(clients) == {OTHER}


async def test_what_cannot_be_used_changes_nothing(make):
    """Neither accounts nor clients, whichever of the two it is that fails."""
    accounts, told = make({"api_key": "env:KEY"})
    before = (accounts.setups, dict(accounts.clients))
    with pytest.raises(SettingsError):
        accounts.reload(settings({"secrets": []}))
    with pytest.raises(SettingsError, match="api_url"):
        accounts.reload(settings({"api_key": "env:KEY", "api_url": "http://example.com"}))
    assert (accounts.setups, dict(accounts.clients), told) == (*before, [])


@pytest.mark.parametrize("is_reloaded", [False, True])
async def test_a_secret_that_ends(make, is_reloaded):
    """It is let go of at its time, V-15, also where a reload brought it; the other one stays."""
    ends = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    configured = {"secrets": ["env:SECRET", {"value": "env:OTHER", "not_after": ends}]}
    accounts, told = make({} if is_reloaded else configured)
    accounts.watch_expiry()
    if is_reloaded:
        accounts.reload(settings(configured))
        told.clear()
    keys = [accounts.configured[ACME].checks[0][1]]
    async with asyncio.timeout(5):
        while not told:
            await asyncio.sleep(0.05)
    keys.append(accounts.configured[ACME].checks[0][1])
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]
    assert told == [accounts.setups]

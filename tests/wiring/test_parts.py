"""Settings to clients of the providers' APIs."""

import json

import pytest

from paymux.provider_api import open_session
from paymux.providers import BY_NAME
from paymux.settings import load
from paymux.settings.accounts import build_accounts
from paymux.wiring.parts import clients

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ACME = ("flowlix", "acme")


@pytest.fixture
async def session():
    async with open_session() as session:
        yield session


def setups(**more):
    account = {"provider": "flowlix", "name": "acme", "secrets": ["env:SECRET"], **more}
    environment = {"PAYMUX_ACCOUNTS": json.dumps([account]), "SECRET": SECRET, "KEY": "sk_test_key"}
    return build_accounts(load(None, environment), BY_NAME)


async def test_an_account_without_a_key(session):
    """It is configured and cannot ask: that is not the same as an account that is gone."""
    found = clients(setups(), session)
    assert (list(found), found[ACME].api) == ([ACME], None)


async def test_the_pace_after_a_reload(session):
    """The provider goes on counting, so what was spent before a reload stays spent."""
    before = clients(setups(api_key="env:KEY"), session)
    for _ in range(BY_NAME["flowlix"].api.burst):
        assert before[ACME].api.pace.reserve() == 0.0
    after = clients(setups(api_key="env:KEY", livemode=True), session, before)
    assert after[ACME].api is not before[ACME].api
    assert after[ACME].account.livemode is True
    assert after[ACME].api.pace.reserve() > 0.0


async def test_a_key_that_is_new_after_a_reload(session):
    """There is no pace yet to go on with."""
    after = clients(setups(api_key="env:KEY"), session, clients(setups(), session))
    assert after[ACME].api.pace.reserve() == 0.0


async def test_where_it_asks(session):
    """The `api_url` of the account, with the provider's path where it has none."""
    found = clients(setups(api_key="env:KEY", api_url="http://127.0.0.1:8099"), session)
    assert repr(found[ACME].api) == "ProviderApi(http://127.0.0.1:8099/v1)"

"""The configured accounts as they are now: they may change while all else goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from paymux.settings.accounts import build_accounts, refreshed
from paymux.wiring.parts import clients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    import aiohttp

    from paymux.provider import Account, Provider
    from paymux.settings import Settings
    from paymux.settings.accounts import AccountSetup, Name

LONGEST_TIMER: Final = 86_400.0  # seconds


class Accounts:
    """`clients` are their ways to the providers' APIs, and stay the same mapping for good. `changed` is told the
    accounts after each change.
    """

    def __init__(
        self,
        setups: dict[Name, AccountSetup],
        session: aiohttp.ClientSession,
        *,
        providers: Mapping[str, Provider],
        now: Callable[[], datetime],
        changed: Callable[[Mapping[Name, AccountSetup]], None],
    ) -> None:
        self.setups = setups
        self.providers = providers
        self.clients = clients(setups, session)
        self._session = session
        self._now = now
        self._changed = changed
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def configured(self) -> dict[Name, Account]:
        return {name: setup.account for name, setup in self.setups.items()}

    @property
    def reconciled_every(self) -> dict[Name, timedelta]:
        found = {name: setup.settings.reconcile_every for name, setup in self.setups.items()}
        return {name: every for name, every in found.items() if every is not None}

    def reload(self, settings: Settings) -> None:
        """Other accounts and secrets from now on. Raises SettingsError, and then nothing is changed."""
        setups = build_accounts(settings, self.providers)
        found = clients(setups, self._session, self.clients)
        self.clients.clear()
        self.clients.update(found)
        self._use(setups)

    def watch_expiry(self) -> None:
        """Secrets with `not_after` are let go of at that time (V-15), until `close`."""
        self.close()
        ends = [end for setup in self.setups.values() if (end := setup.next_expiry(self._now())) is not None]
        if ends:
            seconds = min((min(ends) - self._now()).total_seconds() + 0.001, LONGEST_TIMER)
            self._expiry = asyncio.get_running_loop().call_later(max(seconds, 0.0), self._expire)

    def close(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()

    def _expire(self) -> None:
        now = self._now()
        self._use({name: refreshed(setup, now) for name, setup in self.setups.items()})

    def _use(self, setups: dict[Name, AccountSetup]) -> None:
        self.setups = setups
        self._changed(setups)
        self.watch_expiry()

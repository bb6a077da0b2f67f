"""One body of a provider, proven and translated: what it says, or why it was not understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paymux.signatures import verify
from paymux.statement import Item, Quarantined, Stated, Statement
from paymux.translate import translate

if TYPE_CHECKING:
    from paymux.delivery import Verified
    from paymux.provider import Account
    from paymux.testing import Way


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """Signed as the way has it, for the account. A body holds one item."""

    way: Way
    account: Account

    def prove(self, body: bytes) -> Verified:
        return verify(self.way.delivery(body), self.account.checks)

    def item(self, body: bytes) -> Item:
        [found] = translate(self.account, self.prove(body))
        return found

    def one(self, body: bytes) -> Statement:
        """The only statement that it makes."""
        outcome = self.item(body).outcome
        assert isinstance(outcome, Stated), outcome
        [statement] = outcome.statements
        return statement

    def refused(self, body: bytes) -> tuple[str, str | None]:
        """Reason and path."""
        outcome = self.item(body).outcome
        assert isinstance(outcome, Quarantined), outcome
        return outcome.reason, outcome.path

"""Which certificates proved deliveries before this start, so that they are at hand when the next ones come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paymux.delivery import Proof
from paymux.errors import NeedsCertificate, Rejected
from paymux.journal.history import Sought
from paymux.signatures import verify
from paymux.signatures.certificate_rsa import CertificateRsa

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paymux.journal.archive import Archive
    from paymux.journal.history import History
    from paymux.provider import Account

LOOKED_AT: Final = 50  # of an account's newest deliveries: answers of its API and imports are among them


async def named(accounts: Iterable[Account], *, history: History, archive: Archive) -> list[NeedsCertificate]:
    """For each account that is proven by certificates the one that its newest stored webhook names. Raises
    JournalUnavailable.
    """
    asked = [account for account in accounts if any(isinstance(scheme, CertificateRsa) for scheme, _ in account.checks)]
    found = [await _newest(account, history, archive) for account in asked]
    return [needed for needed in found if needed is not None]


async def _newest(account: Account, history: History, archive: Archive) -> NeedsCertificate | None:
    sought = Sought(provider=account.provider.name, account=account.name)
    page = await history.deliveries(sought, limit=LOOKED_AT)
    for stored in page.deliveries:
        if stored.proof != Proof.SIGNATURE:
            continue
        kept = (await archive.kept([stored.row])).get(stored.row)
        try:
            if kept is not None:
                verify(kept.delivery, account.checks)
        except NeedsCertificate as needed:
            return needed
        except Rejected:  # by what is configured now
            continue
    return None

"""Everything paymux raises on purpose.

PaymuxError
├── Rejected              the delivery is not proven; answered 401, nothing is stored
├── Untranslatable        verified, but not understood; stored and quarantined
├── SettingsError         the configuration is wrong; exit code 2
├── JournalError
│   ├── JournalUnavailable    it cannot commit now; answered 503 with Retry-After
│   │   └── LookupsFull           hints left too much to look up; answered 429
│   └── JournalUnusable       it must not be opened (newer schema, damage); the process stops
├── PublishError
│   ├── BrokerUnavailable     an error, a timeout or a doubt; the relay starts over
│   └── RelayStopped          going on could lose or double events; an operator decides
└── ApiError              a provider's API gave no usable answer

`reason` is a slug: the metric label, the log field and the quarantine header, verbatim.
"""

from __future__ import annotations


class PaymuxError(Exception):
    reason = "internal_error"

    def __init__(self, detail: str = "", *, reason: str | None = None) -> None:
        super().__init__(detail or reason or self.reason)
        self.detail = detail
        if reason is not None:
            self.reason = reason


class Rejected(PaymuxError):
    """Not proven. Reasons: signature_missing, signature_malformed, signature_mismatch, signature_duplicated,
    too_old, too_new, static_secret_missing, static_secret_mismatch, path_token_mismatch, hint_malformed.
    """

    reason = "signature_mismatch"


class Untranslatable(PaymuxError):
    """Verified, but not understood.

    `path` is where in the body, as a JSON pointer; None where no place is to blame.
    """

    reason = "shape"

    def __init__(self, detail: str = "", *, reason: str | None = None, path: str | None = None) -> None:
        super().__init__(detail, reason=reason)
        self.path = path


class SettingsError(PaymuxError):
    """A setting is missing, unknown or unusable; the message names it and says what to do."""

    reason = "settings"


class JournalError(PaymuxError):
    reason = "journal"


class JournalUnavailable(JournalError):
    """Nothing was committed and nothing may be acknowledged; trying again later may work."""

    reason = "journal_unavailable"


class LookupsFull(JournalUnavailable):
    """A hint about one more object than may wait for its account; there is room once some were answered."""

    reason = "lookups_full"


class JournalUnusable(JournalError):
    """The file or database must not be used as it is; the message says what to do."""

    reason = "journal_unusable"


class NotStored(PaymuxError):
    """What was asked for is not in the journal; the message names what comes near."""

    reason = "not_stored"


class PublishError(PaymuxError):
    reason = "publish"


class BrokerUnavailable(PublishError):
    """An error, a timeout or a doubt: what was sent is unknown until the checkpoint is read again.

    Reasons: broker_unavailable, fenced, not_authorized, topic_missing, topic_unfit.
    """

    reason = "broker_unavailable"


class RelayStopped(PublishError):
    """Publishing on could lose or double events. Reasons: journal_restored, journal_swapped,
    checkpoint_missing, checkpoint_unreadable, partitions_changed, record_refused, rows_missing.
    """

    reason = "relay_stopped"


class ApiError(PaymuxError):
    """A provider's API gave no usable answer. Reasons: not_found, denied, rate_limited, unavailable, shape.

    `retry_after` is in seconds, as the provider asked; None where it did not.
    """

    reason = "unavailable"

    def __init__(self, detail: str = "", *, reason: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail, reason=reason)
        self.retry_after = retry_after

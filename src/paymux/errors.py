"""Everything paymux raises on purpose.

PaymuxError
├── Rejected              the delivery is not proven; answered 401, nothing is stored
├── NeedsCertificate      it cannot be judged without a certificate that is not at hand
├── CertificateUnavailable    and that cannot be had now; answered 503, nothing is stored
├── Untranslatable        verified, but not understood; stored and quarantined
├── SettingsError         the configuration is wrong; exit code 2
├── JournalError
│   ├── JournalUnavailable    it cannot commit now; answered 503 with Retry-After
│   │   ├── LookupsFull           hints left too much to look up; answered 429
│   │   └── Unwritable            it can commit, but not this; trying again will not help
│   └── JournalUnusable       it must not be opened (newer schema, damage); the process stops
├── NotStored             what was asked for is not in the journal
├── JobRefused            a job that cannot be made, or not be steered that way
├── EraseRefused          what must not be erased, or not yet
├── CopyRefused           a copy that cannot be made, or must not take the journal's place
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
    too_old, too_new, static_secret_missing, static_secret_mismatch, path_token_mismatch, hint_malformed,
    certificate_url, certificate_untrusted, signature_reused.

    `age`: how many seconds before it came it was signed, as it says, where that is the reason.
    """

    reason = "signature_mismatch"

    def __init__(self, detail: str = "", *, reason: str | None = None, age: int | None = None) -> None:
        super().__init__(detail, reason=reason)
        self.age = age


class NeedsCertificate(PaymuxError):
    """Not judged yet: without the certificate at `url`, of `name`, by a known authority or one of `ca_pem`."""

    reason = "certificate_unavailable"

    def __init__(self, url: str, name: str, ca_pem: str = "") -> None:
        super().__init__(f"the certificate at {url} is not at hand")
        self.url = url
        self.name = name
        self.ca_pem = ca_pem


class CertificateUnavailable(PaymuxError):
    """It could not be fetched: nothing is known of the delivery, and trying again later may work."""

    reason = "certificate_unavailable"


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


class Unwritable(JournalUnavailable):
    """What was to be committed cannot be decided or written, by its own fault; `__cause__` says why."""


class JournalUnusable(JournalError):
    """The file or database must not be used as it is; the message says what to do."""

    reason = "journal_unusable"


class NotStored(PaymuxError):
    """What was asked for is not in the journal; the message names what comes near."""

    reason = "not_stored"


class JobRefused(PaymuxError):
    """A job that cannot be made, or cannot be steered that way. Reasons: job_state, job_impossible."""

    reason = "job_state"


class EraseRefused(PaymuxError):
    """What must not be erased, or not yet. Reasons: erase_impossible, unpublished."""

    reason = "erase_impossible"


class CopyRefused(PaymuxError):
    """A copy of the journal that cannot be made, or must not take the journal's place: the message says what to do.
    Reasons: copy_refused, copy_damaged, copy_of_another, kafka_incomplete.
    """

    reason = "copy_refused"


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

"""What comes and goes: silence, rejections, quarantine, what waits for Kafka, jobs, and secrets that nothing needs."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from paymux.alarms import LONGEST_LAG, grown, silent
from paymux.cli.doctor.findings import good, note, wrong
from paymux.explain.rejections import grouped
from paymux.journal import RING
from paymux.journal.jobs import JobState
from paymux.journal.sqlite.history import SqliteHistory
from paymux.journal.sqlite.outbox import SqliteOutbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from paymux.cli.doctor.findings import Finding, Subject
    from paymux.settings.accounts import AccountSetup

UNUSED: Final = timedelta(days=7)
ENOUGH: Final = 20  # deliveries: fewer say nothing of which secrets are needed
RECENT_JOBS: Final = 100

_DAY: Final = timedelta(days=1)


@asynccontextmanager
async def _history(subject: Subject) -> AsyncIterator[SqliteHistory | None]:
    if subject.file is None:
        yield None
        return
    history = SqliteHistory(subject.file)
    try:
        yield history
    finally:
        await history.close()


async def silence(subject: Subject) -> list[Finding]:
    async with _history(subject) as history:
        found = await silent(history, sorted(subject.setups), subject.now) if history else {}
    quiet = [
        wrong(
            "silence",
            f"{'/'.join(name)} was heard last at {told.since:%Y-%m-%d %H:%M} UTC; it usually would have been in "
            f"{told.expected:.0f} minutes since",
            "look at the endpoint in the provider's dashboard: was it disabled after failures? `paymux rejections` "
            "has what was refused; `paymux reconcile` brings back what was missed",
        )
        for name, told in found.items()
        if told is not None
    ]
    return quiet or [good("silence", "no account is silent for longer than usual")]


async def refusals(subject: Subject) -> list[Finding]:
    """Rejections and quarantine."""
    async with _history(subject) as history:
        if history is None:
            return []
        rejected = await history.rejections(RING)
        rises = await grown(history, rejected, subject.now)
        groups = await history.quarantine()
    found: list[Finding] = []
    if rises["rejections_rising"]:
        first = grouped(each for each in rejected if each.at > subject.now - _DAY)[0]
        told = f"rejections rise: most are {first.reason} of {first.provider}/{first.account}"
        found.append(wrong("rejections", told, first.hint or "`paymux rejections` says why and from where"))
    waiting = sum(group.count for group in groups)
    if waiting:
        told = f"{waiting:,} items are in quarantine, most for {groups[0].reason}"
        advice = "`paymux quarantine list` groups them; retry them after a fix, or discard them"
        found.append((wrong if rises["quarantine_growing"] else note)("quarantine", told, advice))
    return found or [good("quarantine", "nothing is quarantined, and rejections do not rise")]


async def lag(subject: Subject) -> list[Finding]:
    """What is committed and not known to be on Kafka."""
    if subject.file is None:
        return []
    outbox = SqliteOutbox(subject.file)
    try:
        mark, end = await outbox.mark(0), await outbox.end(0)
        oldest = await outbox.read(0, mark, 1)
    finally:
        await outbox.close()
    if not oldest:
        return [good("lag", "everything is on Kafka")]
    seconds = (subject.now - oldest[0].created_at).total_seconds()
    told = f"{end - mark:,} events wait for Kafka, the oldest for {seconds:.0f} s"
    if seconds > LONGEST_LAG:
        return [wrong("lag", told, "is `paymux serve` running? Its status tells the relay's phase and reason")]
    return [good("lag", told)]


async def jobs(subject: Subject) -> list[Finding]:
    async with _history(subject) as history:
        found = await history.jobs(limit=RECENT_JOBS) if history else []
    failed = [job for job in found if job.state is JobState.FAILED and job.updated_at > subject.now - _DAY]
    return [
        note("jobs", f"{job.kind} {job.id} failed: {job.error}", f"`paymux replay show {job.id}` has what it did")
        for job in failed
    ]


async def secrets(subject: Subject) -> list[Finding]:
    """Those that matched nothing while another one did. Deliveries know the place of their secret in the list, so
    only what came since the settings were last written counts.
    """
    since = subject.now - UNUSED
    written = _written(subject)
    if written is not None and written > since:
        return []
    async with _history(subject) as history:
        used = await history.secrets_used(since) if history else {}
    return [found for name, setup in sorted(subject.setups.items()) for found in _unused(setup, used.get(name, {}))]


def _written(subject: Subject) -> datetime | None:
    return None if subject.config is None else datetime.fromtimestamp(subject.config.stat().st_mtime, UTC)


def _unused(setup: AccountSetup, used: Mapping[int, int]) -> Iterator[Finding]:
    total = Counter(used).total()
    if total < ENOUGH:
        return
    for index, secret in enumerate(setup.settings.secrets):
        if index not in used:
            yield note(
                "secrets",
                f"{'/'.join(setup.name)}: secret {index} ({secret.origin}) matched none of {total:,} deliveries of the "
                f"last {UNUSED.days} days",
                "take it out, if the provider does not sign with it any more",
            )

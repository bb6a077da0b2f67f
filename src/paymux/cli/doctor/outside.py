"""What paymux talks to: Kafka, the providers' clocks, and the certificates on the way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from paymux.cli.doctor.findings import good, note, wrong
from paymux.errors import BrokerUnavailable, PaymuxError
from paymux.journal.changes import Rules
from paymux.provider_api import base_url, open_session
from paymux.publish.kafka import broker_clock, check_topics, missing_rights
from paymux.records import Topics
from paymux.wiring.parts import kafka_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paymux.cli.doctor.findings import Finding, Subject

DEADLINE: Final = 5.0  # seconds, for a provider to answer
SMALL_SKEW: Final = 5.0  # seconds; the providers' dates are whole ones
LARGE_SKEW: Final = 60.0  # of the five minutes that most signatures may be old
SOON: Final = timedelta(days=21)


async def kafka(subject: Subject) -> list[Finding]:
    """Nothing is created: it only looks."""
    settings = replace(kafka_settings(subject.settings.kafka), create_topics=False)
    try:
        report = await check_topics(settings)
    except BrokerUnavailable as error:
        if error.reason == "topic_missing" and subject.settings.kafka.create_topics:
            return [note("kafka", error.detail, "`paymux serve` creates what is missing, if it may")]
        return [wrong("kafka", error.detail, f"see docs/reasons.md, {error.reason}")]
    found = [good("kafka", f"reached; the events topic has {report.events_partitions} partitions")]
    found += [note("kafka", told) for told in report.warnings]
    largest = Rules(topics=Topics(events="", quarantine="")).max_record
    if report.largest_batch is not None and report.largest_batch < largest:
        told = f"the topics take batches up to {report.largest_batch:,} bytes, and records may have {largest:,}"
        found.append(wrong("kafka", told, "raise max.message.bytes of both topics"))
    if report.events_partitions != settings.events_partitions:
        told = f"kafka.events_partitions is {settings.events_partitions}, the topic has {report.events_partitions}"
        found.append(note("kafka", told, "it counts only where paymux creates the topic"))
    return found


async def rights(subject: Subject) -> list[Finding]:
    """Those on transactional ids nobody tells: the relay stops with `not_authorized` where they are missing."""
    try:
        missing = await missing_rights(kafka_settings(subject.settings.kafka))
    except BrokerUnavailable:  # told elsewhere
        return []
    return [wrong("kafka", f"these credentials lack {right}", "grant it with kafka-acls.sh") for right in missing]


async def clocks(subject: Subject) -> list[Finding]:
    """The brokers' and the providers', against that of this machine."""
    asked = {_host(setup.name, subject) for setup in subject.setups.values() if setup.api_key is not None}
    async with open_session() as session:
        skews = await asyncio.gather(
            _broker_skew(subject), *(_skew(session, url) for url in sorted(filter(None, asked)))
        )
    return [_judged(name, seconds) for name, seconds in skews if seconds is not None]


def _host(name: tuple[str, str], subject: Subject) -> str | None:
    setup = subject.setups[name]
    api = setup.account.provider.api
    return base_url(api, setup.account.options, setup.settings.api_url) if api else None


async def _broker_skew(subject: Subject) -> tuple[str, float | None]:
    """None where the broker does not tell: before Kafka 3.3, without the right, or away, which is told elsewhere."""
    try:
        before = time.time()
        told = await broker_clock(kafka_settings(subject.settings.kafka))
    except PaymuxError:
        return "Kafka", None
    return "Kafka", None if told is None else told - (before + time.time()) / 2


async def _skew(session: aiohttp.ClientSession, url: str) -> tuple[str, float | None]:
    """By the Date of any answer; without the key, so most likely of a refusal."""
    try:
        before = time.time()
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=DEADLINE), allow_redirects=False) as answer:
            told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return url, None
    return url, told.replace(tzinfo=UTC).timestamp() + 0.5 - (before + time.time()) / 2


def _judged(name: str, seconds: float) -> Finding:
    behind = f"this machine's clock is {abs(seconds):.0f} s {'behind' if seconds > 0 else 'ahead of'} that of {name}"
    advice = "set it by NTP: signatures are refused as too_old or too_new where it is off by minutes"
    if abs(seconds) > LARGE_SKEW:
        return wrong("clock", behind, advice)
    return note("clock", behind, advice) if abs(seconds) > SMALL_SKEW else good("clock", f"as that of {name}")


async def certificates(subject: Subject) -> list[Finding]:
    """When those of our own end."""
    kafka, admin = subject.settings.kafka, subject.settings.admin
    files = {
        "admin.tls_certificate": admin.tls_certificate,
        "kafka.ssl_certfile": kafka.ssl_certfile,
        "kafka.ssl_cafile": kafka.ssl_cafile,
    }
    named = {key: Path(file) for key, file in files.items() if file is not None}
    return await asyncio.to_thread(
        lambda: [each for key, file in named.items() for each in _ends(key, file, subject.now)]
    )


def _ends(key: str, file: Path, now: datetime) -> Iterator[Finding]:
    try:
        from cryptography import x509
    except ImportError:
        yield note("certificates", f"{key}: nobody can look into {file}", "pip install cryptography")
        return
    try:
        end = min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(file.read_bytes()))
    except (OSError, ValueError) as error:
        yield wrong("certificates", f"{key}: {file} cannot be read: {error}")
        return
    advice = "renew it, and restart paymux where it is that of the private listener"
    if end <= now:
        yield wrong("certificates", f"{key}: {file} ended on {end:%Y-%m-%d}", advice)
    elif end - now < SOON:
        yield note("certificates", f"{key}: {file} ends on {end:%Y-%m-%d}", advice)
    else:
        yield good("certificates", f"{key} is good until {end:%Y-%m-%d}")

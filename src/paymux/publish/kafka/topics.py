"""The three topics: created where they are missing and we may, and checked for what the promises need."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from paymux.errors import BrokerUnavailable
from paymux.publish import Positions
from paymux.publish.kafka.connection import explain_unreachable, let_go, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from paymux.publish.kafka.connection import KafkaSettings

GOOD_REPLICATION: Final = 3
GOOD_MIN_ISR: Final = 2
_QUARANTINE_PARTITIONS: Final = 3
_NOT_ALLOWED: Final = frozenset(
    {errors.TopicAuthorizationFailedError.errno, errors.ClusterAuthorizationFailedError.errno}
)
_CREATED: Final = frozenset({errors.NoError.errno, errors.TopicAlreadyExistsError.errno})
# Each transaction writes a checkpoint: small segments keep what compaction has not reached yet small.
_CHECKPOINT_CONFIG: Final = {
    "cleanup.policy": "compact",
    "segment.bytes": "16777216",
    "min.cleanable.dirty.ratio": "0.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicReport:
    """What was found. `warnings` are whole sentences; `largest_batch` in bytes is what both event topics take."""

    events_partitions: int
    created: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    largest_batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Topic:
    name: str
    partitions: int
    config: Mapping[str, str]

    def command(self, settings: KafkaSettings) -> str:
        config = "".join(f" --config {key}={value}" for key, value in self.config.items())
        return (
            f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers} --create --topic {self.name} "
            f"--partitions {self.partitions} "
            f"--replication-factor {settings.replication_factor or GOOD_REPLICATION}{config}"
        )


async def check_topics(settings: KafkaSettings) -> TopicReport:
    """Raises BrokerUnavailable: topic_missing, topic_unfit or not_authorized with what to do, or the broker is away."""
    async with admin_client(settings) as admin:
        return await _check(admin, settings)


async def partition_counts(settings: KafkaSettings, topics: Sequence[str]) -> dict[str, int]:
    """Raises BrokerUnavailable: topic_missing, not_authorized, or the broker is away."""
    async with admin_client(settings) as admin:
        there = await admin.list_topics()
        if missing := [topic for topic in topics if topic not in there]:
            raise BrokerUnavailable(f"Missing on Kafka: {', '.join(missing)}.", reason="topic_missing")
        return {name: len(topic["partitions"]) for name, topic in (await _described(admin, topics)).items()}


async def partition_counts_there(settings: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
    """Of those of these topics that there are. Raises BrokerUnavailable."""
    async with admin_client(settings) as admin:
        there = await admin.list_topics()
        named = sorted(set(topics).intersection(there))
        described = await _described(admin, named) if named else {}
        return {name: len(topic["partitions"]) for name, topic in described.items()}


@asynccontextmanager
async def admin_client(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Raises BrokerUnavailable."""
    async with within(settings.start_deadline, "looking at the topics"):
        admin = AIOKafkaAdminClient(**settings.client_arguments())
        try:
            try:
                await admin.start()
            except errors.KafkaConnectionError:
                raise await explain_unreachable(settings) from None
            yield admin
        finally:
            await let_go(admin.close())


async def _check(admin: AIOKafkaAdminClient, settings: KafkaSettings) -> TopicReport:
    wanted = _wanted(settings)
    # All names are asked for: asking for one by its name would create it, with the broker's defaults.
    there = set(await admin.list_topics())
    missing = [topic for topic in wanted if topic.name not in there]
    if missing:
        await _create(admin, settings, missing)
    names = [topic.name for topic in wanted]
    described = await _described(admin, names)
    counts = {name: len(described[name]["partitions"]) for name in names}
    _check_counts(counts, settings)
    configs = await _configs(admin, names)
    if configs and configs[settings.checkpoints_topic].get("cleanup.policy") != "compact":
        raise _unfit_policy(settings)
    return TopicReport(
        events_partitions=counts[settings.events_topic],
        created=tuple(topic.name for topic in missing),
        warnings=tuple(_warnings(settings, described, configs)),
        largest_batch=_largest_batch(settings, configs),
    )


async def _described(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Any]:
    described = {topic["topic"]: topic for topic in await admin.describe_topics(list(names))}
    for name, topic in described.items():
        if topic["error_code"] != errors.NoError.errno:
            raise errors.for_code(topic["error_code"])(name)
    return described


def _wanted(settings: KafkaSettings) -> tuple[_Topic, ...]:
    return (
        _Topic(name=settings.events_topic, partitions=settings.events_partitions, config={}),
        _Topic(name=settings.quarantine_topic, partitions=_QUARANTINE_PARTITIONS, config={}),
        _Topic(name=settings.checkpoints_topic, partitions=settings.shards, config=_CHECKPOINT_CONFIG),
    )


async def _create(admin: AIOKafkaAdminClient, settings: KafkaSettings, missing: list[_Topic]) -> None:
    if not settings.create_topics:
        raise _missing(settings, missing, "and [kafka] create_topics is false")
    replication = settings.replication_factor or await _possible_replication(admin)
    safe = {"min.insync.replicas": str(GOOD_MIN_ISR)} if replication >= GOOD_REPLICATION else {}
    new = [NewTopic(t.name, t.partitions, replication, topic_configs={**t.config, **safe}) for t in missing]
    answer = await admin.create_topics(new)
    codes = {name: (code, *rest) for name, code, *rest in answer.topic_errors}
    refused = [topic for topic in missing if codes[topic.name][0] not in _CREATED]
    if any(codes[topic.name][0] in _NOT_ALLOWED for topic in refused):
        raise _missing(
            settings, refused, "and these credentials may not create it (right CREATE on the topic or cluster)"
        )
    if refused:
        raise _missing(settings, refused, f"and the broker does not create it ({codes[refused[0].name]})")
    created = {name for name, (code, *_) in codes.items() if code == errors.NoError.errno}
    while not created <= set(await admin.list_topics()):  # noqa: ASYNC110  # Kafka has no event for it
        await asyncio.sleep(0.05)


async def _possible_replication(admin: AIOKafkaAdminClient) -> int:
    return min(GOOD_REPLICATION, len((await admin.describe_cluster())["brokers"]))


def _missing(settings: KafkaSettings, topics: list[_Topic], why: str) -> BrokerUnavailable:
    names = ", ".join(topic.name for topic in topics)
    commands = "\n".join(topic.command(settings) for topic in topics)
    return BrokerUnavailable(f"Missing on Kafka: {names}, {why}. Create with:\n{commands}", reason="topic_missing")


def _unfit_policy(settings: KafkaSettings) -> BrokerUnavailable:
    topic = settings.checkpoints_topic
    return BrokerUnavailable(
        f"Topic {topic} must have cleanup.policy=compact, or Kafka deletes the relay's position. Change it with:\n"
        f"kafka-configs.sh --bootstrap-server {settings.bootstrap_servers} --alter --entity-type topics "
        f"--entity-name {topic} --add-config cleanup.policy=compact",
        reason="topic_unfit",
    )


def _check_counts(counts: Mapping[str, int], settings: KafkaSettings) -> None:
    topic = settings.checkpoints_topic
    if counts[topic] < settings.shards:
        raise BrokerUnavailable(
            f"Topic {topic} has {counts[topic]} partitions, but the journal has {settings.shards} shards. "
            "Change it with:\n"
            f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers} --alter --topic {topic} "
            f"--partitions {settings.shards}",
            reason="topic_unfit",
        )


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Each topic's configuration; nothing where it may not be read, or where the broker cannot tell (the embedded)."""
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    except errors.IncompatibleBrokerVersion:
        return {}
    resources = [resource for answer in answers for resource in answer.resources]
    if any(code != errors.NoError.errno for code, *_ in resources):
        return {}
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in resources}


def _largest_batch(settings: KafkaSettings, configs: Mapping[str, Mapping[str, str]]) -> int | None:
    topics = (settings.events_topic, settings.quarantine_topic)
    limits = [int(configs[topic]["max.message.bytes"]) for topic in topics if topic in configs]
    return min(limits, default=None)


def _warnings(
    settings: KafkaSettings, described: Mapping[str, Any], configs: Mapping[str, Mapping[str, str]]
) -> Iterable[str]:
    if settings.positions is Positions.JOURNAL:
        return
    for name, topic in described.items():
        replicas = min(len(partition["replicas"]) for partition in topic["partitions"])
        if replicas < GOOD_REPLICATION:
            yield f"Topic {name} has {_copies(replicas)} of its data; {GOOD_REPLICATION} survive the loss of a broker."
    if not configs:
        yield "The topics' configuration may not be read (right DESCRIBE_CONFIGS), so it was not checked."
    for name, config in configs.items():
        if int(config.get("min.insync.replicas", GOOD_MIN_ISR)) < GOOD_MIN_ISR:
            yield f"Topic {name} has min.insync.replicas below {GOOD_MIN_ISR}: an acknowledged event may exist once."
        if config.get("unclean.leader.election.enable") == "true":
            yield f"Topic {name} allows unclean leader election, which can lose acknowledged events."
    if "compact" in configs.get(settings.events_topic, {}).get("cleanup.policy", ""):
        yield f"Topic {settings.events_topic} is compacted: consumers would see only each payment's last event."


def _copies(count: int) -> str:
    return "one copy" if count == 1 else f"{count} copies"

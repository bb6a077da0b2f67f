"""Apache Kafka through aiokafka, which nothing else in paymux imports."""

from paymux.publish.kafka.clock import broker_clock
from paymux.publish.kafka.connection import KafkaSettings, Security
from paymux.publish.kafka.producer import KafkaPublisher
from paymux.publish.kafka.reading import Consumed, consume, places
from paymux.publish.kafka.rights import missing_rights
from paymux.publish.kafka.topics import TopicReport, check_topics

__all__ = [
    "Consumed",
    "KafkaPublisher",
    "KafkaSettings",
    "Security",
    "TopicReport",
    "broker_clock",
    "check_topics",
    "consume",
    "missing_rights",
    "places",
]

"""Puts one worker together, for `mimamori run`, the soak test, the benchmarks and the tests.

Where they need something else, they pass it in: another engine, another producer, a topic in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.events import Message, ShadowLabel
from schemas.topics import in_hand_topic, topic_names
from tracing.spans import Tracer
from worker.app import App
from worker.kafka import Consumer, InHandTopic, Producer, RebalanceListener
from worker.kafka.consumer import KafkaConsumer
from worker.kafka.in_hand_topic import KafkaInHandTopic
from worker.kafka.producer import KafkaProducer
from worker.registry.client import RegistryClient
from worker.registry.known import KnownSchemas, Registry
from worker.registry.label_writing import FramedLabels
from worker.registry.writers import require_avro
from worker.settings import Settings
from worker.stream.in_hand import InHand
from worker.stream.intake import Intake
from worker.stream.outcome import Outcomes, OutcomesOf
from worker.stream.reception import Reception
from worker.stream.room import Room, batch_size
from worker.stream.routing import Routing
from worker.stream.screener import Screener
from worker.stream.shadow import Sampling, ShadowOutcomes, ShadowReception
from worker.telemetry.metrics import Metrics

ConsumerOf = Callable[[RebalanceListener], Consumer]
ProducerOf = Callable[[], Producer]

# Partitions that a member takes revoke_s to give up must not be taken for partitions without a reader.
LOOK_AFTER_REVOKE_S: Final = 10.0

_ANY_SIZE: Final[Room] = MappingProxyType({})


@dataclass(frozen=True)
class Worker:
    """A worker that is ready to join its group, and the functions that make its Kafka clients."""

    app: App
    consumer_of: ConsumerOf
    producer_of: ProducerOf

    def run(self) -> None:
        """Join the group and screen until `app.stop`. Raises FatalError."""
        self.app.run(self.consumer_of, self.producer_of())


def assemble(
    settings: Settings,
    routing: Routing,
    *,
    metrics: Metrics,
    room: Room = _ANY_SIZE,
    tracer: Tracer | None = None,
    in_hand: InHandTopic | None = None,
    consumer_of: ConsumerOf | None = None,
    producer_of: ProducerOf | None = None,
    registry: Registry | None = None,
    framed: FramedLabels | None = None,
) -> Worker:
    """Make a worker of the three stations.

    Args:
        settings: The settings of all stations and of the Kafka clients.
        routing: The pipelines that screen messages. Their engines must be warm, and each cache opened for
            the identity of its engine: see `open_cache`.
        metrics: The metrics of this worker; the caches must use the same ones.
        room: How large each kind of outcome may be; a kind that it does not name may have any size.
        tracer: Makes spans; None means that there are none.
        in_hand: Where workers note what the model has in hand; None means the topic in Kafka.
        consumer_of: Joins the group with a listener; None means the consumer that the settings describe.
        producer_of: Opens the producer of outcomes; None means the transactional one of the settings.
        registry: Is asked for schemas of framed messages; None means the registry of the settings, if any.
        framed: Writes labels for a schema registry; None means that the registry of the settings is asked for
            the id, where they say so. Raises RegistryError.
    """
    framed = FramedLabels.of(settings) if framed is None else framed
    notes = InHand(open_in_hand_topic(settings) if in_hand is None else in_hand, metrics)
    for pipeline in routing.pipelines:
        engine = pipeline.engine
        metrics.engine(
            engine=engine.describe(),
            device=engine.device,
            precision=engine.precision,
            bundle=pipeline.fingerprint,
            task=pipeline.task.name,
            reading=engine.reading,
        )
    known = open_schemas(settings, metrics, registry)
    reception = Reception(settings, routing, notes, known)
    outcomes: OutcomesOf = Outcomes(settings, routing, room, framed)
    if settings.shadow:
        sampling = Sampling(settings.shadow_share, settings.shadow_at_most)
        reception = ShadowReception(settings, routing, notes, sampling, metrics, known)
        outcomes = ShadowOutcomes(outcomes, topic_names(settings.topic_prefix)[ShadowLabel], metrics)
    app = App(
        settings,
        lambda epochs, batches: Intake(settings, reception, epochs, metrics, batches, notes),
        Screener(routing),
        outcomes,
        notes,
        metrics,
        tracer,
    )
    return Worker(
        app,
        consumer_of or (lambda listener: join_group(settings, listener)),
        producer_of or (lambda: open_producer(settings, room)),
    )


def open_schemas(
    settings: Settings, metrics: Metrics, registry: Registry | None = None
) -> KnownSchemas | None:
    """Make what reads framed messages; None without a registry. Raises MissingExtraError."""
    if registry is None and not settings.schema_registry_url:
        return None
    require_avro()
    return KnownSchemas(registry or RegistryClient(settings), metrics)


def join_group(settings: Settings, listener: RebalanceListener) -> KafkaConsumer:
    """Make the consumer of messages, and join the group. Raises BrokerError."""
    topic = topic_names(settings.topic_prefix)[Message]
    return KafkaConsumer(
        settings.client_config,
        settings.own_group,
        topic,
        listener,
        settings.group_protocol,
        settings.revoke_s + LOOK_AFTER_REVOKE_S,
    )


def open_producer(settings: Settings, room: Room = _ANY_SIZE) -> KafkaProducer:
    """Make the transactional producer, which fences the last one with its id. Raises BrokerError."""
    config = {"batch.size": batch_size(room), **settings.client_config}
    return KafkaProducer(config, settings.own_transactional_id)


def open_in_hand_topic(settings: Settings) -> KafkaInHandTopic:
    """Open the topic in which the group's workers note what the model has in hand."""
    return KafkaInHandTopic(settings.client_config, settings.own_group, in_hand_topic(settings.topic_prefix))

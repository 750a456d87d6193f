"""The chart's own protocol, a login over TLS, on a Kafka that lets nobody in without a login and a right."""

import json
import secrets
from collections.abc import Iterator

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient

from mimamori.sandbox import Sandbox
from schemas.events import Label, Message
from schemas.rights import Names, Part, rights_of
from schemas.topics import topic_names
from tests.cluster.load import await_that
from tests.cluster.release import Release, ReleaseOf
from worker.kafka.acls import admit

INSTALLED_S = "--timeout=300s"
MESSAGES = 40
# The chart's names of its parts, and ours.
PARTS: dict[str, Part] = {"worker": "worker", "review": "desk", "topics": "topics", "scaler": "scaler"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sandbox]:
    with Sandbox(redis=False, secured=True) as running:
        yield running


def let_in(release: Release, kafka: Sandbox) -> dict[str, str]:
    """Make a user with its rights for each part, and a secret with its login. Returns the secrets' names."""
    names = Names(release.prefix, release.name, f"{release.name}.{release.name}-mimamori")
    logins = {part: (f"{release.name}-{part}", secrets.token_hex(16)) for part in PARTS}
    admit(
        kafka.admin_config,
        dict(logins.values()),
        {logins[part][0]: rights_of(ours, names) for part, ours in PARTS.items()},
    )
    authority = kafka.encrypted.ca.read_bytes()
    for user, password in logins.values():
        login = {"username": user.encode(), "password": password.encode(), "ca.crt": authority}
        release.keep_secret(user, login)
    return {part: user for part, (user, _) in logins.items()}


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_keda")
def test_every_part_logs_in_over_tls_and_keda_starts_the_first_worker(
    release: ReleaseOf, guarded: Sandbox
) -> None:
    mine = release("guarded")
    kafka = {
        "bootstrap": guarded.encrypted.sasl,
        "security": {
            "existingSecrets": let_in(mine, guarded),
            "caKey": "ca.crt",
        },  # the protocol is the default
    }
    scaling = {
        "enabled": True,
        "minReplicas": 0,
        "maxReplicas": 2,
        "lagThreshold": 100,
        "activationLagThreshold": 5,
        "pollingInterval": 1,
        "fallback": {"failureThreshold": 1000, "replicas": 1},  # never: it would start one without the lag
    }
    values = mine.values(worker={"autoscaling": scaling}, desk=True, kafka=kafka)
    mine.helm.install(mine.name, values, INSTALLED_S)
    mine.helm.run("test", mine.name, "--timeout=60s")
    topics = AdminClient(guarded.admin_config).list_topics(timeout=10).topics
    assert len(topics[topic_names(mine.prefix)[Message]].partitions) == 6
    await_that(lambda: mine.pods() == [], "no worker where there is no message", 120)

    producer = ck.Producer(guarded.admin_config)
    for number in range(MESSAGES):
        value = json.dumps({"id": f"m-{number}", "text": "a quiet evening by the lake"})
        producer.produce(topic_names(mine.prefix)[Message], value, str(number))
    assert producer.flush(30) == 0
    reader = ck.Consumer(
        {
            **guarded.admin_config,
            "group.id": "auditor",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    reader.subscribe([topic_names(mine.prefix)[Label]])
    seen: list[bytes | None] = []

    def all_labelled() -> bool:
        seen.extend(record.key() for record in reader.consume(MESSAGES, 0.5) if not record.error())
        return len(seen) >= MESSAGES

    await_that(all_labelled, "a label for each message, by a worker that KEDA has started", 240)
    reader.close()
    assert len(seen) == MESSAGES

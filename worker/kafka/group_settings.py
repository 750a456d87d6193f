"""What the brokers have set for a consumer group of the newer protocol, in which its clients have no say."""

from collections.abc import Mapping
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    ConfigResource,
    ResourceType,
)

from worker.errors import BrokerError
from worker.kafka.client import make_admin

HEARTBEAT: Final = "consumer.heartbeat.interval.ms"
ASK_TIMEOUT_S: Final = 8.0


def heartbeat_ms(client_config: Mapping[str, Any], group: str) -> int | None:
    """How often the group's members are heard: so long does a partition that moves wait for its reader.

    None: Kafka does not say, as it has no such setting (before 4.0), or as this client may not ask.
    Raises BrokerError: no broker answers.
    """
    asked = ConfigResource(ResourceType.GROUP, group)
    admin = make_admin(client_config)  # without a name, it would be gone before the answer is here
    try:
        answers = admin.describe_configs([asked], request_timeout=ASK_TIMEOUT_S)
        said = answers[asked].result().get(HEARTBEAT)
    except ck.KafkaException as error:
        code = error.args[0].code()
        if code < 0 and code != ck.KafkaError._UNSUPPORTED_FEATURE:  # the client's own, and no broker's word
            raise BrokerError(
                f"no broker says what is set for group {group}: {error.args[0].name()}"
            ) from None
        return None
    return None if said is None or said.value is None else int(said.value)

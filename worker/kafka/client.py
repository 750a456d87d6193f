"""What every Kafka client here shares: how librdkafka's own troubles are logged."""

import confluent_kafka as ck
import structlog

log = structlog.get_logger()

# What librdkafka mends by itself by reconnecting: worth a line, not an exit.
_PASSING = {ck.KafkaError._TRANSPORT, ck.KafkaError._ALL_BROKERS_DOWN, ck.KafkaError._TIMED_OUT}


def log_error(error: ck.KafkaError) -> None:
    """For `error_cb`: connection troubles at info, anything else as a warning."""
    level = log.info if error.code() in _PASSING else log.warning
    level("kafka_client_error", code=error.name(), fatal=error.fatal())

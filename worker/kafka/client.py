"""Makes Kafka clients, and logs what librdkafka reports by itself."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import confluent_kafka as ck
import structlog
from confluent_kafka.admin import AdminClient

from worker.errors import BrokerError

Client = TypeVar("Client")

log = structlog.get_logger()

# librdkafka recovers from these by reconnecting, so they are logged and stop nothing.
_PASSING = {ck.KafkaError._TRANSPORT, ck.KafkaError._ALL_BROKERS_DOWN, ck.KafkaError._TIMED_OUT}


def log_error(error: ck.KafkaError) -> None:
    """A callback for `error_cb`: logs connection errors at info, and anything else as a warning."""
    level = log.info if error.code() in _PASSING else log.warning
    level("kafka_client_error", code=error.name(), fatal=error.fatal())


class _ToStructlog(logging.Handler):
    """Writes librdkafka's log lines, such as those on reset offsets, in the worker's own format."""

    def emit(self, record: logging.LogRecord) -> None:
        level = log.warning if record.levelno >= logging.WARNING else log.info
        level("kafka_client_says", line=record.getMessage())


def make(client: Callable[..., Client], config: dict[str, Any]) -> Client:
    """Make a consumer or producer. Raises BrokerError: the client settings are wrong."""
    try:
        return client(config, logger=_logger())
    except ck.KafkaException as error:
        raise BrokerError(f"the Kafka client settings are wrong: {error.args[0].str()}") from None


def make_admin(config: Mapping[str, Any]) -> AdminClient:
    """Make an admin client. Raises BrokerError: the client settings are wrong."""
    try:
        # With error_cb, librdkafka's errors go to the log instead of to stderr.
        whole: dict[str, Any] = {"error_cb": log_error, "log_level": 0, **config}
        return AdminClient(whole)
    except ck.KafkaException as error:
        raise BrokerError(f"the Kafka client settings are wrong: {error.args[0].str()}") from None


def _logger() -> logging.Logger:
    logger = logging.getLogger("mimamori.kafka")
    if not logger.handlers:
        logger.addHandler(_ToStructlog())
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger

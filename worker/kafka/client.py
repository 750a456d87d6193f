"""Makes Kafka clients, logs what librdkafka reports by itself, and says why Kafka does not let them in."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from weakref import WeakSet

import confluent_kafka as ck
import structlog
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public names that its types do not re-export
    AdminClient,
    ClusterMetadata,
)

from schemas.access import TokenFile
from schemas.refusals import line_of, probe
from schemas.rights import Right, complaint
from schemas.tls_files import FileFault, TlsFiles
from worker.errors import BrokerError
from worker.kafka.refusals import PREFIX, REFUSALS, SAY_AGAIN_S

Client = TypeVar("Client")

log = structlog.get_logger()

# librdkafka recovers from these by reconnecting, so they are logged and stop nothing.
_PASSING = {ck.KafkaError._TRANSPORT, ck.KafkaError._ALL_BROKERS_DOWN, ck.KafkaError._TIMED_OUT}

# A refusal counts for a start after this time: of several brokers another may let in, and one that has just
# been told of a user may know it now.
SURELY_S: Final = 3.0
LOOK_EVERY_S: Final = 0.5


class _Consumer(ck.Consumer):
    """One that can be found again as long as it lives."""


class _Producer(ck.Producer):
    """The same."""


_FOUND_AGAIN: Final[Mapping[Any, Any]] = {ck.Consumer: _Consumer, ck.Producer: _Producer}
_living: Final[WeakSet[Any]] = WeakSet()
_renewed: Final[dict[str, str]] = {}  # passwords by user, in place of those of older configurations


def log_error(error: ck.KafkaError) -> None:
    """A callback for `error_cb`: logs connection errors at info, and anything else as a warning.

    What Kafka has against this client is an error, said in words, once a minute.
    """
    if REFUSALS.note(error):
        return
    level = log.info if error.code() in _PASSING else log.warning
    level("kafka_client_error", code=error.name(), fatal=error.fatal())


# What differs from one try to the next: how long it took, and how often the client itself kept quiet.
_TIMES: Final = re.compile(r"after \d+ms|, \d+ identical error\(s\) suppressed")


class ToStructlog(logging.Handler):
    """Writes librdkafka's log lines, such as those on reset offsets, in the worker's own format.

    A client that tries in vain says the same ten times a second: it is written down once a minute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`, which calls it from any thread, one at a time."""
        line, now = record.getMessage(), time.monotonic()
        what = _TIMES.sub("", line)
        if now - self._said.get(what, float("-inf")) < SAY_AGAIN_S:
            return
        self._said = {each: at for each, at in self._said.items() if now - at < SAY_AGAIN_S}
        self._said[what] = now
        level = log.warning if record.levelno >= logging.WARNING else log.info
        level("kafka_client_says", line=line)


def make(client: Callable[..., Client], config: Mapping[str, Any]) -> Client:
    """Make a consumer or producer. Raises BrokerError: the client settings are wrong."""
    return cast("Client", _made(_FOUND_AGAIN.get(client, client), config, logger=_logger()))


def make_admin(config: Mapping[str, Any]) -> AdminClient:
    """Make an admin client. Raises BrokerError: the client settings are wrong."""
    # With error_cb, librdkafka's errors go to the log instead of to stderr.
    whole: dict[str, Any] = {"error_cb": log_error, "log_level": 0, **config}
    return cast("AdminClient", _made(AdminClient, whole))


def check_may_read(error: ck.KafkaError, topic: str, config: Mapping[str, Any]) -> None:
    """Raise BrokerError where the error of a read says that this client may not read the topic at all."""
    if error.code() == ck.KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise BrokerError(complaint(config.get("sasl.username", ""), [Right("topic", topic, "Read")]))


def renew_password(user: str, password: str) -> int:
    """Let clients log in with another password from now on, those that live and those to come.

    Connections stay: Kafka asks again at the next one. Returns how many clients live.
    """
    _renewed[user] = password
    living = list(_living)
    for client in living:
        with suppress(RuntimeError):  # a consumer that is closed
            client.set_sasl_credentials(user, password)
    return len(living)


def reach(admin: AdminClient, config: Mapping[str, Any], within_s: float) -> ClusterMetadata:
    """Ask which brokers and topics there are.

    Raises BrokerError, which says why Kafka does not let this client in, where that is known; and
    KafkaException where nobody answers within `within_s`.
    """
    began = time.monotonic()
    while True:
        left = began + within_s - time.monotonic()
        try:
            return admin.list_topics(timeout=max(0.01, min(LOOK_EVERY_S, left)))
        except ck.KafkaException:
            admin.poll(0)  # serves error_cb
            refused = REFUSALS.since(began)
            if refused and (left <= LOOK_EVERY_S or time.monotonic() - began >= SURELY_S):
                raise BrokerError(why_not(config) or refused.line(config)) from None
            if left <= LOOK_EVERY_S:
                if said := why_not(config):
                    raise BrokerError(said) from None
                raise


def why_not(config: Mapping[str, Any]) -> str | None:
    """Why TLS to the brokers fails, found by a connection of its own; None where TLS is not the reason."""
    context = None
    if str(config.get("security.protocol", "")).lower().endswith("ssl"):
        named = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location")
        ca, shown, key = (Path(str(config[name])) if name in config else None for name in named)
        try:
            context = TlsFiles(ca, shown, key, config.get("ssl.key.password")).context()
        except (FileFault, OSError):
            return None
    found = probe(str(config["bootstrap.servers"]), context)
    return None if found is None else line_of(found[1], PREFIX, found[0])


def _made(client: Callable[..., Any], config: Mapping[str, Any], **more: Any) -> Any:
    whole = dict(config)
    if (password := _renewed.get(whole.get("sasl.username", ""))) is not None:
        whole["sasl.password"] = password
    try:
        if isinstance(token := whole.get("oauth_cb"), TokenFile):
            token.read()  # librdkafka would wait in vain for ten seconds
        made = client(whole, **more)
    except ck.KafkaException as error:
        raise BrokerError(f"the Kafka client settings are wrong: {error.args[0].str()}") from None
    except FileFault as fault:
        raise BrokerError(fault.line(PREFIX)) from None
    with suppress(TypeError):  # of another class, for tests
        _living.add(made)
    user = whole.get("sasl.username", "")
    if (now := _renewed.get(user)) is not None and now != whole.get("sasl.password"):  # renewed meanwhile
        made.set_sasl_credentials(user, now)
    return made


def _logger() -> logging.Logger:
    logger = logging.getLogger("mimamori.kafka")
    if not logger.handlers:
        logger.addHandler(ToStructlog())
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger

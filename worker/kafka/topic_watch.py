"""Notices when a topic was deleted and made again: Kafka gives the new one another id.

A client follows a topic's name. Where the topic is deleted and made again while a worker runs, the client
silently reads on at the old offset; librdkafka's maintainers advise to restart the client then (#4898). So
the topic's id is asked for once a second, without waiting for the answer.
"""

import time
from concurrent.futures import Future
from typing import Any

import confluent_kafka as ck

from worker.errors import BrokerError, RetryableError
from worker.kafka.client import make_admin

LOOK_EVERY_S = 1.0
ASK_TIMEOUT_S = 5.0
GONE_AFTER_S = 3.0  # a broker that has just started may not know its topics yet
_NONE = ck.Uuid(0, 0)  # the id that brokers older than 2.8 give


class TopicWatch:
    """Asks for one topic's id. Used by one thread."""

    def __init__(self, config: dict[str, Any], topic: str) -> None:
        self._topic = topic
        self._config = {"client.id": "mimamori-topic-watch", **config}
        self._admin = make_admin(self._config)
        self._asked: Future[Any] | None = None
        self._ask_at = 0.0
        self._absent_since: float | None = None
        self._unanswered_since: float | None = None
        self.partitions = 0  # as of the last answer

    @property
    def silence_s(self) -> float:
        """How long no broker has answered, since the first question without an answer; 0 where one does."""
        since, asked = self._unanswered_since, self._asked
        # An answer may wait to be read while the polling thread waits for batches in flight.
        answered = asked is not None and asked.done() and asked.exception() is None
        return 0.0 if since is None or answered else time.monotonic() - since

    def topic_id(self, timeout_s: float) -> str:
        """Ask for the current id; empty where brokers have none.

        Raises RetryableError: no answer in time, or the topic does not exist at the moment. BrokerError: it
        has not existed for a while.
        """
        return self._read(self._ask(timeout_s), timeout_s)

    def glance(self) -> str:
        """The id as of about a second ago, without waiting; empty where nothing new is known.

        Raises BrokerError: the topic has not existed for a while.
        """
        now = time.monotonic()
        if self._asked is None:
            if now >= self._ask_at:
                self._ask_at = now + LOOK_EVERY_S
                self._admin.poll(0)
                self._asked = self._ask(ASK_TIMEOUT_S)
            return ""
        if not self._asked.done():
            return ""
        asked, self._asked = self._asked, None
        try:
            return self._read(asked, 0)
        except RetryableError:  # other code reports that Kafka does not answer
            return ""

    def _ask(self, timeout_s: float) -> "Future[Any]":
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        topics = ck.TopicCollection([self._topic])
        return self._admin.describe_topics(topics, request_timeout=timeout_s)[self._topic]

    def _read(self, asked: "Future[Any]", timeout_s: float) -> str:
        try:
            found = asked.result(timeout_s + 1)
        except ck.KafkaException as error:
            if error.args[0].code() > 0:  # a broker's own; the client's are negative
                self._unanswered_since = None
            self._note_absence(error.args[0])
            self._ask_another()
            raise RetryableError(f"cannot look at {self._topic}: {error.args[0].name()}") from None
        except TimeoutError:
            self._ask_another()
            raise RetryableError(f"cannot look at {self._topic}: no answer") from None
        self._absent_since = self._unanswered_since = None
        # librdkafka prints ids as plain base64, Kafka's tools as base64url.
        self.partitions = len(found.partitions)
        topic_id = found.topic_id
        return "" if topic_id == _NONE else str(topic_id).replace("+", "-").replace("/", "_")

    def _ask_another(self) -> None:
        """Make a new client, which asks a broker that answers.

        The old one asks the broker that it takes for the controller, and asks it for as long as that one is
        down, though the others answer.
        """
        self._admin = make_admin(self._config)

    def _note_absence(self, error: ck.KafkaError) -> None:
        if error.code() != ck.KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._absent_since = None  # no answer says nothing about the topic
            return
        now = time.monotonic()
        self._absent_since = self._absent_since or now
        if now - self._absent_since >= GONE_AFTER_S:
            raise BrokerError(f"topic {self._topic} is not there: run `mimamori topics apply`")

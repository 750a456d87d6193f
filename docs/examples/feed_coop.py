# ruff: noqa: INP001 - a script, to be copied
"""Submits review cases to ROOST Coop, each at least once. Copy it: it needs confluent_kafka alone.

    COOP_URL=https://coop.example COOP_API_KEY=… COOP_ITEM_TYPE=… python feed_coop.py

KAFKA_BOOTSTRAP is localhost:9092 unless set; KAFKA_CONFIG, a JSON object, adds settings of librdkafka (TLS,
SASL). A case is committed once Coop has accepted it. Where Coop is down or busy, the case is submitted again;
where Coop refuses it, this ends with status 1 and begins with that case when started again, so that none is
passed over. Texts and Coop's answers, which may quote them, are never logged.
"""

import json
import logging
import os
import signal
import sys
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from confluent_kafka import Consumer, KafkaException

TOPIC = os.environ.get("CASES_TOPIC", "mimamori.review-cases")
URL = os.environ["COOP_URL"].rstrip("/") + "/api/v1/items/async/"
HEADERS = {"X-API-KEY": os.environ["COOP_API_KEY"], "Content-Type": "application/json"}
ITEM_TYPE = os.environ["COOP_ITEM_TYPE"]
# A field of the case -> a field of the item type, which you define in Coop. What the model thinks (`kind`,
# `verdict`, `risk`) is left out, so that people judge by themselves, and quality samples look like any case.
FIELDS = {
    "message_id": "messageId",
    "conversation_id": "conversationId",
    "author_id": "authorId",
    "task": "task",
    "priority": "priority",
    "text": "text",
    "sent_at": "sentAt",
    "opened_at": "openedAt",
}
ACCEPTED = 202
LATER = {408, 425, 429, 500, 502, 503, 504}
LONGEST_WAIT_S = 60.0

log = logging.getLogger("feed_coop")


class NoRedirect(HTTPRedirectHandler):
    """A redirect would take the key elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none: the redirect itself is the answer."""


OPENER = build_opener(NoRedirect)


def item_of(case: dict[str, Any]) -> dict[str, Any]:
    """A case as an item. The id stays the same, however often the case is submitted."""
    data = {name: case[field] for field, name in FIELDS.items() if case.get(field) is not None}
    return {"id": case["id"], "typeId": ITEM_TYPE, "data": data}


def submit(item: dict[str, Any]) -> int | str:
    """Try once: Coop's status, or why there is none."""
    body = json.dumps({"items": [item]}).encode()
    try:
        with OPENER.open(Request(URL, body, HEADERS), timeout=30) as answer:  # noqa: S310 - COOP_URL is yours
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code
    except (OSError, HTTPException) as error:
        return type(error).__name__


def deliver(item: dict[str, Any]) -> None:
    """Return once Coop has accepted the item. Exits where Coop refuses it."""
    wait = 1.0
    while (answer := submit(item)) != ACCEPTED:
        if isinstance(answer, int) and answer not in LATER:
            log.error("Coop refuses %s with status %s: see to its item type and key", item["id"], answer)
            sys.exit(1)
        log.warning("Coop did not take %s (%s): again in %g s", item["id"], answer, wait)
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_S)


def main() -> None:
    """Feed Coop until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = {
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092"),
        "group.id": "feed-coop",
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "max.poll.interval.ms": 86_400_000,  # Coop may be down for long; this one keeps its partitions
    }
    consumer = Consumer(settings | json.loads(os.environ.get("KAFKA_CONFIG", "{}")))
    try:
        consumer.subscribe([TOPIC])
        while True:
            if (record := consumer.poll(1.0)) is None:
                continue
            if (error := record.error()) is not None:
                raise KafkaException(error)
            # A record without a value says that the case's text is to be forgotten.
            case = json.loads(record.value() or b"null")
            if case is not None and case["kind"] != "golden":  # behind which there is no message
                deliver(item_of(case))
                log.info("submitted %s", case["id"])
            consumer.commit(message=record, asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()

"""Reads a stretch of one partition, beside Faust, with a consumer that belongs to no group."""

import asyncio

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]  # ships no types
from faust.types import TP

from review.kafka.changelog import ReadBack
from review.kafka.clients import client_settings
from review.settings import ReviewSettings

QUIET_S = 10.0


def reader_of(settings: ReviewSettings) -> ReadBack:
    """A function that reads the records from one offset up to, not with, another: keys and values.

    It raises TimeoutError or KafkaError where Kafka does not answer.
    """

    async def read_back(tp: TP, start: int, stop: int) -> list[tuple[bytes, bytes | None]]:
        consumer = AIOKafkaConsumer(
            **client_settings(settings), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        found: list[tuple[bytes, bytes | None]] = []
        async with asyncio.timeout(QUIET_S):
            await consumer.start()
        try:
            consumer.assign([tp])
            consumer.seek(tp, start)
            async with asyncio.timeout(QUIET_S):
                while await consumer.position(tp) < stop:
                    messages = (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
                    found.extend(
                        (message.key, message.value) for message in messages if message.offset < stop
                    )
        finally:
            await consumer.stop()
        return found

    return read_back

"""Counts and logs partitions that are not read on from where the group left them.

Some of their records are screened by nobody, or twice, for a reason that lies outside of this worker.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from worker.kafka import Restart
from worker.telemetry.metrics import Metrics

log = structlog.get_logger()

_MEANING: Final = {
    "made_again": "the topic was deleted and made again; it is read from its start",
    "truncated": "Kafka has lost records; the partition is read again from its start, under the same ids",
}


def report(restarts: Sequence[Restart], metrics: Metrics) -> None:
    """Count and log each restart."""
    for restart in restarts:
        topic, partition = restart.partition
        metrics.count("mimamori_position_resets_total", reason=restart.reason)
        if restart.reason == "retention":
            metrics.count("mimamori_deleted_unread_records_total", restart.unread)
            log.error(
                "records_deleted_unread",
                topic=topic,
                partition=partition,
                first=restart.left,
                last=restart.begins - 1,
                records=restart.unread,
                meaning="deleted before any worker read them: nobody screened these",
            )
        else:
            log.warning(
                "position_reset",
                topic=topic,
                partition=partition,
                reason=restart.reason,
                committed=restart.left,
                begins=restart.begins,
                meaning=_MEANING[restart.reason],
            )

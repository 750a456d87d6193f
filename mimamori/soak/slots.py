"""The settings of each slot's worker, and the host that it is on: names of its own, as in a StatefulSet."""

import itertools
import secrets
from collections.abc import Mapping
from typing import Any, Final

from mimamori.soak.links import Links, worker
from mimamori.soak.script import LONGEST_TEXT
from schemas.access import only_here
from worker.settings import GroupProtocol

HEALTH_PORT: Final = 9_000  # of the first worker that starts on a host of its own


class Slots:
    """Workers of one group. `places` says where those on hosts of their own tell how they are."""

    def __init__(
        self,
        group: str,
        protocol: GroupProtocol,
        session_s: float,
        more: Mapping[str, Any],
        links: Links | None = None,
    ) -> None:
        """`group` is the prefix of all names too; `more` are further settings of every worker."""
        self._group = group
        self._protocol = protocol
        self._session_s = session_s
        self._more = more
        self._links = links
        self._secret = secrets.token_hex(16)
        self._health_ports = itertools.count(HEALTH_PORT)
        self.places: dict[str, str] = {}  # host:port by slot

    def settings(self, slot: str, bootstrap: str, redis_url: str) -> dict[str, Any]:
        """A slot's settings. Every second slot is a static member."""
        kafka: dict[str, Any] = {}
        if self._protocol == "classic":
            kafka["session.timeout.ms"] = int(self._session_s * 1000)
            kafka["heartbeat.interval.ms"] = int(self._session_s * 150)
        if slot.isdecimal() and number(slot) % 2 == 0:
            kafka["group.instance.id"] = f"{self._group}{slot}"
        return {
            "bootstrap": bootstrap,
            "group": self._group,
            "group_protocol": self._protocol,
            "topic_prefix": self._group,
            "transactional_id": f"{self._group}{slot}",
            "kafka": kafka,
            "redis_url": redis_url,
            "cache_secret": self._secret,
            "max_text_chars": LONGEST_TEXT,
            "lower": 0.8,
            "upper": 0.9,
            "quality_sample_share": 0.01,
            "drain_s": 10,
            "revoke_s": 5,
            # In a network of the soak's own, the brokers have other hosts than loopback.
            **({} if only_here(bootstrap) else {"allow_insecure": "plaintext_kafka"}),
            **self._health(slot),
            **self._more,
        }

    def host(self, slot: str) -> str:
        """The host of a slot's worker; empty where all share one."""
        return "" if self._links is None else worker(number(slot))

    def _health(self, slot: str) -> dict[str, Any]:
        """Where it tells how it is; on a host of its own the soak asks it, each worker at another port."""
        if self._links is None:
            return {"health_port": 0}
        address = self._links.workers[number(slot)]
        port = next(self._health_ports)
        self.places[slot] = f"{address}:{port}"
        return {"health_host": address, "health_port": port}


def number(slot: str) -> int:
    """A slot's number; workers of a storm are where slot 0 is."""
    return int(slot) if slot.isdecimal() else 0

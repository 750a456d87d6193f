"""Brokers that librdkafka brings for its own tests, in this process: one can be down while others answer.

They keep to the protocol only so far. Use them for what a client does, never for what Kafka does.
"""

import ctypes
from pathlib import Path
from typing import Any

import confluent_kafka as ck

_PATH = next(Path(f"{ck.__path__[0]}.libs").glob("librdkafka-*.so*"), None)
HERE = _PATH is not None  # only Linux wheels have the library in a file of its own
_PRODUCER = 0


class MockKafka:
    """So many brokers, numbered from 1. They end with the process."""

    def __init__(self, brokers: int) -> None:
        self._library = ctypes.CDLL(str(_PATH))
        new = self._function("rd_kafka_conf_new", ctypes.c_void_p)()
        client = self._function("rd_kafka_new", ctypes.c_void_p)(
            _PRODUCER, ctypes.c_void_p(new), None, ctypes.c_size_t(0)
        )
        made = self._function("rd_kafka_mock_cluster_new", ctypes.c_void_p)(ctypes.c_void_p(client), brokers)
        self._cluster = ctypes.c_void_p(made)
        self._function("rd_kafka_mock_group_initial_rebalance_delay_ms", None)(self._cluster, 0)
        told = self._function("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p)(self._cluster)
        self.bootstrap: str = told.decode()

    def topic(self, name: str, leader: int) -> None:
        """Make a topic of one partition, which this broker leads."""
        self._do("rd_kafka_mock_topic_create", name.encode(), 1, 1)
        self._do("rd_kafka_mock_partition_set_leader", name.encode(), 0, leader)

    def coordinate(self, kind: str, name: str, broker: int) -> None:
        """Let a broker coordinate a `group` or a `transaction`."""
        self._do("rd_kafka_mock_coordinator_set", kind.encode(), name.encode(), broker)

    def down(self, broker: int) -> None:
        """Let a broker close its connections, and take no more."""
        self._do("rd_kafka_mock_broker_set_down", broker)

    def up(self, broker: int) -> None:
        """Let a broker that was down take connections again."""
        self._do("rd_kafka_mock_broker_set_up", broker)

    def asked(self) -> list[tuple[int, int]]:
        """The requests since the last call: broker, and the request's number in Kafka's protocol."""
        count = ctypes.c_size_t()
        many = self._function("rd_kafka_mock_get_requests", ctypes.POINTER(ctypes.c_void_p))
        found = many(self._cluster, ctypes.byref(count))
        broker = self._function("rd_kafka_mock_request_id", ctypes.c_int32)
        number = self._function("rd_kafka_mock_request_api_key", ctypes.c_int16)
        requests = [ctypes.c_void_p(found[at]) for at in range(count.value)]
        told = [(int(broker(request)), int(number(request))) for request in requests]
        if requests:
            self._function("rd_kafka_mock_request_destroy_array", None)(found, count)
        self._function("rd_kafka_mock_clear_requests", None)(self._cluster)
        return told

    def note_requests(self) -> None:
        """From now on, keep what clients ask for."""
        self._function("rd_kafka_mock_start_request_tracking", None)(self._cluster)

    def _do(self, name: str, *arguments: bytes | int) -> None:
        failed = self._function(name, ctypes.c_int)(self._cluster, *arguments)
        assert not failed, f"{name} failed with {failed}"

    def _function(self, name: str, result: Any) -> Any:
        function = getattr(self._library, name)
        function.restype = result
        return function

"""What the brokers have set for a group: no answer is not the answer that there is no such setting."""

import pytest

from worker.errors import BrokerError
from worker.kafka import group_settings


def test_without_a_broker_nothing_is_said_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_settings, "ASK_TIMEOUT_S", 0.2)
    with pytest.raises(BrokerError, match="no broker says what is set for group of-workers"):
        group_settings.heartbeat_ms({"bootstrap.servers": "127.0.0.1:1"}, "of-workers")

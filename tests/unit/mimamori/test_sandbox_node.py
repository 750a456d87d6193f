"""What each broker of the sandbox is told about its cluster."""

import base64

import pytest
from msgspec.structs import replace

from mimamori.sandbox.kafka_cluster import nodes_of
from mimamori.sandbox.node import Node, cluster_id
from mimamori.sandbox.secured import Secured


def settings(node: Node, secured: Secured | None = None) -> dict[str, str]:
    lines = node.settings(9092, secured).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    """One UUID in 64 begins with a dash in base64, and Kafka's storage tool then did not start."""
    drawn = {cluster_id() for _ in range(3000)}
    assert len(drawn) == 3000
    assert not [one for one in drawn if one.startswith("-")]
    assert {len(base64.urlsafe_b64decode(f"{one}==")) for one in drawn} == {16}


@pytest.mark.parametrize(("brokers", "replicas", "safe"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (5, 3, 2)])
def test_what_counts_is_on_more_brokers_than_may_fail(brokers: int, replicas: int, safe: int) -> None:
    for node in nodes_of(brokers):
        told = settings(node)
        assert told["offsets.topic.replication.factor"] == str(replicas)
        assert told["transaction.state.log.min.isr"] == told["min.insync.replicas"] == str(safe)


def test_all_brokers_name_the_same_voters_and_listeners() -> None:
    """A client is told of the other brokers by the name of the listener that it came through."""
    gates = iter(range(30_001, 30_100))
    nodes = [replace(node, proxied={next(gates): next(gates) for _ in range(2)}) for node in nodes_of(3)]
    all_told = [settings(node) for node in nodes]
    assert len({told["controller.quorum.voters"] for told in all_told}) == 1
    assert [told["node.id"] for told in all_told] == ["1", "2", "3"]
    names = {
        tuple(listener.partition("://")[0] for listener in told["advertised.listeners"].split(","))
        for told in all_told
    }
    assert names == {("CLIENTS", "PROXIED0", "PROXIED1")}
    assert (
        all_told[1]["advertised.listeners"].split(",")[2].endswith(f":{list(nodes[1].proxied.values())[1]}")
    )


def test_a_secured_broker_has_no_listener_without_a_login() -> None:
    (node,) = nodes_of(1)
    protocols = settings(node, Secured.by("secret"))["listener.security.protocol.map"].split(",")
    assert {one.partition(":")[2] for one in protocols} == {"SASL_PLAINTEXT"}

"""Who may reach which pod, and whom each pod may reach."""

from tests.deploy.chart import (
    Renderer,
    all_of_kind,
    component_of,
    of_kind,
)


def test_network_is_closed_unless_it_is_opened(render: Renderer) -> None:
    policies = {component_of(item): item["spec"] for item in all_of_kind(render("default"), "NetworkPolicy")}
    assert policies.keys() == {"worker", "review", "topics"}
    # Only `helm test` asks, and at the port for machines: nobody is let in at the pages by default.
    [rule] = policies["review"]["ingress"]
    assert (len(rule["from"]), rule["ports"]) == (1, [{"port": "http", "protocol": "TCP"}])
    assert all_of_kind(render("default", "networkPolicy.enabled=false"), "NetworkPolicy") == []


def test_network_policy_closes_each_component(render: Renderer) -> None:
    policies = {component_of(item): item["spec"] for item in all_of_kind(render("cpu"), "NetworkPolicy")}
    assert policies.keys() == {"worker", "shadow", "front", "review", "topics", "schemas"}
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies.values())
    assert (policies["topics"]["ingress"], policies["schemas"]["ingress"]) == ([], [])
    ports = {
        component: {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        for component, policy in policies.items()
    }
    assert ports == {
        "worker": {53, 9092, 9093, 6379, 4317, 4319, 443},
        "shadow": {53, 9092, 9093, 4317, 4319, 443},  # and no Redis
        "front": {4317},  # it calls nobody, and this profile opens that port for all
        "review": {53, 9092, 9093, 443, 4317, 4319},
        "topics": {53, 9092, 9093, 4317},
        "schemas": {53, 4317, 443},  # and no Kafka
    }
    machines, people = policies["review"]["ingress"]
    assert (len(machines["from"]), machines["ports"]) == (2, [{"port": "http", "protocol": "TCP"}])
    assert (len(people["from"]), people["ports"]) == (1, [{"port": "desk", "protocol": "TCP"}])
    assert len(policies["worker"]["ingress"][0]["from"]) == 2
    machines, clients = policies["front"]["ingress"]
    assert machines["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert (len(clients["from"]), clients["ports"]) == (1, [{"port": "api", "protocol": "TCP"}])
    alone = render("cpu", "networkPolicy.extraEgress=[]", "networkPolicy.frontFrom=[]")
    front = of_kind(alone, "NetworkPolicy", "front")["spec"]
    assert (front["egress"], len(front["ingress"])) == ([], 1)

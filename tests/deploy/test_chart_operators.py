"""Resources for other operators: topics and rights as `mimamori topics` has them, secrets as named."""

import pytest

from schemas.rights import Names, Part, rights_of
from schemas.strimzi import acls, topic
from schemas.topics import load_topics
from tests.deploy.chart import Manifest, Renderer, all_of_kind, component_of, environment, of_kind, pod_of

USERS: dict[str, list[Part]] = {
    "worker": ["worker"],
    "review": ["desk", "webhooks"],
    "platform": ["platform"],
    "shadow": ["shadow"],
    "scaler": ["scaler"],
}
SHADOW = ["shadow.enabled=true", 'shadow.bundle.claim.name="bundles"']
KEDA = ["worker.staticMembership.enabled=false", "worker.autoscaling.enabled=true"]


@pytest.mark.parametrize("replication", [1, 3])
def test_topics_are_those_that_the_command_would_make(render: Renderer, replication: int) -> None:
    made = all_of_kind(render("static-strimzi", f"kafka.replicationFactor={replication}"), "KafkaTopic")
    wanted = load_topics("safety.", partitions=16, replication_factor=replication)
    assert {item["spec"]["topicName"]: item["spec"] for item in made} == {
        each.name: topic(each) for each in wanted
    }
    assert {item["metadata"]["annotations"]["helm.sh/resource-policy"] for item in made} == {"keep"}
    assert {item["metadata"]["labels"]["strimzi.io/cluster"] for item in made} == {"safety"}
    assert all_of_kind(render("static-strimzi"), "Job") == []


def test_users_have_the_rights_that_the_command_prints_and_no_others(render: Renderer) -> None:
    manifests = render("static-strimzi", *SHADOW, *KEDA, 'worker.group="screening"')
    names = Names("safety.", "screening", "safety.watch-mimamori", "chat-backend")
    made = {component_of(item): item["spec"]["authorization"]["acls"] for item in users(manifests)}
    assert made == {
        component: [each for part in parts for each in acls(rights_of(part, names))]
        for component, parts in USERS.items()
    }
    fewer = {component_of(item) for item in users(render("static-strimzi", 'strimzi.users.platformGroup=""'))}
    assert fewer == {"worker", "review"}


def users(manifests: list[Manifest]) -> list[Manifest]:
    return all_of_kind(manifests, "KafkaUser")


def test_pods_read_the_secrets_that_strimzi_makes(render: Renderer) -> None:
    manifests = render("static-strimzi")
    for component in ("worker", "review"):
        pod = pod_of(manifests, component)
        (kafka,) = [volume for volume in pod["volumes"] if volume["name"] == "kafka"]
        authority, own = (source["secret"] for source in kafka["projected"]["sources"])
        assert authority == {
            "name": "safety-cluster-ca-cert",
            "items": [{"key": "ca.crt", "path": "ca.crt"}],
        }
        assert own["name"] == f"watch-mimamori-{component}"
        assert own["name"] in {user["metadata"]["name"] for user in users(manifests)}
        assert own["items"] == [
            {"key": "user.crt", "path": "tls.crt"},
            {"key": "user.key", "path": "tls.key"},
        ]
    by_password = render(
        "static-strimzi",
        'strimzi.users.authentication="scram-sha-512"',
        'kafka.security.protocol="SASL_SSL"',
        'kafka.security.certificateKey=""',
        'kafka.security.privateKeyKey=""',
    )
    (container,) = pod_of(by_password, "worker")["containers"]
    seen = environment(container, by_password, {"redis-url": "", "cache-secret": ""})
    assert seen["MIMAMORI_SASL_USERNAME"] == "watch-mimamori-worker"
    assert seen["MIMAMORI_SASL_PASSWORD_FILE"] == "/etc/mimamori/kafka/password"  # noqa: S105 - a path
    assert of_kind(by_password, "KafkaUser", "worker")["spec"]["authentication"] == {"type": "scram-sha-512"}
    targets = of_kind(render("static-strimzi", *KEDA), "TriggerAuthentication")["spec"]["secretTargetRef"]
    assert {(each["parameter"], each["name"]) for each in targets} == {
        ("ca", "safety-cluster-ca-cert"),
        ("cert", "watch-mimamori-scaler"),
        ("key", "watch-mimamori-scaler"),
    }


def test_a_secret_of_yours_comes_before_that_of_strimzi(render: Renderer) -> None:
    theirs = render("static-strimzi", 'kafka.security.existingSecrets.worker="own"')
    (kafka,) = [volume for volume in pod_of(theirs, "worker")["volumes"] if volume["name"] == "kafka"]
    assert kafka["projected"]["sources"][1]["secret"]["name"] == "own"


def test_external_secrets_come_before_the_topics_job_and_outlast_an_upgrade(render: Renderer) -> None:
    made = {
        item["metadata"]["name"]: item for item in all_of_kind(render("static-strimzi"), "ExternalSecret")
    }
    assert made.keys() == {"mimamori-cache", "mimamori-review", "mimamori-desk-key"}
    job = of_kind(render("default"), "Job")["metadata"]["annotations"]
    for name, item in made.items():
        annotations = item["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == job["helm.sh/hook"]
        assert int(annotations["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
        assert item["spec"]["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
        assert item["spec"]["target"] == {
            "name": name,
            "creationPolicy": "Orphan",
            "deletionPolicy": "Retain",
        }
    assert made["mimamori-cache"]["spec"]["data"] == [
        {
            "secretKey": "cache-secret",
            "remoteRef": {"key": "safety/cache", "property": "hmac", "version": "2"},
        },
        {"secretKey": "redis-url", "remoteRef": {"key": "safety/redis", "property": "url"}},
    ]
    assert made["mimamori-review"]["spec"]["dataFrom"] == [{"extract": {"key": "safety/desk"}}]

"""What the chart refuses to render, and the line it says why in. Of Kafka: test_chart_guards_kafka.py."""

import pytest

from tests.deploy.chart import CHART, Renderer, RenderError
from tests.deploy.toolbox import Toolbox
from worker.settings import Settings

PUBLIC_KEY = '"-----BEGIN PUBLIC KEY-----\\nMCow\\n-----END PUBLIC KEY-----\\n"'
PLAIN_REGISTRY = 'allowInsecure=["plaintext_registry"]'
CONSUMER = ['worker.settings.group_protocol="consumer"']

REFUSED = [
    ("default", ['kafka.bootstrap=""'], "kafka.bootstrap is empty"),
    ("default", ['kafka.bootstrap="kafka"'], "bootstrap"),
    ("default", ['image.repository="registry.example.org/mimamori:0.1.0-cpu"'], "/image/repository"),
    ("default", ['image.repository="registry.example.org/mimamori@sha256:00"'], "/image/repository"),
    ("default", ['image.tag="0.1.0 cpu"'], "/image/tag"),
    ("default", ['worker.priorityClassName="high: yes"'], "/worker/priorityClassName"),
    # A name without a value, which Helm takes for: without the default.
    ("default", ["networkPolicy.enabled=null"], "missing property 'enabled'"),
    ("default", ["networkPolicy.kafkaPorts=null"], "missing property 'kafkaPorts'"),
    ("default", ["worker.probes.liveness=null"], "missing property 'liveness'"),
    (
        "default",
        ['kafka.bootstrap="a:9093,b:9096"'],
        "kafka.bootstrap is on port 9096, which networkPolicy.kafkaPorts ([9092, 9093]) does not let out",
    ),
    (
        "default",
        ['traces.endpoint="https://collector.example.org"'],
        "traces.endpoint is on port 443, which networkPolicy.tracesPorts ([4318]) does not let out",
    ),
    (
        "default",
        ['review.access.oidc.issuer="https://login.example.org:8443/realms/safety"'],
        "review.access.oidc.issuer is on port 8443, which networkPolicy.identityPorts ([443])",
    ),
    (
        "gpu-keda",
        ['review.access.proxy.keysUrl="https://login.example.org:8443/keys"'],
        "review.access.proxy.keysUrl is on port 8443",
    ),
    (
        "default",
        ['review.webhooks={"url":"https://chat.example.org:8443/hook","existingSecret":"hook"}'],
        "review.webhooks.url is on port 8443",
    ),
    (
        "default",
        ['moreBundles=[{"name":"risk","source":"claim"}]'],
        "risk has source claim but no claim.name",
    ),
    ("default", ['moreBundles=[{"name":"risk","source":"image"}]'], "risk has source image but no image.ref"),
    ("default", ['moreBundles=[{"name":"canary","source":"claim"}]'], "moreBundles"),
    ("default", ['moreBundles=[{"name":"risk","source":"recipe"}]'], "source"),
    ("default", ["canary.enabled=true"], "the bundle canary has source claim but no claim.name"),
    ("default", ["canary.share=0.1"], "canary.share is set but canary.enabled is false"),
    ("cpu", ['canary.bundle.fingerprint=""'], "bundle.fingerprint and that of the bundle canary go together"),
    ("cpu", ["worker.settings.lower=0.1"], "remove them where workers have several bundles"),
    ("cpu", ["canary.share=1.5"], "share"),
    ("default", ["worker.replica=2"], "additional properties 'replica' not allowed"),
    ("default", ["worker.settings.max_token=8"], "additional properties 'max_token' not allowed"),
    ("default", ["worker.settings.max_tokens=0"], "max_tokens"),
    ("default", ["review.settings.keep_marker_days=1"], "not allowed"),
    ("default", ['review.settings.table_keys="x"'], "additional properties 'table_keys' not allowed"),
    ("default", ['review.tableKeys.existingSecret=""'], "name the secret with the keys that seal"),
    (
        "default",
        ['review.access.mode=""'],
        "review.access.mode is empty, and the desk shows people's messages",
    ),
    ("default", ['review.access.mode="local"'], "mode"),
    ("default", ['review.settings.access="local"'], "additional properties 'access' not allowed"),
    ("default", ['review.settings.host="0.0.0.0"'], "additional properties 'host' not allowed"),
    ("default", ['allowInsecure=["local_access"]'], "allowInsecure"),
    (
        "default",
        ['review.extraEnv=[{"name":"MIMAMORI_REVIEW_ACCESS","value":"local"}]'],
        "review.extraEnv must not set MIMAMORI_REVIEW_ACCESS",
    ),
    ("default", ['review.access.publicUrl=""'], "publicUrl is empty"),
    ("default", ['review.access.publicUrl="http://desk.example.org"'], "publicUrl"),
    ("default", ['review.access.oidc.issuer=""'], "mode is oidc but review.access.oidc.issuer is empty"),
    ("default", ['review.access.oidc.issuer="http://login.example.org"'], "issuer"),
    ("default", ['review.access.oidc.clientId=""'], "review.access.oidc.clientId is empty"),
    ("default", ['review.access.oidc.scopes="profile"'], "scopes"),
    ("gpu-keda", ['review.access.proxy.audience=""'], "review.access.proxy.audience is empty"),
    ("gpu-keda", ['review.access.proxy.keysUrl=""'], "review.access.proxy.keysUrl is empty"),
    ("default", ['review.access.caKey="ca.pem"'], "review.access.existingSecret is empty"),
    ("default", ['review.access.clientSecret="x"'], "additional properties 'clientSecret' not allowed"),
    (
        "default",
        ['review.webhooks.url="https://safety.example.org"'],
        "review.webhooks.existingSecret is empty: name the secret with what signs webhooks",
    ),
    ("default", ['review.webhooks.url="http://safety.example.org"'], "url"),
    ("default", ['review.webhooks.types=["case.closed"]'], "types"),
    ("default", ['review.webhooks.secret="whsec_x"'], "additional properties 'secret' not allowed"),
    (
        "default",
        ['review.settings.webhook_secret="whsec_x"'],
        "additional properties 'webhook_secret' not allowed",
    ),
    ("default", ['schemaRegistry.url="registry:8081"'], "url"),
    ("default", ['schemaRegistry.existingSecret="r"'], "is for a schemaRegistry.url"),
    (
        "default",
        ['schemaRegistry.url="https://r"', 'schemaRegistry.caKey="ca"'],
        "schemaRegistry.existingSecret is empty",
    ),
    (
        "default",
        ['schemaRegistry.labelFormat="avro"'],
        "schemaRegistry.labelFormat avro needs a schemaRegistry.url",
    ),
    ("cpu", ['schemaRegistry.labelFormat="protobuf"'], "labelFormat"),
    ("cpu", ['schemaRegistry.labelFormat="plain"'], "register.existingSecret is for a job that logs in"),
    ("cpu", ["schemaRegistry.register.enabled=false"], "register.existingSecret is for a job that logs in"),
    ("cpu", ['schemaRegistry.register.secret="x"'], "additional properties 'secret' not allowed"),
    ("cpu", ['schemaRegistry.userKey=""'], "userKey and passwordKey go together"),
    ("cpu", ['schemaRegistry.tokenKey="token"'], "tokenKey is in place of both"),
    ("cpu", ['schemaRegistry.url="http://r"'], "schemaRegistry.caKey is for an https"),
    (
        "cpu",
        ['schemaRegistry.url="http://r"', 'schemaRegistry.caKey=""'],
        ", and take the credentials: use https, or name plaintext_registry",
    ),
    (
        "default",
        ['schemaRegistry.url="https://registry.example.org"'],
        "schemaRegistry.url is on port 443, which networkPolicy.registryPorts ([8081]) does not let out",
    ),
    (
        "default",
        ['schemaRegistry.url="http://registry/apis/ccompat/v7:8081"', PLAIN_REGISTRY],
        "schemaRegistry.url is on port 80,",
    ),
    (
        "cpu",
        ['schemaRegistry.url="https://registry.example.org:8443/apis"'],
        "schemaRegistry.url is on port 8443,",
    ),
    ("cpu", ['schemaRegistry.url="https://[2001:db8::443]:8443"'], "schemaRegistry.url is on port 8443,"),
    ("default", ['traces.endpoint="collector:4318"'], "endpoint"),
    ("default", ['traces.endpoint="https://me:secret@collector"'], "endpoint"),
    ("default", ["traces.ratio=2"], "ratio"),
    ("default", ['traces.existingSecret="otlp"'], "traces.existingSecret is for a traces.endpoint"),
    (
        "default",
        ['traces.existingSecret="otlp"', 'traces.endpoint="http://collector:4318"'],
        "in plain text to traces.endpoint: use https",
    ),
    ("default", ["podMonitor.enabled=true"], "networkPolicy.metricsFrom is empty, so nobody could scrape"),
    ("default", ["prometheusRule.enabled=true"], "name the job label that your Prometheus gives the pods"),
    (
        "cpu",
        ['prometheusRule.disabled=["MimamoriStaled"]'],
        "disabled names MimamoriStaled, and there is no such",
    ),
    ("cpu", ["prometheusRule.labelsWithinSeconds=20"], "labelsWithinSeconds"),
    (
        "cpu",
        ["worker.autoscaling.enabled=true", "worker.autoscaling.minReplicas=0"],
        "MimamoriNobodyScreens would wake somebody",
    ),
    ("cpu", ['dashboard.label={"a":"b"}'], "additional properties 'label' not allowed"),
    ("default", ['worker.settings.redis_url="redis://x"'], "additional properties 'redis_url' not allowed"),
    ("default", ['cache.password="x"'], "additional properties 'password' not allowed"),
    ("default", ['image.tag="latest"'], "tag"),
    ("default", ["worker.replicas=13"], "exceeds kafka.partitions (12)"),
    ("default", ["worker.drainSeconds=41"], "must exceed worker.drainSeconds (41) by 5"),
    ("default", ["worker.drainSeconds=40.5"], "must exceed worker.drainSeconds (40.5) by 5"),
    ("default", ["worker.gpu.enabled=true"], "a GPU and the device cuda go together"),
    ("default", ['worker.device="cuda"'], "a GPU and the device cuda go together"),
    ("default", ['bundle.source="claim"'], "bundle.claim.name is empty"),
    ("default", ['bundle.source="image"'], "bundle.image.reference is empty"),
    ("default", ['bundle.fingerprint="abc123"'], "fingerprint"),
    ("default", ['bundle.publicKey="key"'], "publicKey"),
    ("default", [f"bundle.publicKey={PUBLIC_KEY}"], "what a pod builds is not signed"),
    ("default", ["front.enabled=true"], "front.tokens.existingSecret is empty, and anyone"),
    ("cpu", ['front.device="cuda"'], "a GPU and the device cuda go together"),
    (
        "cpu",
        ['front.device="cuda"', "front.gpu.enabled=true"],
        "goes by CPU, which says nothing about a GPU",
    ),
    ("cpu", ["front.preStopSeconds=16"], "front.terminationGracePeriodSeconds (45) must exceed"),
    ("cpu", ["front.rollingUpdate.maxSurge=0"], "front.rollingUpdate: maxSurge and maxUnavailable cannot"),
    ("cpu", ['front.resources={"requests":{"cpu":null}}'], "set front.resources.requests.cpu"),
    ("cpu", ["front.autoscaling.minReplicas=9"], "front.autoscaling.minReplicas exceeds maxReplicas"),
    (
        "cpu",
        ['front.extraEnv=[{"name":"MIMAMORI_FRONT_TOKENS","value":"x"}]'],
        "front.extraEnv must not set MIMAMORI_FRONT_TOKENS",
    ),
    (
        "cpu",
        ['front.extraEnv=[{"name":"MIMAMORI_LOWER","value":"0.9"}]'],
        "front.extraEnv must not set MIMAMORI_LOWER",
    ),
    (
        "keda-sasl",
        ['worker.extraEnv=[{"name":"MIMAMORI_GROUP","value":"another than KEDA looks at"}]'],
        "worker.extraEnv must not set MIMAMORI_GROUP",
    ),
    (
        "cpu",
        ['shadow.extraEnv=[{"name":"mimamori_topic_prefix","value":"x."}]'],
        "shadow.extraEnv must not set mimamori_topic_prefix",
    ),
    (
        "default",
        ['worker.podLabels={"app.kubernetes.io/component":"chat"}'],
        "worker.podLabels must not set app.kubernetes.io/component",
    ),
    ("cpu", ['front.settings.tokens="x"'], "additional properties 'tokens' not allowed"),
    ("cpu", ['front.settings.host="x"'], "additional properties 'host' not allowed"),
    ("cpu", ["front.settings.max_texts=0"], "max_texts"),
    ("default", ["shadow.enabled=true"], "shadow.bundle.claim.name is empty"),
    ("default", ["shadow.share=0"], "share"),
    ("default", ['shadow.bundle.source="recipe"'], "source"),
    ("default", ["shadow.settings.max_token=8"], "additional properties 'max_token' not allowed"),
    ("cpu", ['shadow.device="cuda"'], "a GPU and the device cuda go together"),
    ("cpu", ["shadow.replicas=25"], "exceeds kafka.partitions (24)"),
    ("hpa-fetch", ['front.settings.public_url=""'], "front speaks plain HTTP, with people's texts"),
    (
        "hpa-fetch",
        ['front.settings.public_url="http://screen.example.org"'],
        "or plaintext_front in allowInsecure",
    ),
    (
        "keda-sasl",
        [
            'worker.autoscaling.secondsOfWork.authenticationRef="prometheus"',
            'worker.autoscaling.secondsOfWork.authModes="basic"',
        ],
        "would travel in plain text to secondsOfWork.prometheus: use https",
    ),
    ("default", ['schemaRegistry.url="http://registry:8081"'], "could say how messages are read: use https"),
    ("cpu", ['kafka.security.existingSecrets.desk="x"'], "additional properties 'desk' not allowed"),
    ("default", ['allowInsecure=["everything"]'], "allowInsecure"),
    ("gpu-keda", ["worker.autoscaling.maxReplicas=33"], "exceeds kafka.partitions (32)"),
    ("gpu-keda", ["worker.autoscaling.minReplicas=33"], "minReplicas exceeds maxReplicas"),
    ("gpu-keda", ["worker.autoscaling.fallback.replicas=33"], "fallback.replicas exceeds maxReplicas"),
    ("gpu-keda", ["worker.rollingUpdate.maxUnavailable=0"], "cannot both be 0"),
    ("gpu-keda", ['worker.rollingUpdate={"maxSurge":"0%","maxUnavailable":0}'], "cannot both be 0"),
    ("default", ["worker.drainSeconds=14"], "(14) is less than the batches in flight may take (15 s)"),
    ("default", ["worker.settings.max_batch_s=9"], "lower worker.settings.max_batch_s"),
    ("keda-sasl", ["worker.hpa.enabled=true"], "would both scale the workers: set one of them"),
    ("hpa-fetch", ["worker.hpa.maxReplicas=13"], "hpa.maxReplicas (13) exceeds kafka.partitions (12)"),
    ("hpa-fetch", ["worker.hpa.minReplicas=9"], "worker.hpa.minReplicas exceeds maxReplicas"),
    ("hpa-fetch", ["worker.hpa.minReplicas=0"], "minReplicas"),
    (
        "hpa-fetch",
        ['worker.device="cuda"', "worker.gpu.enabled=true"],
        "write worker.hpa.metrics, or use worker.autoscaling",
    ),
    ("hpa-fetch", ['worker.resources={"requests":{"cpu":null}}'], "set worker.resources.requests.cpu"),
    ("static-strimzi", ["worker.hpa.enabled=true"], "worker.staticMembership is for a fixed number"),
    ("default", ['kafka.config={"group.instance.id":"x"}'], "set worker.staticMembership.enabled to true"),
    ("default", ["worker.staticMembership.sessionTimeoutSeconds=5"], "sessionTimeoutSeconds"),
    ("default", ["worker.staticMembership.sessionTimeoutSeconds=301"], "sessionTimeoutSeconds"),
    ("static-strimzi", ['kafka.config={"max.poll.interval.ms":89999}'], "(90) exceeds max.poll.interval.ms"),
    ("static-strimzi", ['kafka.config={"session.timeout.ms":9000}'], "beside worker.staticMembership, whose"),
    (
        "static-strimzi",
        ['kafka.config={"session.timeout.ms":9000}', *CONSUMER],
        "the brokers' group.consumer.session.timeout.ms",
    ),
    ("default", ["worker.autoscaling.secondsOfWork.enabled=true"], "set worker.autoscaling.enabled to true"),
    ("keda-sasl", ['worker.autoscaling.secondsOfWork.prometheus=""'], "address of the Prometheus"),
    ("keda-sasl", ['prometheusRule.job=""'], "name the job label that your Prometheus gives the pods"),
    ("keda-sasl", ['worker.autoscaling.secondsOfWork.authModes="basic"'], "authModes go together"),
    ("keda-sasl", ["worker.autoscaling.secondsOfWork.threshold=0"], "threshold"),
    ("hpa-fetch", ['bundle.fetch.image=""'], "name an image with your object store's client"),
    ("hpa-fetch", ['bundle.fetch.image="tools/s3:1.0"'], "bundle/fetch/image"),
    ("hpa-fetch", ["bundle.fetch.command=[]", "bundle.fetch.args=[]"], "neither command nor args"),
    ("hpa-fetch", ['bundle.fingerprint=""', 'bundle.publicKey=""'], "would choose what runs: set bundle.f"),
    ("static-strimzi", ['externalSecrets.secrets=[{"name":"a"}]'], "externalSecrets"),
]


@pytest.mark.parametrize(("profile", "changed", "said"), REFUSED)
def test_refuses(render: Renderer, profile: str, changed: list[str], said: str) -> None:
    with pytest.raises(RenderError) as refusal:
        render(profile, *changed)
    assert said in str(refusal.value)


@pytest.mark.parametrize("release", ["chat.safety", "1st"])
def test_refuses_a_release_after_which_no_service_can_be_named(toolbox: Toolbox, release: str) -> None:
    done = toolbox.helm("template", release, CHART, "--values", CHART / "ci" / "default-values.yaml")
    assert done.returncode
    assert f"the release {release} cannot be" in done.stderr


def test_refuses_an_image_volume_where_kubernetes_has_none(render: Renderer) -> None:
    with pytest.raises(RenderError, match=r"needs Kubernetes 1\.33 or later"):
        render("gpu-keda", kubernetes="1.32.0")


def test_what_a_drain_must_hold_is_what_the_worker_keeps_in_flight() -> None:
    """The guard of the chart knows these by heart."""
    fields = Settings.model_fields
    assert (fields["max_batches"].default, fields["max_batch_s"].default) == (3, 5.0)


@pytest.mark.parametrize(
    "changed",
    [
        ['schemaRegistry.url="http://registry:8081"', PLAIN_REGISTRY],
        ['schemaRegistry.url="https://registry.example.org/apis"', "networkPolicy.registryPorts=[8081,443]"],
        ['schemaRegistry.url="http://[::1]"', "networkPolicy.registryPorts=[80]", PLAIN_REGISTRY],
        ['schemaRegistry.url="https://registry.example.org"', "networkPolicy.enabled=false"],
        ['kafka.bootstrap="a:9096"', "networkPolicy.kafkaPorts=[9096]"],
        ['kafka.bootstrap="a:9096"', "networkPolicy.enabled=false"],
        ['worker.rollingUpdate={"maxSurge":"25%","maxUnavailable":0}'],
        ['image.repository="registry.example.org:5000/team/mimamori"', 'image.tag="1.0_rc.1"'],
        ['review.access.oidc.issuer="https://login:8443"', "review.enabled=false"],
        ['kafka.config={"session.timeout.ms":9000}'],
        # Spans hold no text: only headers need TLS.
        ['traces.endpoint="http://collector:4318"'],
        ['kafka.security.protocol="SSL"', 'kafka.security.existingSecret=""'],
        ['kafka.security.protocol="PLAINTEXT"', 'allowInsecure=["plaintext_kafka"]'],
        [
            "front.enabled=true",
            'front.tokens.existingSecret="front"',
            'allowInsecure=["plaintext_front"]',
        ],
    ],
)
def test_what_pods_may_reach_or_nobody_hinders_renders(render: Renderer, changed: list[str]) -> None:
    assert render("default", *changed)


def test_the_largest_allowed_renders(render: Renderer) -> None:
    render("default", "worker.replicas=12", "worker.drainSeconds=40")
    render("gpu-keda", "worker.autoscaling.maxReplicas=32", "worker.autoscaling.fallback.replicas=32")

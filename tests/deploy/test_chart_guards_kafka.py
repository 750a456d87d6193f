"""What the chart refuses to render of how pods reach Kafka, and of what makes topics, users and secrets."""

import pytest

from tests.deploy.chart import Renderer, RenderError

# The profile with certificates, by password instead.
SCRAM = ['strimzi.users.authentication="scram-sha-512"', 'kafka.security.protocol="SASL_SSL"']
SCRAM += ['kafka.security.certificateKey=""', 'kafka.security.privateKeyKey=""']

REFUSED = [
    (
        "default",
        ['kafka.security.existingSecret=""'],
        "existingSecret and existingSecrets.review are empty: name the secret with the credentials, or",
    ),
    (
        "default",
        ['kafka.security.protocol="PLAINTEXT"'],
        "what people write in plain text: set SASL_SSL or SSL, or name plaintext_kafka in allowInsecure",
    ),
    (
        "default",
        ['kafka.security.protocol="PLAINTEXT"', 'allowInsecure=["sasl_plaintext"]'],
        "or name plaintext_kafka in allowInsecure",
    ),
    ("worker-only", ["allowInsecure=[]"], "or name plaintext_kafka in allowInsecure"),
    ("keda-sasl", ['allowInsecure=["plaintext_kafka"]'], "or name sasl_plaintext in allowInsecure"),
    (
        "default",
        [
            'kafka.security.saslMechanism="OAUTHBEARER"',
            'kafka.security.oauth.tokenUrl="http://login.example.org"',
        ],
        "kafka.security.oauth.tokenUrl sends the client's secret in plain text: use https",
    ),
    ("keda-sasl", ['kafka.security.existingSecrets.scaler=""'], "existingSecrets.scaler are empty"),
    ("default", ['review.signing.existingSecret=""'], "review.signing.existingSecret is empty"),
    ("default", ['kafka.config={"sasl.password":"x"}'], "kafka.config must not set sasl.password"),
    ("default", ['kafka.config={"ssl.key.password":"x"}'], "kafka.config must not set ssl.key.password"),
    ("keda-sasl", ["allowInsecure=[]"], "or name sasl_plaintext in allowInsecure"),
    ("default", ['kafka.config={"plugin.library.paths":"x"}'], "name foreign_code in allowInsecure"),
    (
        "default",
        ['kafka.config={"enable.ssl.certificate.verification":false}'],
        "name unverified_broker in allowInsecure",
    ),
    ("gpu-keda", ['kafka.security.certificateKey=""'], "certificateKey and privateKeyKey go together"),
    (
        "gpu-keda",
        [
            'kafka.security.privateKeyKey=""',
            'kafka.security.certificateKey=""',
            'kafka.security.privateKeyPasswordKey="x"',
        ],
        "privateKeyPasswordKey needs privateKeyKey",
    ),
    ("cpu", ['kafka.security.saslMechanism="OAUTHBEARER"'], "set one of oauth.tokenUrl and oauth.serviceAcc"),
    ("cpu", ['kafka.security.oauth.tokenUrl="https://login.example"'], "but no token is used"),
    (
        "keda-sasl",
        ['kafka.security.saslMechanism="OAUTHBEARER"', 'kafka.security.oauth.tokenUrl="https://a.example"'],
        "which the chart does not set up for KEDA",
    ),
    ("static-strimzi", ['strimzi.cluster=""'], "strimzi.cluster is empty"),
    ("static-strimzi", ["topics.enabled=true"], "set topics.enabled to false"),
    ("static-strimzi", ['strimzi.users.authentication="scram-sha-512"'], "SASL_SSL goes with scram-sha-512"),
    ("static-strimzi", ['strimzi.users.authentication="tls-external"'], "existingSecrets.review are empty"),
    ("static-strimzi", ['strimzi.namespace="kafka"'], "existingSecrets.review are empty"),
    (
        "static-strimzi",
        ['kafka.security.caSecret=""'],
        "set kafka.security.caSecret to safety-cluster-ca-cert",
    ),
    ("static-strimzi", ['kafka.security.caKey=""'], "caSecret is set but caKey is empty"),
    (
        "static-strimzi",
        [*SCRAM, 'kafka.security.saslMechanism="PLAIN"'],
        "saslMechanism is PLAIN: set SCRAM-SHA-512",
    ),
    (
        "static-strimzi",
        [*SCRAM, "worker.staticMembership.enabled=false", "worker.autoscaling.enabled=true"],
        "Strimzi's has none: set kafka.security.existingSecrets.scaler",
    ),
    ("static-strimzi", ['externalSecrets.store.name=""'], "externalSecrets.store.name is empty"),
    ("static-strimzi", ["externalSecrets.secrets=[]"], "list the secrets to make"),
    ("static-strimzi", ["externalSecrets.enabled=false"], "so that nobody makes them"),
    (
        "static-strimzi",
        ['externalSecrets.secrets=[{"name":"a","extract":"x"},{"name":"a","extract":"y"}]'],
        "externalSecrets.secrets has one name twice",
    ),
]


@pytest.mark.parametrize(("profile", "changed", "said"), REFUSED)
def test_refuses(render: Renderer, profile: str, changed: list[str], said: str) -> None:
    with pytest.raises(RenderError) as refusal:
        render(profile, *changed)
    assert said in str(refusal.value)

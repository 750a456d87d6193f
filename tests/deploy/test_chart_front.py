"""The HTTP front: that it is apart from Kafka, how it ends, and how it scales."""

import re

from tests.deploy.chart import (
    Renderer,
    all_of_kind,
    of_kind,
    pod_of,
)


def test_a_front_knows_nothing_of_kafka_and_leaves_the_service_before_it_drains(render: Renderer) -> None:
    manifests = render("cpu")
    pod = pod_of(manifests, "front")
    (container,) = pod["containers"]
    assert container["args"] == ["serve"]
    assert {volume["name"] for volume in pod["volumes"]} == {
        "bundle",
        "bundle-key",
        "cache",
        "tls",
        "tmp",
        "tokens",
    }
    (waits,) = re.findall(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])
    drain = float(of_kind(manifests, "ConfigMap", "front")["data"]["MIMAMORI_DRAIN_S"])
    assert int(waits) > 0
    assert pod["terminationGracePeriodSeconds"] >= int(waits) + drain + 5
    shown = {
        item["metadata"]["name"]: item["spec"]["ports"] for item in all_of_kind(manifests, "Service", "front")
    }
    assert shown == {
        "watch-mimamori-front": [{"name": "api", "port": 443, "targetPort": "api"}],
        "watch-mimamori-front-probes": [{"name": "http", "port": 8080, "targetPort": "http"}],
    }
    (test,) = pod_of(manifests, "test")["containers"]
    assert "http://watch-mimamori-front-probes:8080/readyz" in test["args"]


def test_a_front_scales_by_its_cpu_or_not_at_all(render: Renderer) -> None:
    manifests = render("cpu")
    deployment = of_kind(manifests, "Deployment", "front")
    assert "replicas" not in deployment["spec"]
    scaler = of_kind(manifests, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 8)
    assert scaler["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    fixed = render("cpu", "front.autoscaling.enabled=false", "front.replicas=3")
    assert all_of_kind(fixed, "HorizontalPodAutoscaler") == []
    assert of_kind(fixed, "Deployment", "front")["spec"]["replicas"] == 3
    budget = of_kind(manifests, "PodDisruptionBudget", "front")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    gpu = render("cpu", 'front.device="cuda"', "front.gpu.enabled=true", "front.autoscaling.enabled=false")
    (container,) = pod_of(gpu, "front")["containers"]
    assert container["image"].endswith("-gpu")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1

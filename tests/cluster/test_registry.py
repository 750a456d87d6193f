"""Labels framed for a schema registry: the chart registers their schema before a worker needs it."""

from collections.abc import Iterator

import pytest

from tests.cluster.helm import RefusedError
from tests.cluster.release import Release, ReleaseOf, is_ready
from tests.fakes.schema_registry import FakeRegistry, schema_registry

INSTALLED_S = "--timeout=120s"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with schema_registry() as registry:
        yield registry


def ready(release: Release) -> set[str]:
    return {pod["metadata"]["uid"] for pod in release.pods() if is_ready(pod)}


@pytest.mark.timeout(600)
def test_an_upgrade_to_framed_labels_registers_them_and_one_that_is_refused_touches_no_worker(
    release: ReleaseOf, registry: FakeRegistry
) -> None:
    mine = release("framed")
    subject = f"{mine.prefix}labels-value"
    plain = mine.values(worker={"replicas": 1})
    mine.helm.install(mine.name, plain, INSTALLED_S)
    before = ready(mine)
    assert len(before) == 1

    def framed(**more: object) -> dict[str, object]:
        return plain | {
            "schemaRegistry": {"url": registry.url, "labelFormat": "avro", **more},
            "allowInsecure": ["plaintext_kafka", "plaintext_registry"],
            "networkPolicy": {"enabled": False},  # which nothing here looks after, and the port is any
        }

    # As Confluent's registry refuses a schema that breaks its readers.
    registry.lie = lambda path: (409, {"error_code": 409, "message": "no"}) if "compat" in path else None
    with pytest.raises(RefusedError):
        mine.helm.upgrade(mine.name, framed(), "--timeout=30s")
    assert ready(mine) == before
    assert registry.subjects == {}
    assert f"refuses the schema for {subject}" in mine.logs()

    registry.lie = lambda _path: None
    mine.helm.upgrade(mine.name, framed(), INSTALLED_S)
    mine.kubectl("rollout", "status", f"deployment/{mine.name}-mimamori-worker", "--timeout=120s")
    (number,) = registry.subjects[subject]
    assert not before & ready(mine)
    assert len(ready(mine)) == 1
    assert f"/schemas/ids/{number}" in registry.asked  # by the new worker, which believes it

    # Nobody registers: the next pod does not start, says why, and the one of before goes on.
    registry.subjects.clear()
    registry.schemas.clear()
    working = ready(mine)
    nobody = framed(register={"enabled": False}) | {"worker": plain["worker"] | {"settings": {"threads": 1}}}
    with pytest.raises(RefusedError):
        mine.helm.upgrade(mine.name, nobody, "--timeout=30s")
    assert ready(mine) == working
    assert "run `mimamori schemas register label --format avro`" in mine.logs()

"""A shadow screens the same messages and changes nothing: its own topic, group, names and cost."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import schemas
from engine.errors import SettingsError
from schemas.events import DeadLetter, Label, Message, ReviewCase, ShadowLabel
from tests.fakes.memory_broker import MemoryBroker, MemoryConsumer, MemoryProducer
from tests.fakes.worker_app import Running, build_app, settings, wait_for
from tests.unit.worker.test_stream import BAD, message
from worker.kafka import Consumer, RebalanceListener
from worker.settings_source import load_settings
from worker.stream.shadow import Sampling
from worker.telemetry.catalogue import CATALOGUE
from worker.telemetry.metrics import Metrics

NAMES = schemas.topic_names()


def shown(metrics: Metrics) -> dict[str, float]:
    from prometheus_client import generate_latest  # noqa: PLC0415 - used here alone

    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        for sample in family.samples
    }


class Pair:
    """A broker with messages, on which a worker and a shadow can run."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self.broker = MemoryBroker()
        for name in NAMES.values():
            self.broker.create(name, 3)
        for number, value in enumerate(values):
            self.broker.append(NAMES[Message], str(number % 7).encode(), value)
        self.metrics = Metrics(shadow=True)

    def run(self, **overrides: object) -> None:
        """Run a worker until it has committed everything."""
        config = settings(**overrides)  # type: ignore[arg-type] # settings, by name
        metrics = self.metrics if config.shadow else Metrics()
        consumers: list[MemoryConsumer] = []

        def consumer_of(listener: RebalanceListener) -> Consumer:
            consumers.append(MemoryConsumer(self.broker, NAMES[Message], listener))
            return consumers[-1]

        worker = Running(
            build_app(config, metrics=metrics), consumer_of, MemoryProducer(self.broker, config.own_group)
        )
        everything = len(self.broker.read(NAMES[Message]))
        wait_for(lambda: self._committed() == everything, why="all offsets")
        worker.stop()
        if worker.error is not None:
            raise worker.error

    def _committed(self) -> int:
        return sum(offset for offset, _ in self.broker.committed.values())

    def shadows(self) -> list[ShadowLabel]:
        return [schemas.decode(ShadowLabel, r.value or b"") for r in self.broker.read(NAMES[ShadowLabel])]


def test_a_shadow_says_what_the_labels_say_and_writes_nothing_else() -> None:
    values = [message(n) for n in range(120)]
    live, shadow = Pair(values), Pair(values)
    live.run()
    shadow.run(shadow=True)
    labels = [schemas.decode(Label, r.value or b"") for r in live.broker.read(NAMES[Label])]
    said = {(one.origin.partition, one.origin.offset): (one.would_be, one.risk) for one in shadow.shadows()}
    assert len(shadow.shadows()) == 120
    assert said == {(one.origin.partition, one.origin.offset): (one.verdict, one.risk) for one in labels}
    for kind in (Label, ReviewCase, DeadLetter):
        assert shadow.broker.read(NAMES[kind]) == []
    assert live.broker.read(NAMES[ShadowLabel]) == []


def test_a_shadow_label_cannot_be_taken_for_a_label() -> None:
    pair = Pair([message(1)])
    pair.run(shadow=True)
    (record,) = pair.broker.read(NAMES[ShadowLabel])
    with pytest.raises(schemas.SchemaMismatch, match="verdict"):
        schemas.decode(Label, record.value or b"")
    headers = dict(record.headers or [])
    assert headers["ce_type"] == b"mimamori.shadow-label"
    assert headers["ce_source"] == b"urn:mimamori:shadow"
    assert headers["ce_id"] == schemas.shadow_label_id(record_origin(record.value)).encode()
    assert not NAMES[ShadowLabel].startswith(
        NAMES[Label]
    )  # a right or a subscription by prefix is not widened


def record_origin(value: bytes | None) -> schemas.Origin:
    return schemas.decode(ShadowLabel, value or b"").origin


def test_what_no_worker_could_screen_is_passed_over_and_counted() -> None:
    pair = Pair([message(1), *BAD.values(), message(2)])
    pair.run(shadow=True)
    assert len(pair.shadows()) == 2
    counted = shown(pair.metrics)
    assert counted["mimamori_shadow_passed_over_total['rejected']"] == len(BAD)


def test_a_share_is_drawn_by_id_the_same_in_every_shadow() -> None:
    values = [message(n) for n in range(400)]
    first, second = Pair(values), Pair(values[::-1])
    for pair in (first, second):
        pair.run(shadow=True, shadow_share=0.25)
    drawn = {one.message_id for one in first.shadows()}
    assert drawn == {one.message_id for one in second.shadows()}
    assert 60 <= len(drawn) <= 140  # four standard deviations around 100
    assert shown(first.metrics)["mimamori_shadow_passed_over_total['share']"] == 400 - len(drawn)


def test_what_comes_faster_than_the_limit_is_passed_over_and_never_waited_for() -> None:
    pair = Pair([message(n) for n in range(600)])
    began = time.monotonic()
    pair.run(shadow=True, shadow_at_most=20)
    allowed = 20 * (1 + time.monotonic() - began) + 1  # a second's worth at once, then the rate
    screened = len(pair.shadows())
    assert 20 <= screened <= allowed
    assert shown(pair.metrics)["mimamori_shadow_passed_over_total['rate']"] == 600 - screened


@given(st.floats(0.5, 200), st.lists(st.floats(0, 3, allow_subnormal=False), min_size=1, max_size=200))
def test_no_span_of_time_holds_more_than_the_rate_and_one_second_of_it(
    rate: float, waits: list[float]
) -> None:
    now = 0.0
    sampling = Sampling(1.0, rate, lambda: now)
    taken: list[float] = []
    for wait in waits:
        now += wait
        if sampling.passes_over("m") is None:
            taken.append(now)
    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], start=first):
            assert last - first + 1 <= max(1.0, rate) + (end - start) * rate + 1e-6


def test_metrics_of_a_shadow_are_in_no_query_on_workers() -> None:
    names = {family.split("[")[0] for family in shown(Metrics(shadow=True))}
    workers = {str(metric.name) for metric in CATALOGUE}
    assert names
    assert all(name.startswith("mimamori_shadow_") for name in names)
    assert not {name for name in workers if name.startswith("mimamori_shadow_")}


def test_a_shadow_joins_another_group_and_writes_under_another_id_than_the_worker_it_copies() -> None:
    given_both = {"group": "mimamori", "transactional_id": "pod-0"}
    worker, shadow = load_settings(**given_both), load_settings(**given_both, shadow=True)
    assert worker.own_group != shadow.own_group
    assert worker.own_transactional_id != shadow.own_transactional_id


@pytest.mark.parametrize("only", [{"shadow_share": 0.5}, {"shadow_at_most": 10}])
def test_a_worker_refuses_to_leave_messages_out(only: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="MIMAMORI_SHADOW=true"):
        load_settings(**only)
    assert load_settings(**only, shadow=True).shadow

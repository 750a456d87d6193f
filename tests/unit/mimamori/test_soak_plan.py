"""What the soak sends and what it breaks: both written by the seed."""

from collections import Counter
from typing import cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimamori.soak.faults import Faults
from mimamori.soak.fleet import Fleet
from mimamori.soak.plan import (
    FIRST,
    KINDS,
    LAST,
    LOSS,
    SHAPES,
    ClusterKind,
    Fault,
    GateKind,
    Kind,
    PacketKind,
    WorkerKind,
    kinds,
    plan,
)
from mimamori.soak.script import LONGEST_TEXT, REASONS, Script, message_id
from worker.errors import RecordError
from worker.stream.decode import decode


def test_a_plan_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert plan(1, 10_000, 20, 3) == plan(1, 10_000, 20, 3)
    assert plan(1, 10_000, 20, 3) != plan(2, 10_000, 20, 3)


@given(
    st.integers(),
    st.integers(100, 10_000_000),
    st.integers(1, 1_500),
    st.integers(2, 9),
    st.integers(1, 5),
    st.booleans(),
)
def test_a_plan_has_every_kind_in_order_while_records_still_come(
    seed: int,
    records: int,
    kills: int,
    workers: int,
    brokers: int,
    network: bool,  # noqa: FBT001 - drawn
) -> None:
    faults = plan(seed, records, kills, workers, brokers, network=network)
    counts = Counter(fault.kind for fault in faults)
    assert set(counts) == set(kinds(brokers, network=network))
    assert counts["kill"] == kills
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    for fault in faults:
        assert int(records * FIRST) <= fault.at <= records * LAST
        assert (0 <= fault.slot < workers) == (fault.kind in get_args(WorkerKind))
        assert (LOSS[0] <= fault.share <= LOSS[1]) == (fault.kind in {"worker_loss", "broker_loss"})


def test_one_broker_alone_is_killed_and_one_of_several_by_its_duty() -> None:
    assert "broker_kill" in kinds(1)
    assert set(kinds(1)) | set(kinds(3)) == set(KINDS) - set(get_args(PacketKind))
    assert set(kinds(3)) - set(kinds(1)) == set(get_args(ClusterKind))


def test_in_a_network_packets_are_lost_on_the_way_and_not_in_a_proxy() -> None:
    assert set(kinds(3, network=True)) - set(kinds(3)) == set(get_args(PacketKind))
    assert set(kinds(3)) - set(kinds(3, network=True)) == set(get_args(GateKind))


def test_every_kind_says_how_it_is_dealt_out() -> None:
    assert set(SHAPES) == set(KINDS)


def test_a_fault_that_is_planned_and_not_handled_is_never_reported_as_struck() -> None:
    unknown = Fault(0, 0.0, cast("Kind", "meteor"), -1, 0.0)
    with Faults([unknown], cast("Fleet", None), None, None) as faults:
        faults.tick(1)  # due from now on
        with pytest.raises(AssertionError, match="meteor"):
            faults.tick(1)
        assert not faults.log
        assert not faults.counts


def test_without_kills_nothing_is_planned() -> None:
    assert plan(1, 10_000, 0, 3) == []


@given(st.integers(0, 2**32), st.integers(0, 500), st.integers(1, 7))
def test_a_script_numbers_every_message_once(seed: int, records: int, partitions: int) -> None:
    script = Script(seed, records, partitions)
    assert sum(script.lengths) == records
    assert max(script.lengths) - min(script.lengths) <= 1
    ids = {message_id(p, n) for p, length in enumerate(script.lengths) for n in range(length)}
    assert len(ids) == records


@pytest.fixture(scope="module")
def script() -> Script:
    return Script(seed=1, records=20_000, partitions=3)


def test_a_script_is_malformed_where_it_says_and_for_the_reason_it_says(script: Script) -> None:
    reasons: Counter[str] = Counter()
    for partition, length in enumerate(script.lengths):
        for sequence in range(length):
            reason = script.reason(partition, sequence)
            if reason is None:
                continue
            reasons[reason] += 1
            with pytest.raises(RecordError) as refusal:
                decode(script.value(partition, sequence), frozenset(), LONGEST_TEXT)
            assert refusal.value.reason == reason
    assert set(reasons) == set(REASONS) - {None}
    assert reasons.total() == script.malformed
    assert 100 < script.malformed < 300


def test_all_else_in_a_script_can_be_read_and_carries_its_number(script: Script) -> None:
    for sequence in range(1_000):
        if script.reason(2, sequence) is None:
            message = decode(script.value(2, sequence), frozenset(), LONGEST_TEXT)
            assert message.id == message_id(2, sequence)
            assert (len(message.text) > LONGEST_TEXT) == script.is_truncated(2, sequence)

"""The sizing model: what any demand must satisfy, what is refused, and what the command prints."""

import json
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from engine.errors import SettingsError
from mimamori.cli import app
from mimamori.sizing import (
    LONGEST,
    MOST,
    Constants,
    Demand,
    DeviceConstants,
    StreamConstants,
    load_constants,
    parse_rate,
    plan,
)

CONSTANTS = Constants(StreamConstants("test", 50_000.0, 30_000.0), DeviceConstants("test", 9_000.0))

RATES = st.floats(0.1, MOST)
SHARES = st.floats(0, 1)
DEMANDS = st.builds(
    Demand,
    rate=RATES,
    tokens=st.floats(1, LONGEST),
    cached=SHARES,
    headroom=st.floats(0.05, 0.9),
    wait_s=st.floats(0.1, 3600),
    outage_s=st.floats(0, 86_400),
    partitions_per_worker=st.integers(1, 10),
)


@given(DEMANDS)
def test_the_capacity_covers_the_rate_with_the_headroom_asked_for(demand: Demand) -> None:
    found = plan(demand, CONSTANTS)
    assert found.capacity * (1 - demand.headroom) >= demand.rate * (1 - 1e-9)
    assert found.capacity == pytest.approx(found.workers * found.worker_rate)
    assert found.utilisation <= 1 - demand.headroom + 1e-9


@given(DEMANDS)
def test_no_worker_is_superfluous(demand: Demand) -> None:
    found = plan(demand, CONSTANTS)
    fewer = (found.workers - 1) * found.worker_rate
    assert found.workers == 1 or fewer * (1 - demand.headroom) < demand.rate * (1 + 1e-9)


@given(DEMANDS, RATES)
def test_a_higher_rate_never_needs_fewer_workers_or_partitions(demand: Demand, other: float) -> None:
    low, high = (
        plan(msgspec.structs.replace(demand, rate=rate), CONSTANTS) for rate in sorted((demand.rate, other))
    )
    assert low.workers <= high.workers
    assert low.partitions <= high.partitions


@given(DEMANDS, st.floats(1, LONGEST), SHARES)
def test_longer_messages_or_fewer_cached_ones_never_need_fewer_workers(
    demand: Demand, tokens: float, cached: float
) -> None:
    light = msgspec.structs.replace(
        demand, tokens=min(tokens, demand.tokens), cached=max(cached, demand.cached)
    )
    assert plan(light, CONSTANTS).workers <= plan(demand, CONSTANTS).workers


@given(DEMANDS)
def test_every_worker_has_the_same_number_of_partitions(demand: Demand) -> None:
    found = plan(demand, CONSTANTS)
    assert found.partitions >= found.workers
    assert found.partitions % found.workers == 0


@given(DEMANDS)
def test_a_backlog_is_worked_off_by_what_the_rate_leaves_free(demand: Demand) -> None:
    found = plan(demand, CONSTANTS)
    backlog = demand.rate * demand.outage_s
    assert found.catch_up_s >= 0
    assert found.catch_up_s * found.capacity == pytest.approx(backlog + demand.rate * found.catch_up_s)
    assert found.lag_budget == math.floor(found.capacity * demand.wait_s)


def test_an_example_by_hand() -> None:
    # 9,000 tokens/s over 30 tokens, 0.4 of them cached: 500 messages/s, 350 with the headroom.
    demand = Demand(rate=7_000, tokens=30, cached=0.4, headroom=0.3)
    found = plan(demand, CONSTANTS)
    assert (found.workers, found.partitions, found.limit) == (20, 40, "device")
    assert found.worker_rate == pytest.approx(500)
    assert found.cost_per_million(demand, 1.26) == pytest.approx(1.0)  # 25.2 an hour, 25.2 million an hour


def test_where_all_is_cached_the_stream_is_the_limit() -> None:
    found = plan(Demand(rate=100_000, tokens=30, cached=1.0), CONSTANTS)
    assert (found.limit, found.workers) == ("stream", 3)
    assert found.worker_rate == pytest.approx(50_000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", 0.0),
        ("rate", -1.0),
        ("rate", MOST + 1.0),
        ("rate", math.nan),
        ("tokens", 0.0),
        ("tokens", LONGEST + 1.0),
        ("cached", 1.1),
        ("cached", -0.1),
        ("headroom", 0.0),
        ("headroom", 1.0),
        ("wait_s", 0.0),
        ("outage_s", math.inf),
        ("partitions_per_worker", 0),
    ],
)
def test_what_makes_no_sense_is_refused(field: str, value: float) -> None:
    demand = msgspec.structs.replace(Demand(rate=1_000, tokens=30), **{field: value})
    with pytest.raises(SettingsError, match="no plan"):
        plan(demand, CONSTANTS)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50000", 50_000),
        ("50k/s", 50_000),
        ("3M/min", 50_000),
        ("1.8G/h", 5e5),
        ("86400/day", 1),
        ("5_0/s", 50),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "fast", "50kk", "5/fortnight", "k", "5 0"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no rate"):
        parse_rate(text)


def test_the_shipped_constants_are_sound_and_say_where_they_come_from() -> None:
    found = load_constants()
    assert "python -m bench.stream" in found.stream.source
    assert "python -m bench.stream" in found.device.source
    assert found.stream.fresh_records_per_s <= found.stream.cached_records_per_s


@pytest.mark.parametrize("content", [b"", b"[]", b'{"stream": {}}', b"\xff"])
def test_a_file_without_constants_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    with pytest.raises(SettingsError, match=r"mine\.json"):
        load_constants(file)
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"mine\.json"):
        load_constants(file)


def test_the_command_prints_the_plan_and_its_sources(tmp_path: Path) -> None:
    file = tmp_path / "constants.json"
    file.write_bytes(msgspec.json.encode(CONSTANTS))
    asked = ["size", "--rate", "7k/s", "--tokens", "30", "--cached", "0.4", "--constants", str(file)]
    result = CliRunner().invoke(app, [*asked, "--price-per-hour", "1.26"])
    assert result.exit_code == 0
    for word in ("workers", "20", "partitions", "40", "1.00", "1,000,000", "Stream: test", "Device: test"):
        assert word in result.output
    quick = CliRunner().invoke(app, [*asked, "--device-rate", "90000", "--json"])
    assert json.loads(quick.output)["workers"] == 2
    assert json.loads(quick.output)["cost_per_million"] is None

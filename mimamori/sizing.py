"""Computes how many workers and partitions a rate needs, and their cost, from measured constants. Pure.

    rate of a worker  the lower of   stream   records/s that decode, cache, policy and Kafka allow
                                     device   tokens/s of the model over the tokens that are not cached
    workers           rate / (rate of a worker x (1 - headroom)), rounded up
    partitions        a whole number per worker, so that no worker has more to do than another

Stream and device work at the same time, so the slower one sets the worker's rate. The constants were measured
on one machine (`sizing.json`, written by bench/stream.py): measure your own, or give your device's rate.
"""

import math
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from engine.errors import SettingsError

CONSTANTS: Final = Path(__file__).parent / "sizing.json"
MOST: Final = 1_000_000  # messages a second; beyond it, the brokers are the limit and not the workers
LONGEST: Final = 4096  # tokens: MIMAMORI_MAX_MESSAGE_TOKENS, beyond which a message is not read

PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]


class StreamConstants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records a second of one worker whose model takes no time. `source` names the run that measured them.

    `cached_records_per_s` holds where the score cache has every text, `fresh_records_per_s` where it has
    none.
    """

    source: str
    cached_records_per_s: PositiveFloat
    fresh_records_per_s: PositiveFloat


class DeviceConstants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens of messages that one device reads a second, padding included. `source` as above."""

    source: str
    tokens_per_s: PositiveFloat


class Constants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The measured constants."""

    stream: StreamConstants
    device: DeviceConstants


class Demand(msgspec.Struct, frozen=True):
    """The load of a platform, and what it demands of the workers.

    `rate`: messages a second at the peak; `tokens`: of a message, on average; `cached`: the share of messages
    whose text was read before; `headroom`: the share of the workers' capacity that stays free at the peak;
    `wait_s`: how long a message may wait for its label; `outage_s`: how long an outage lasts whose backlog is
    to be caught up with.
    """

    rate: float
    tokens: float
    cached: float = 0.0
    headroom: float = 0.3
    wait_s: float = 5.0
    outage_s: float = 300.0
    partitions_per_worker: int = 2


class Plan(msgspec.Struct, frozen=True):
    """The workers and partitions that meet a demand. Rates are in messages a second."""

    worker_rate: float
    limit: Literal["device", "stream"]
    workers: int
    partitions: int
    capacity: float
    utilisation: float  # of the capacity, at the demand's rate
    lag_budget: int  # records behind, of all partitions together, at which a new message waits `wait_s`
    catch_up_s: float  # to work off the backlog of an outage, while new messages keep arriving

    def cost_per_million(self, demand: Demand, price_per_hour: float) -> float:
        """What a million messages cost at the demand's rate, where a worker costs `price_per_hour`."""
        return self.workers * price_per_hour / 3600 / demand.rate * 1e6


def plan(demand: Demand, constants: Constants) -> Plan:
    """Size the workers for a demand. Raises SettingsError naming the value that is out of range."""
    check(demand)
    stream = constants.stream
    fresh = 1 - demand.cached
    stream_rate = 1 / (demand.cached / stream.cached_records_per_s + fresh / stream.fresh_records_per_s)
    to_read = demand.tokens * fresh  # tokens per message that the device must read
    device_rate = constants.device.tokens_per_s / to_read if to_read else math.inf
    worker_rate = min(stream_rate, device_rate)
    workers = max(1, math.ceil(demand.rate / (worker_rate * (1 - demand.headroom))))
    capacity = workers * worker_rate
    return Plan(
        worker_rate=worker_rate,
        limit="device" if device_rate <= stream_rate else "stream",
        workers=workers,
        partitions=workers * demand.partitions_per_worker,
        capacity=capacity,
        utilisation=demand.rate / capacity,
        lag_budget=math.floor(capacity * demand.wait_s),
        catch_up_s=demand.rate * demand.outage_s / (capacity - demand.rate),
    )


def check(demand: Demand) -> None:
    """Raise SettingsError where a value of the demand is out of range."""
    rules = (
        (0 < demand.rate <= MOST, f"the rate must be above 0 and at most {MOST:,} messages a second"),
        (1 <= demand.tokens <= LONGEST, f"a message has 1 to {LONGEST:,} tokens: more are never read"),
        (0 <= demand.cached <= 1, "the cached share is a number from 0 to 1"),
        (
            0.05 <= demand.headroom <= 0.9,  # noqa: PLR2004 - the line below states both bounds
            "the headroom is a share from 0.05 to 0.9: with none, no backlog is ever worked off",
        ),
        (0 < demand.wait_s < math.inf, "the wait must be above 0 seconds"),
        (0 <= demand.outage_s < math.inf, "the outage must be 0 seconds or more"),
        (demand.partitions_per_worker >= 1, "a worker needs a partition or more"),
    )
    for holds, complaint in rules:  # NaN fails every comparison, and so every rule
        if not holds:
            raise SettingsError(f"no plan: {complaint}")


_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "day": 86_400}
_SUFFIXES: Final = {"k": 1e3, "M": 1e6, "G": 1e9}


def parse_rate(text: str) -> float:
    """Parse "50000", "50k/s", "3M/min" or "2.5G/day" into messages a second. Raises SettingsError."""
    number, _, unit = text.strip().replace("_", "").partition("/")
    factor = _SUFFIXES.get(number[-1:], 1.0)
    try:
        return float(number[:-1] if factor > 1 else number) * factor / _UNITS[unit or "s"]
    except (ValueError, KeyError):
        raise SettingsError(
            f"{text} is no rate: give a number, perhaps with k, M or G, a s, min, h or day (2.5G/day)"
        ) from None


def load_constants(path: Path = CONSTANTS) -> Constants:
    """Read a file that bench/stream.py wrote. Raises SettingsError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Constants)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} holds no constants ({error}): write it with python -m bench.stream --docs"
        ) from None

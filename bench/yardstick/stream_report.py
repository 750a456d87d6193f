"""Holds the results of one run of bench/stream.py, and computes figures from them."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.lanes import LANES
from bench.yardstick.paced import Latency
from bench.yardstick.real_engine import RealEngine
from bench.yardstick.ride import Ride
from bench.yardstick.scaling import Scale

MIXES = ("repeated", "distinct", "malformed")
OURS = "mimamori"
PLAIN = "mimamori at-least-once"
BARE = "confluent-kafka"


@dataclass
class StreamReport:
    """All results, by lane and mix."""

    machine: dict[str, Any]
    records: int
    rides: dict[tuple[str, str], list[Ride]] = field(default_factory=dict)
    latencies: dict[tuple[str, str], Latency] = field(default_factory=dict)
    latency_failed: dict[tuple[str, str], str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    scales: list[Scale] = field(default_factory=list)
    engine: RealEngine | None = None

    def note(self, name: str, mix: str, ride: Ride) -> None:
        """Add a round."""
        self.rides.setdefault((name, mix), []).append(ride)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Every (lane, mix) that was measured, ordered by mix and then as the lanes are."""
        return [(name, mix) for mix in MIXES for name in LANES if (name, mix) in self.rides]

    def twice(self, name: str, mix: str) -> int:
        """The number of surplus outcomes, over all rounds."""
        return sum(ride.twice for ride in self.rides[name, mix])

    def rates(self, name: str, mix: str) -> list[float]:
        """The records a second of each round; empty where the lane failed."""
        return [ride.rate for ride in self.rides.get((name, mix), [])]

    def rate(self, name: str, mix: str = "repeated") -> float:
        """The median rate of the rounds; 0 where there are none."""
        return statistics.median(self.rates(name, mix) or [0.0])

    def cpu(self, name: str, mix: str = "repeated") -> float:
        """The CPU seconds per 1,000 records: the median of the rounds, 0 where there are none."""
        return statistics.median([ride.cpu_per_1000 for ride in self.rides.get((name, mix), [])] or [0.0])

    def ratios(self) -> list[tuple[str, float, float]]:
        """The targets that this run measured, as (name, figure, least figure)."""
        ours = self.rate(OURS)
        wanted = [
            (f"cache hits, exactly-once, over {BARE} (a commit per 5,000)", ours, self.rate(BARE), 0.5),
            (f"… over {BARE} (a commit per 500)", ours, self.rate(f"{BARE} 500"), 0.5),
            ("… over faust", ours, self.rate("faust"), 10.0),
            ("… over quixstreams, exactly-once as well", ours, self.rate("quixstreams"), 0.0),
            ("exactly-once over at-least-once", ours, self.rate(PLAIN), 0.9),
            ("malformed records over cache hits", self.rate(OURS, "malformed"), ours, 0.8),
        ]
        found = [(what, a / b, least) for what, a, b, least in wanted if a and b]
        if self.engine:
            found.append(("Kafka end to end over the engine offline", self.engine.ratio, 0.97))
        return found

    def constants(self, command: str) -> dict[str, Any]:
        """The parts of `mimamori/sizing.json` that this run measured."""
        machine = f"{self.machine['cpu']}, {self.machine['cores']} cores"
        found: dict[str, Any] = {}
        if self.rate(OURS) and self.rate(OURS, "distinct"):
            found["stream"] = {
                "source": f"{command}: one worker on {machine}, the broker on the same cores",
                "cached_records_per_s": round(self.rate(OURS)),
                "fresh_records_per_s": round(self.rate(OURS, "distinct")),
            }
        if self.engine:
            found["device"] = {
                "source": f"{command}: {self.engine.reading} reading, {self.engine.runs}, on {machine}",
                "tokens_per_s": round(self.engine.tokens_per_s),
            }
        return found

    def as_json(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "machine": self.machine,
            "records": self.records,
            "lanes": [
                {
                    "lane": name,
                    "mix": mix,
                    "rate": round(self.rate(name, mix)),
                    "rates": [round(rate) for rate in self.rates(name, mix)],
                    "cpu_s_per_1000": round(self.cpu(name, mix), 5),
                    "twice": self.twice(name, mix),
                    "reasons": self.rides[name, mix][-1].reasons,
                }
                for name, mix in self.rows
            ],
            "latency": [
                {"lane": name, "at": kind, **asdict(one)} for (name, kind), one in self.latencies.items()
            ],
            "scaling": [asdict(one) for one in self.scales],
            "engine": {**asdict(self.engine), "ratio": self.engine.ratio, "cpu_ratio": self.engine.cpu_ratio}
            if self.engine
            else None,
            "ratios": [
                {"what": what, "ratio": ratio, "least": least} for what, ratio, least in self.ratios()
            ],
            "missing": self.missing | {f"{a}, {b}": why for (a, b), why in self.latency_failed.items()},
        }

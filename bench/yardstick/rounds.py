"""Runs rounds over all engines in turn, one at a time, so that a slow minute affects all of them."""

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.spec import Spec
from bench.yardstick.seat import Seat, SeatError

PEAK = "peak"
Say = Callable[[str], None]


@dataclass
class Measured:
    """The result of one engine at one number of shots."""

    rates: list[float] = field(default_factory=list)
    runs: str = ""
    messages: int = 0
    first_score_s: float = 0.0
    rss: int = 0
    answers: list[float | None] = field(default_factory=list)
    failed: str = ""
    peaks: list[dict[str, float]] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """Messages a second: the median of the rounds."""
        return statistics.median(self.rates) if self.rates else None

    def row(self) -> dict[str, Any]:
        """For the JSON file."""
        if self.failed:
            return {"failed": self.failed}
        return {
            "rate": self.rate,
            "min": min(self.rates),
            "max": max(self.rates),
            "rounds": len(self.rates),
            "messages": self.messages,
            "runs": self.runs,
            "first_score_s": round(self.first_score_s, 2),
            "rss_mb": self.rss >> 20,
        }


@dataclass(frozen=True)
class Plan:
    """How much to measure: `seconds` is the time that one engine may take for one round."""

    rounds: int
    seconds: float
    work: Path
    threads: int
    patience_s: float = 900.0


def measure(specs: dict[str, Spec], plan: Plan, say: Say, *, with_peak: bool = True) -> dict[str, Measured]:
    """Load every engine of `specs`, and the peak's process, then run the rounds interleaved.

    A spec's name may have a suffix after a colon (`mimamori:pooled`); the part before it names the engine.
    """
    results = {name: Measured() for name in ((PEAK, *specs) if with_peak else specs)}
    with ExitStack() as stack:
        seats: dict[str, Seat] = {}
        counts: dict[str, int] = {}
        for name, result in results.items():
            say(f"load {name}")
            try:
                seats[name] = stack.enter_context(_seat(name, specs.get(name), plan))
                loaded = seats[name].answer()
            except SeatError as error:
                result.failed = str(error)
                seats.pop(name).__exit__()
                continue
            result.runs = loaded["runs"]
            result.first_score_s = loaded.get("first_score_s", 0.0)
            spec = specs.get(name)
            # A slow engine reads as many messages as fit into its time, evenly spread over the lengths to be
            # fair.
            most = len(spec.rounds[-1]) if spec else 0
            counts[name] = max(2, min(most, int(plan.seconds / loaded.get("row_s", 1.0))))
        for number in range(plan.rounds if seats else 0):
            order = list(seats)
            # Each round begins with another engine, so that none always runs after the same one.
            order = order[number % len(order) :] + order[: number % len(order)]
            for name in order:
                say(f"round {number + 1} of {plan.rounds}: {name}")
                try:
                    _note(results[name], seats[name].ask({"round": number + 1, "rows": counts[name]}))
                except SeatError as error:
                    results[name].failed = str(error)
                    seats.pop(name).__exit__()
    return results


def prepare(name: str, spec: Spec, plan: Plan) -> str:
    """Let an engine convert the model while no other runs. Returns why it failed, or an empty string."""
    command = ["-m", "bench.peers", name, str(_saved(name, spec, plan)), "--prepare"]
    try:
        with Seat(command, plan.work / f"{name}.log", plan.patience_s) as seat:
            seat.answer()
    except SeatError as error:
        return f"its model could not be made: {error}"
    return ""


def _seat(name: str, spec: Spec | None, plan: Plan) -> Seat:
    log = plan.work / f"{name.replace(':', '-')}.log"
    if spec is None:
        return Seat(["-m", "bench.yardstick.machine", str(plan.threads)], log, plan.patience_s)
    path = _saved(name, spec, plan)
    return Seat(["-m", "bench.peers", name.partition(":")[0], str(path)], log, plan.patience_s)


def _saved(name: str, spec: Spec, plan: Plan) -> Path:
    return spec.save(plan.work / f"{name.replace(':', '-')}.{len(spec.prefix)}.json")


def _note(measured: Measured, event: dict[str, Any]) -> None:
    if "peaks" in event:
        measured.peaks.append(event["peaks"])
        return
    measured.rates.append(event["messages"] / event["seconds"])
    measured.messages = event["messages"]
    measured.rss = event.get("rss", 0)
    measured.answers = event["answers"]


def peak(results: list[Measured]) -> tuple[str, float]:
    """The fastest matrix product and its GFLOP/s: the highest of the medians over the rounds."""
    found = [peaks for measured in results for peaks in measured.peaks]
    if not found:
        raise ValueError("the matrix products could not be measured: see peak.log")
    medians = {name: statistics.median(peaks[name] for peaks in found) for name in found[0]}
    name = max(medians, key=medians.__getitem__)
    return name, medians[name]

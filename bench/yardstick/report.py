"""Holds the figures of one run, and shows them as tables and JSON."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.yardstick.flops import mean_flop, shape_of
from bench.yardstick.rounds import Measured, peak
from bench.yardstick.workload import Workload
from engine.bundle import WEIGHTS, Bundle
from engine.reading.reader import load_tokenizer, tokenise_prompt

OURS = "mimamori"


@dataclass
class Report:
    """Filled during the measurement; derived figures are computed on demand."""

    machine: dict[str, Any]
    full: Path
    adapted: Path
    workload: Workload
    data: Path | None
    rates: dict[str, dict[int, Measured]] = field(default_factory=dict)
    prefixes: dict[int, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    peaks: list[Measured] = field(default_factory=list)
    pooled: Measured | None = None
    quality: dict[str, dict[str, Any]] = field(default_factory=dict)
    bundles: dict[int, Bundle] = field(default_factory=dict)

    def add(self, shots: int, prefix: int, results: dict[str, Measured]) -> None:
        """Add the engines' results at one number of shots."""
        self.prefixes[shots] = prefix
        for name, result in results.items():
            self.rates.setdefault(name, {})[shots] = result

    @property
    def gemm(self) -> tuple[str, float]:
        """The matrix product that reached the peak, and its GFLOP/s."""
        return peak(self.peaks)

    def gflop(self, shots: int) -> float:
        """The floating-point operations of one message at this number of shots."""
        lengths = [len(row) for row in self.workload.rows[0]]
        return mean_flop(shape_of(self.full), self.prefixes[shots], lengths) / 1e9

    def bound(self, shots: int) -> float:
        """The bound: messages a second that no engine can exceed."""
        return self.gemm[1] / self.gflop(shots)

    def pooled_figures(self) -> dict[str, Any]:
        """The pooled reading's rate, share of its own bound, and ratio to the prompted one at no shots."""
        if self.pooled is None or self.pooled.failed or not self.pooled.rate:
            return {"failed": self.pooled.failed} if self.pooled else {}
        lengths = self.workload.lengths
        bundle = Bundle.load(self.adapted)
        prefix = len(tokenise_prompt(load_tokenizer(self.adapted), bundle.manifest.prompt).prefix)
        gflop = mean_flop(shape_of(self.adapted), prefix, lengths) / 1e9
        ours = self.rates.get(OURS, {}).get(min(self.prefixes))
        return {
            **self.pooled.row(),
            "layer": bundle.manifest.layer,
            "message_gflop": round(gflop, 3),
            "bound_share": round(self.pooled.rate * gflop / self.gemm[1], 4),
            "times_prompted": round(self.pooled.rate / ours.rate, 2) if ours and ours.rate else None,
            **({"f1_25": self.quality["pooled"]["f1_25"]} if "pooled" in self.quality else {}),
        }

    def memory(self) -> dict[str, Any]:
        """Our process's memory without the weights, after the last round with the fewest shots."""
        ours = self.rates.get(OURS, {}).get(min(self.prefixes))
        if ours is None or ours.failed:
            return {}
        stored = (self.full / WEIGHTS).stat().st_size
        weights = stored // 2 if "bf16" in ours.runs or "fp16" in ours.runs else stored
        return {
            "rss_mb": ours.rss >> 20,
            "weights_mb": weights >> 20,
            "beyond_weights_mb": (ours.rss - weights) >> 20,
            "bundle_to_first_score_s": round(ours.first_score_s, 2),
        }

    def as_json(self) -> dict[str, Any]:
        """All figures for the JSON file; other tools read the first keys."""
        method, gflops = self.gemm
        good = {
            name: {str(shots): round(m.rate, 3) for shots, m in by_shots.items() if m.rate and not m.failed}
            for name, by_shots in self.rates.items()
        }
        ours = good.get(OURS, {})
        return {
            "rates": good,
            "gemm_peak_gflops": round(gflops, 1),
            "message_gflop": {str(shots): round(self.gflop(shots), 3) for shots in self.prefixes},
            "amx": self.machine["cpu_class"] == "amx",
            "pooled": self.pooled_figures(),
            "quality": self.quality,
            "bound_share": {shots: round(rate / self.bound(int(shots)), 4) for shots, rate in ours.items()},
            "bound": {str(shots): round(self.bound(shots), 1) for shots in self.prefixes},
            "gemm_method": method,
            "prefix_tokens": {str(shots): tokens for shots, tokens in self.prefixes.items()},
            "memory": self.memory(),
            "missing": self.missing,
            "details": {
                name: {str(shots): m.row() for shots, m in by_shots.items()}
                for name, by_shots in self.rates.items()
            },
            "messages": len(self.workload.lengths),
            "data": self.data.name if self.data else "our own examples",
            "machine": self.machine,
        }


def terminal(report: Report, console: Console) -> None:
    """Print the tables."""
    method, gflops = report.gemm
    table = Table(title=f"messages a second, {report.machine['cpu']}, {report.machine['cores']} cores")
    table.add_column("engine")
    for shots, prefix in report.prefixes.items():
        table.add_column(f"{shots} shots ({prefix} tokens)", justify="right")
    for name, by_shots in report.rates.items():
        table.add_row(name, *(cell(by_shots.get(shots)) for shots in report.prefixes))
    table.add_row("bound", *(f"{report.bound(shots):.1f}" for shots in report.prefixes))
    share = report.as_json()["bound_share"]
    table.add_row("mimamori / bound", *(f"{share.get(str(shots), 0):.0%}" for shots in report.prefixes))
    console.print(table)
    console.print(f"peak {gflops:.0f} GFLOP/s ({method})")
    if report.quality:
        table = Table("reading", "messages/s", "F1 at 25 labels", "note", title="cost against quality")
        for name, row in report.quality.items():
            score = f"{row['f1_25']} ± {row['f1_sd']}" if "f1_25" in row else "-"
            table.add_row(name, str(row.get("rate", "-")), score, str(row["note"]))
        console.print(table)
    for name, value in {"pooled": report.pooled_figures(), "memory": report.memory()}.items():
        console.print(f"{name}: {value}")
    for name, why in report.missing.items():
        console.print(f"[yellow]{name}: {why}[/]", highlight=False)


def cell(measured: Measured | None) -> str:
    """One figure with its spread, and with the sample's size where that is small."""
    if measured is None:
        return "-"
    if measured.failed or measured.rate is None:
        return f"failed: {measured.failed}"
    return f"{measured.rate:.3g} ({min(measured.rates):.3g}-{max(measured.rates):.3g}; n={measured.messages})"

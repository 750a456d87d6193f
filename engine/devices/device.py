"""What a device promises, and what it requires of a bundle's graph. No device library is imported here."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.bundle import DEEPER, MODEL, Bundle
from engine.device_names import STATES, DeviceName, Output, Precision
from engine.errors import BundleError, DeviceError, MimamoriError

# Measured on two cores (SmolLM2-135M, bf16): 480 tokens a run are 5 % slower for each token than 1,000.
CPU_RUN_COST: Final = 32
# Measured on an H200, where launching a graph's kernels takes as long as 4,400 to 10,400 tokens
# (docs/benchmarks/gpu.md). Packing was tried with 2,048 alone.
GPU_RUN_COST: Final = 2048
# Tokens of one run, padding included. An H200 reads 1.4 to 2.6 times as much with 8192 as with 2048.
RUN_TOKENS: Final[dict[DeviceName, int]] = {"cpu": 2048, "openvino": 2048, "cuda": 8192}

HIDDEN: Final = "hidden"  # what a layer gives for every token: where the second graph of a cascade goes on

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]
States = NDArray[Any]
"""Hidden states [B, L, hidden], in the precision that the graph stores."""


class Device(Protocol):
    """A compiled graph that computes one output, with the prefix's keys and values bound.

    `keeps_tokens`: it also computes the states of single tokens, which `tokens` returns.
    """

    keeps_tokens: bool

    @property
    def name(self) -> DeviceName:
        """The device that really runs, read back from its library."""

    @property
    def precision(self) -> Precision:
        """The precision that really runs, read back where the library reports it."""

    @property
    def threads(self) -> int:
        """The number of threads of a CPU device; 0 where the CPU does not do the work."""

    @property
    def run_cost(self) -> int:
        """The fixed cost of a run, expressed in tokens. Packing weighs it against padding."""

    def run(self, input_ids: Ids, lengths: Ids) -> Floats:
        """Run one forward pass: `input_ids` [B, L] right-padded, `lengths` [B] in 1..L -> [B, …]."""

    def tokens(self, rows: Sequence[int]) -> Floats:
        """Return the token states [len(rows), L, H] of these rows of the last run, whose mean is `pooled`."""

    def settle(self) -> None:
        """Free the memory that loading took and running does not need. Call it after the first run."""


class Part(Device, Protocol):
    """A device with one graph of a cascade: it gives hidden states, or it goes on from some."""

    @property
    def prefix_states(self) -> States | None:
        """The prefix's own hidden states [1, P, hidden], where the graph gives any."""

    def begin(self, input_ids: Ids, lengths: Ids) -> tuple[Floats, States]:
        """As `run`, of a graph that gives hidden states: its output, and those of every token."""

    def resume(self, states: States, input_ids: Ids, lengths: Ids) -> Floats:
        """As `run`, of a graph that goes on from hidden states. Of `input_ids`, the shape alone counts."""


class Prefix(NamedTuple):
    """The prompt's prefix as tokens [P], or to go on from as hidden states [1, P, hidden]."""

    tokens: Ids
    states: States | None = None


def prefix_inputs(prefix: Prefix) -> dict[str, NDArray[Any]]:
    """What a graph takes to run the prefix alone, but for the keys and values before it."""
    inputs = {"input_ids": prefix.tokens[np.newaxis], "lengths": np.array([prefix.tokens.size], np.int64)}
    return inputs if prefix.states is None else inputs | {HIDDEN: prefix.states}


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn any exception of a device library into one DeviceError line, because the types are many."""
    try:
        yield
    except MimamoriError:
        raise
    except Exception as error:  # noqa: BLE001 - that is the point
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
        raise DeviceError(f"{doing} failed: {reason}") from None


class Graph(msgspec.Struct, frozen=True):
    """The part of a bundle's graph that a device runs.

    The layers from `start` to before `layers` take a bound prefix. A graph that `gives` hidden states has
    them as a second output. One that starts above layer 0 takes them as an input. Where the last graph has
    the states of single tokens at its last layer, they are computed as well.
    """

    model: Path
    output: Output
    layers: int
    kv_heads: int
    head_dim: int
    start: int = 0
    gives: bool = False

    @classmethod
    def of(cls, bundle: Bundle, output: Output) -> Self:
        """The graph of `bundle` that computes `output`; of a cascade, the first of its two."""
        manifest = bundle.manifest
        source = manifest.source
        layers = (manifest.shallow or manifest.layer or source.layers) if manifest.bound else 0
        gives = manifest.shallow is not None
        return cls(
            bundle.path / MODEL,
            output,
            layers,
            source.kv_heads,
            source.head_dim,
            gives=gives,
        )

    @classmethod
    def deeper(cls, bundle: Bundle) -> Self:
        """The second graph of the cascade `bundle`."""
        manifest = bundle.manifest
        source, start, layers = manifest.source, manifest.shallow or 0, manifest.layer or 0
        return cls(
            bundle.path / DEEPER,
            "pooled",
            layers,
            source.kv_heads,
            source.head_dim,
            start,
        )

    @property
    def outputs(self) -> list[str]:
        """The names of what every run computes."""
        return [self.output, HIDDEN] if self.gives else [self.output]

    def wanted(self, outputs: Collection[str]) -> list[str]:
        """The names of the outputs to compute, of those that the graph has: `output` is the first."""
        tokens = self.output == "pooled" and not self.gives and STATES in outputs
        return [*self.outputs, *([STATES] if tokens else [])]

    @property
    def past(self) -> list[str]:
        """The names of the inputs that take the prefix's keys and values."""
        layers = range(self.start, self.layers)
        return [f"past_{kind}.{layer}" for layer in layers for kind in ("key", "value")]

    @property
    def present(self) -> list[str]:
        """The names of the outputs that hold a row's own keys and values, in the order of `past`."""
        return [name.replace("past", "present", 1) for name in self.past]

    def no_past(self) -> Floats:
        """The keys and values of an empty prefix: [1, kv_heads, 0, head_dim]."""
        return np.zeros((1, self.kv_heads, 0, self.head_dim), np.float32)

    def verify(self, inputs: Iterable[str], outputs: Iterable[str]) -> None:
        """Raise BundleError where the graph lacks an input or output that the manifest promises."""
        missing = {HIDDEN if self.start else "input_ids", "lengths", *self.past} - set(inputs)
        missing |= {*self.outputs, *self.present} - set(outputs)
        if missing:
            names = ", ".join(sorted(missing)[:4])
            raise BundleError(
                f"{self.model} has no {names}, which its bundle.json asks for: export or adapt it again"
            )

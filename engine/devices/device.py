"""What a device promises, and what it requires of a bundle's graph. No device library is imported here."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.bundle import MODEL, Bundle
from engine.device_names import STATES, DeviceName, Output, Precision
from engine.errors import BundleError, DeviceError, MimamoriError

# Measured on two cores (SmolLM2-135M, bf16): 480 tokens a run are 5 % slower for each token than 1,000.
CPU_RUN_COST: Final = 32

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


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
    """The part of a bundle's graph that a device runs. `layers` is how many layers take a bound prefix.

    `with_tokens`: the states of single tokens are computed as well, where the graph has that output.
    """

    model: Path
    output: Output
    layers: int
    kv_heads: int
    head_dim: int
    with_tokens: bool = False

    @classmethod
    def of(cls, bundle: Bundle, output: Output, *, with_tokens: bool = False) -> Self:
        """The graph of `bundle` that computes `output`."""
        source = bundle.manifest.source
        layers = (bundle.manifest.layer or source.layers) if bundle.manifest.bound else 0
        return cls(bundle.path / MODEL, output, layers, source.kv_heads, source.head_dim, with_tokens)

    def wanted(self, outputs: Collection[str]) -> list[str]:
        """The names of the outputs to compute, of those that the graph has: `output` is the first."""
        tokens = self.with_tokens and STATES in outputs
        return [self.output, *([STATES] if tokens else [])]

    @property
    def past(self) -> list[str]:
        """The names of the inputs that take the prefix's keys and values."""
        return [f"past_{kind}.{layer}" for layer in range(self.layers) for kind in ("key", "value")]

    @property
    def present(self) -> list[str]:
        """The names of the outputs that hold a row's own keys and values, in the order of `past`."""
        return [name.replace("past", "present", 1) for name in self.past]

    def no_past(self) -> Floats:
        """The keys and values of an empty prefix: [1, kv_heads, 0, head_dim]."""
        return np.zeros((1, self.kv_heads, 0, self.head_dim), np.float32)

    def verify(self, inputs: Iterable[str], outputs: Iterable[str]) -> None:
        """Raise BundleError where the graph lacks an input or output that the manifest promises."""
        missing = {"input_ids", "lengths", *self.past} - set(inputs)
        missing |= {self.output, *self.present} - set(outputs)
        if missing:
            names = ", ".join(sorted(missing)[:4])
            raise BundleError(
                f"{self.model} has no {names}, which its bundle.json asks for: export or adapt it again"
            )

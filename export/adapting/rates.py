"""How many messages a second a network reads at each depth: cut there, opened on the device and run."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from engine.bundle import Bundle, Heads
from engine.disguise.twice import TwiceReadingEngine
from engine.identity import MAX_MESSAGE_TOKENS
from engine.load import identity_of
from engine.reading.engines import PooledEngine
from engine.reading.reader import Reader
from export.adapting.cut import cut_bundle
from export.adapting.windowing import CANDIDATES
from export.rate import messages_per_second

# Of many depths these are measured: a reading of one between them takes a time between theirs.
_MEASURED: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)

Open = Callable[[Bundle], Reader]


def worth_measuring(depths: Iterable[int], *also: int) -> list[int]:
    """Those of `depths` that are measured: some, the shallowest, the deepest, and `also`."""
    every = sorted({*depths, *also})
    return [depth for depth in every if depth in {*_MEASURED, every[0], every[-1], *also}]


def measure(
    trimmed: Bundle,
    depths: Sequence[int],
    texts: Sequence[str],
    open_: Open,
    progress: Callable[[int, int], None],
) -> dict[int, float]:
    """Messages a second at each depth, by an engine that reads `texts` as a worker's does.

    The cut graphs lie for that long in the folder of `trimmed` (see `cut.trim`), and borrow its weights.
    Their heads are blank: what they say takes no time.
    """
    rates: dict[int, float] = {}
    for done, depth in enumerate(depths):
        progress(done, len(depths))
        with tempfile.TemporaryDirectory(prefix=".depth-", dir=trimmed.path) as folder:
            cut = cut_bundle(trimmed, depth, Path(folder), borrowed=True)
            rates[depth] = messages_per_second(_engine(cut, open_(cut)), texts)
    progress(len(depths), len(depths))
    return rates


def between(rates: dict[int, float], depths: Iterable[int]) -> dict[int, float]:
    """The rate at every depth. Layers add up in the time of a message: that is interpolated, not the rate.

    No depth takes longer than a deeper one, which reads all that it does and more. Where it was measured so,
    something else held the machine up, and the deeper one's time is taken.
    """
    known = sorted(rates)
    seconds = np.minimum.accumulate([1 / rates[depth] for depth in reversed(known)])[::-1]
    return {depth: float(1 / np.interp(depth, known, seconds)) for depth in depths}


def _engine(cut: Bundle, reader: Reader) -> TwiceReadingEngine:
    identity = identity_of(cut.manifest, CANDIDATES[0], 0.0, reader.device.precision, MAX_MESSAGE_TOKENS)
    hidden, levels = cut.manifest.source.hidden_size, len(cut.manifest.task.level_names)
    blank = Heads(
        mean=np.zeros(hidden, np.float32),
        scale=np.ones(hidden, np.float32),
        risk_weight=np.zeros(hidden, np.float32),
        risk_bias=np.zeros((), np.float32),
        severity_weight=np.zeros((levels, hidden), np.float32),
        severity_bias=np.zeros(levels, np.float32),
    )
    return TwiceReadingEngine(PooledEngine(identity, blank, reader), cut.manifest.task.languages)

"""The readings of a full bundle as ways of screening: adapted heads, and shallower ones that learn from them.

They are fitted to each draw as `mimamori adapt` does. The network reads every text once, at the layers that
the draws chose: what is fitted to a draw is then a matter of seconds. Texts are cut into windows as adapted
bundles cut them, the smallest of `adapt`'s candidates, without its discount for many windows, and are read as
they are written: an engine reads disguised ones twice. Vectors stay in memory, 2 KB a window and layer for a
network of 576 features.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import mode
from typing import Final, NamedTuple

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from engine.bundle import Bundle
from engine.device_names import DeviceChoice, PrecisionChoice
from engine.errors import BundleError, SettingsError
from engine.load import open_reader
from engine.odds import sigmoid
from engine.proof import prove
from engine.reading.reader import Reader
from export.adapting.adapt import FEWEST
from export.adapting.cut import trim
from export.adapting.distilling import own_teacher, student
from export.adapting.heads import (
    Array,
    Chosen,
    Ints,
    Learn,
    Levels,
    Vectors,
    choose,
    fit_platt,
    from_labels,
    out_of_fold,
)
from export.adapting.rates import Open, measure
from export.adapting.stopping import joint_lower
from export.adapting.traffic import Traffic, gather, read_layers, stretches
from export.adapting.windowing import CANDIDATES, UNCUT, read_windows
from export.evaluating.shots import Draw, Progress
from export.examples import LabelledExample
from export.rate import BATCH

_CHUNK: Final = 128
_NO_LEVELS: Final = Levels(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)  # severity is not measured here

Key = tuple[tuple[str, bool], ...]


class Windows(NamedTuple):
    """Vectors of every window at each of some layers, and where each text's windows start [N]."""

    layers: dict[int, Array]
    starts: Ints

    def at(self, layer: int) -> Vectors:
        """The vectors of one layer."""
        return Vectors(self.layers[layer][:, np.newaxis].astype(np.float32), self.starts)


class _Fitted(NamedTuple):
    """The risks of a draw's own examples out of fold [N], and of the test texts [T]."""

    out_of_fold: Array
    risks: Array


class Readings:
    """What the network reads for some draws and one test file. It answers for these alone."""

    def __init__(
        self,
        full: Bundle,
        drawn: Sequence[Draw],
        test: Sequence[LabelledExample],
        progress: Progress,
        *,
        traffic: Iterable[str] | None = None,
        train: Sequence[LabelledExample] = (),
        depths: Sequence[int] = (),
        device: DeviceChoice = "auto",
        precision: PrecisionChoice = "auto",
        threads: int = 0,
    ) -> None:
        """`depths` are distilled on the `traffic`, from which the texts of `train` and `test` are left out.

        Raises BundleError: the bundle is not a full one. DeviceError: as `load_engine`. TaskError: there is
        too little traffic. SettingsError: there is no room for the cut graph.
        """
        if full.manifest.layer is not None or not full.manifest.bound:
            raise BundleError(
                f"{full.path} has no head to fit: give the full bundle that it was adapted from with --train"
            )
        known = [example.text for example in (*train, *test)]
        heard = None if traffic is None else gather(traffic, known)
        opened = partial(open_reader, output="pooled", device=device, precision=precision, threads=threads)
        enough = [each for each in drawn if each.labels >= FEWEST]
        self._known = {text: place for place, text in enumerate(_unique(enough))}
        self._chosen: dict[Key, Chosen] = {}
        self._made: dict[tuple[Key, int | None], _Fitted] = {}
        self.depths: tuple[int, ...] = ()
        self.rates: dict[int, float] = {}
        self.layer = self.shallowest = 0
        self.traffic: Vectors | None = None
        if not enough:
            return
        reader = opened(full)
        prove(reader, full, "pooled")
        self._uncut = _read_uncut(reader, list(self._known), _stage(progress, "read the draws"))
        del reader
        with threadpool_limits(1, "blas"):
            for done, each in enumerate(enough):
                progress("choose the layers", done, len(enough))
                self._chosen[_key(each.examples)] = choose(
                    self._of(each.examples), _labels(each.examples), lambda *_: None
                )
            progress("choose the layers", len(enough), len(enough))
        layers = {each.layer for each in self._chosen.values()}
        self.layer = mode(each.layer for each in self._chosen.values())
        self.shallowest = min(layers)
        self.depths = tuple(sorted({each for each in depths if heard and 0 < each < self.shallowest}))
        try:
            with tempfile.TemporaryDirectory(prefix="mimamori-") as folder:
                trimmed = trim(full, max(layers), Path(folder))
                self._read(trimmed, layers, [example.text for example in test], heard, opened, progress)
        except OSError as error:
            what = f"cannot cut the graph in {tempfile.gettempdir()}: {error.strerror}"
            raise SettingsError(f"{what}; set TMPDIR to a folder with room for the model") from None

    def _read(
        self,
        trimmed: Bundle,
        layers: set[int],
        texts: Sequence[str],
        heard: Traffic | None,
        opened: Open,
        progress: Progress,
    ) -> None:
        """Read the test file, the draws and the traffic at these layers and depths, and time the readings."""
        top = max(layers)
        manifest = msgspec.structs.replace(trimmed.manifest, reading="pooled", layer=top)
        reader = opened(msgspec.structs.replace(trimmed, manifest=manifest))
        wanted = layers | set(self.depths)
        self._test = _read_windows(reader, texts, wanted, _stage(progress, "read the test file"))
        self._windowed = _read_windows(reader, list(self._known), wanted, lambda *_: None)
        if heard is not None:
            parts = stretches(reader, heard.texts)
            self.traffic = read_layers(reader, parts, top, _stage(progress, "read the traffic"))
        del reader
        timed = texts[:: -(-len(texts) // BATCH)]
        depths = sorted({*self.depths, self.layer})
        self.rates = measure(trimmed, depths, timed, opened, _stage(progress, "time the readings"))

    def head(self, examples: Sequence[LabelledExample], depth: int | None = None) -> Array:
        """The risks of the test texts by the head of a draw, or by a shallower one that learnt from it."""
        return self._fitted(examples, depth).risks

    def cascade(self, examples: Sequence[LabelledExample], depth: int, rate: float) -> Array:
        """The risks of the test texts by a cascade of a draw, which may miss `rate` at both depths together.

        A text stops at `depth` where its risk there is below the threshold that `adapt` would set.
        """
        shallow, deep = self._fitted(examples, depth), self._fitted(examples)
        lower = joint_lower(shallow.out_of_fold, deep.out_of_fold, _labels(examples), rate)
        return np.where(shallow.risks < lower, shallow.risks, deep.risks)

    def _fitted(self, examples: Sequence[LabelledExample], depth: int | None = None) -> _Fitted:
        key = (_key(examples), depth)
        if key not in self._made:  # a cascade asks for two that are ways themselves
            self._made[key] = self._fit(examples, depth)
        return self._made[key]

    def _fit(self, examples: Sequence[LabelledExample], depth: int | None) -> _Fitted:
        chosen, labels = self._chosen[_key(examples)], _labels(examples)
        uncut, everyone = self._of(examples), np.arange(len(examples))
        layer = chosen.layer if depth is None else depth
        with threadpool_limits(1, "blas"):
            learn: Learn = from_labels(labels)
            if depth is not None and self.traffic is not None:
                heard = self.traffic.layer(chosen.layer)
                teacher = own_teacher(uncut, chosen, labels, _NO_LEVELS, heard, "the adapted head")
                learn = student(self.traffic.layer(depth), teacher).learn
            windowed = _some(self._windowed.at(layer), [self._known[each.text] for each in examples])
            own = out_of_fold(windowed, 1, labels, learn)
            platt = fit_platt(own, labels)
            head = learn(uncut.means(uncut.layer(layer)), everyone)
            test = self._test.at(layer)
            return _Fitted(
                sigmoid(platt.slope * own + platt.shift),
                sigmoid(platt.slope * test.highest(head(test.layer(1))) + platt.shift),
            )

    def _of(self, examples: Sequence[LabelledExample]) -> Vectors:
        return _some(self._uncut, [self._known[example.text] for example in examples])


def _unique(drawn: Sequence[Draw]) -> list[str]:
    return list(dict.fromkeys(example.text for each in drawn for example in each.examples))


def _key(examples: Sequence[LabelledExample]) -> Key:
    return tuple((example.text, example.at_risk) for example in examples)


def _labels(examples: Sequence[LabelledExample]) -> Ints:
    return np.array([example.at_risk for example in examples], np.int64)


def _read_uncut(reader: Reader, texts: Sequence[str], progress: Callable[[int, int], None]) -> Vectors:
    rows = [read_windows(reader, texts[start : start + _CHUNK], UNCUT) for start in _starts(texts, progress)]
    if not rows:
        return Vectors(np.zeros((0, 1, 1), np.float32), np.zeros(0, np.int64))
    windows = np.concatenate([each.windows for each in rows]).astype(np.float32)
    return Vectors(windows, _joined([each.counts for each in rows]))


def _read_windows(
    reader: Reader, texts: Sequence[str], layers: set[int], progress: Callable[[int, int], None]
) -> Windows:
    kept: dict[int, list[Array]] = {layer: [] for layer in layers}
    counts = []
    for start in _starts(texts, progress):
        read = read_windows(reader, texts[start : start + _CHUNK], CANDIDATES[0])
        counts.append(read.counts)
        for layer, parts in kept.items():
            parts.append(read.windows[:, layer - 1].astype(np.float32))
    return Windows({layer: np.concatenate(parts) for layer, parts in kept.items()}, _joined(counts))


def _starts(texts: Sequence[str], progress: Callable[[int, int], None]) -> Iterable[int]:
    for start in range(0, len(texts), _CHUNK):
        progress(start, len(texts))
        yield start
    progress(len(texts), max(len(texts), 1))


def _joined(counts: Sequence[Ints]) -> Ints:
    """Where each text's windows start, from how many each has."""
    every = np.concatenate(counts)
    return np.cumsum(every) - every


def _some(vectors: Vectors, places: Sequence[int]) -> Vectors:
    """The vectors of some texts, each with all its windows."""
    stops = np.append(vectors.starts[1:], len(vectors.windows))
    windows = [vectors.windows[vectors.starts[place] : stops[place]] for place in places]
    return Vectors(np.concatenate(windows), _joined([np.array([len(each) for each in windows])]))


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)

"""Measures which form of attention is the fastest for a model, a prefix and a device.

Only the lowest layers are run, in each form in turn: the forms differ by the same amount in every layer
without a sliding window, and not at all in a layer with one. If all of the lowest layers have a window, the
plain form stays.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import onnx

from engine.bundle import TOKENIZER, Bundle, Manifest
from engine.bundle.reference import Reference
from engine.devices.choice import Choice
from engine.load import open_reader
from engine.reading.reader import Reader
from export.adapting.cut import cut_graph
from export.building.layout import write_model
from export.exporting.forms import FORMS, Form

Trace = Callable[[Form], onnx.ModelProto]

_LAYERS: Final = 4
_ROUNDS: Final = 7
_TOKENS: Final = 1024  # in one run, about as many as a worker gives its device
_WORTH: Final = 0.97  # of the plain form's time


def fastest_form(
    trace: Trace, manifest: Manifest, reference: Reference, tokenizer: bytes, on: Choice
) -> Form:
    """Measure every form on the device `on`, with the manifest's own prefix, and return the best one.

    The plain form is kept unless another one takes 3 % less time; a smaller difference is noise. In fp16 only
    the plain form is possible, because the sums of the others exceed what fp16 can hold.
    """
    if on.precision == "fp16":
        return FORMS[0]
    layers = min(_LAYERS, manifest.source.layers)
    with tempfile.TemporaryDirectory() as folder:
        readers = {}
        for form in FORMS:
            path = Path(folder) / form
            whole = path / "whole"
            whole.mkdir(parents=True)
            write_model(trace(form), whole)
            cut_graph(whole, layers, path)
            shutil.rmtree(whole)  # it is as large as the model
            (path / TOKENIZER).write_bytes(tokenizer)
            bundle = Bundle(
                path, msgspec.structs.replace(manifest, layer=layers, form=form), "", reference, None, None
            )
            readers[form] = open_reader(bundle, "pooled", device=on.device, precision=on.precision)
        times = _interleaved(readers, reference)
    plain, *others = FORMS
    best = min(others, key=times.__getitem__)
    return best if times[best] < _WORTH * times[plain] else plain


def _interleaved(readers: dict[Form, Reader], reference: Reference) -> dict[Form, float]:
    """Return the median seconds of a run.

    The forms take turns, so that a machine that slows down affects all of them.
    """
    row = max(reference.rows_for(suffix=True), key=len)
    rows = [row] * max(1, _TOKENS // len(row))
    times: dict[Form, list[float]] = {form: [] for form in readers}
    for turn in range(_ROUNDS + 1):
        for form, reader in readers.items():
            began = time.perf_counter()
            reader.rows(rows)
            if turn:  # the first turn warms up
                times[form].append(time.perf_counter() - began)
    return {form: statistics.median(each) for form, each in times.items()}

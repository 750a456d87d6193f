"""Measures which form of attention is the fastest for a model, a prefix and a device.

Only the lowest layers are traced and run, with a few words of the vocabulary, in each form in turn: the forms
differ by the same amount in every layer without a sliding window, and not at all in a layer with one. If all
of the lowest layers have a window, nothing is run and the plain form stays.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from engine.bundle import MODEL
from engine.bundle.reference import Reference
from engine.devices.choice import Choice
from engine.devices.device import Device, Graph, Prefix
from engine.devices.opening import open_device
from export.building.layout import write_model
from export.exporting.forms import FORMS, Form
from export.exporting.shapes import Shapes

Trace = Callable[[Form], onnx.ModelProto]

TRIAL_LAYERS: Final = 4
TRIAL_WORDS: Final = 1024
_ROUNDS: Final = 7
_TOKENS: Final = 1024  # in one run, about as many as a worker gives its device
_WORTH: Final = 0.97  # of the plain form's time


def fastest_form(
    trace: Trace, shapes: Shapes, prefix: Sequence[int], reference: Reference, on: Choice
) -> Form:
    """Measure every form on the device `on`, with the prefix's own length, and return the best one.

    `trace` makes a graph of `shapes` that knows `TRIAL_WORDS` words: each token stands for the one that it is
    modulo that. The plain form is kept unless another one takes 3 % less time; a smaller difference is noise.
    In fp16 only the plain form is possible, because the sums of the others exceed what fp16 can hold.
    """
    if on.precision == "fp16":
        return FORMS[0]
    graphs = {form: trace(form) for form in FORMS}
    if len({_nodes(graph) for graph in graphs.values()}) == 1:
        return FORMS[0]
    with tempfile.TemporaryDirectory() as folder:
        devices: dict[Form, Device] = {}
        for form, graph in graphs.items():
            path = Path(folder) / form
            path.mkdir()
            write_model(graph, path)
            part = Graph(path / MODEL, "pooled", shapes.layers, shapes.kv_heads, shapes.head_dim)
            devices[form] = open_device(on, part, Prefix(np.array(prefix, np.int64) % TRIAL_WORDS))
        times = _interleaved(devices, reference)
    plain, *others = FORMS
    best = min(others, key=times.__getitem__)
    return best if times[best] < _WORTH * times[plain] else plain


def _nodes(graph: onnx.ModelProto) -> tuple[bytes, ...]:
    """What the graph computes, whatever its weights."""
    return tuple(node.SerializeToString(deterministic=True) for node in graph.graph.node)


def _interleaved(devices: dict[Form, Device], reference: Reference) -> dict[Form, float]:
    """Return the median seconds of a run.

    The forms take turns, so that a machine that slows down affects all of them. Each turn is two runs, and
    the second one counts: OpenVINO's threads may still be with the graph that ran before, and then the first
    run has only one of them.
    """
    row = max(reference.rows_for(suffix=True), key=len)
    ids = np.array([row] * max(1, _TOKENS // len(row)), np.int64) % TRIAL_WORDS
    lengths = np.full(len(ids), len(row), np.int64)
    times: dict[Form, list[float]] = {form: [] for form in devices}
    for turn in range(_ROUNDS + 1):
        for form, device in devices.items():
            device.run(ids, lengths)
            began = time.perf_counter()
            device.run(ids, lengths)
            if turn:  # the first turn warms up
                times[form].append(time.perf_counter() - began)
    return {form: statistics.median(each) for form, each in times.items()}

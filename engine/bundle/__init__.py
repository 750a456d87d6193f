"""Reads and verifies a model bundle: the folder that holds everything one worker needs to screen.

    model.onnx + model.onnx.data   the broadcast-prefix graph (cut at a layer, once adapted)
    tokenizer.json                 read by `tokenizers`, without transformers
    bundle.json                    manifest.py: source, task, prompt, label tokens, checksums
    reference.npz                  what the original model answers to samples (reference.py)
    heads.npz, calibration.json    once adapted: the linear heads, the thresholds and what they were fitted on
    deeper.onnx + deeper.onnx.data once adapted as a cascade: model.onnx ends at the shallow depth, and this
                                   goes on from its hidden states
    shallow-heads.npz, shallow-reference.npz   the shallow depth's own
    drift.json                     once adapted with traffic: what its messages are like (expected.py)
    bundle.sig                     once signed (signature.py)

The fingerprint is the sha256 of bundle.json, which holds the sha256 of every other file except the signature.
It stands on every label. A file that bundle.json does not list is never opened. Nothing here imports a device
library.
"""

from engine.bundle.bundle import DEEPER, MODEL, TOKENIZER, WEIGHTS, Bundle, Shallow, weights_of
from engine.bundle.calibration import CALIBRATION, Calibration
from engine.bundle.expected import DRIFT
from engine.bundle.heads import HEADS, SHALLOW_HEADS, Heads
from engine.bundle.manifest import (
    FORMAT,
    MANIFEST,
    LabelToken,
    Manifest,
    Prompt,
    Source,
    read_manifest,
    write_manifest,
)

__all__ = [
    "CALIBRATION",
    "DEEPER",
    "DRIFT",
    "FORMAT",
    "HEADS",
    "MANIFEST",
    "MODEL",
    "SHALLOW_HEADS",
    "TOKENIZER",
    "WEIGHTS",
    "Bundle",
    "Calibration",
    "Heads",
    "LabelToken",
    "Manifest",
    "Prompt",
    "Shallow",
    "Source",
    "read_manifest",
    "weights_of",
    "write_manifest",
]

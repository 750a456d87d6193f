"""The engine: texts in, scores out, on a device that is what the settings say it is.

    load_engine(bundle, …) -> Engine            what the worker's stations use
        Engine    texts  -> Scores              disguised texts twice, language      (twice.py)
        Engine    texts  -> Scores              apply heads, or ask; the riskiest    (reading.py)
        Cutter    texts  -> rows of tokens      whole, or by sentences               (cutting.py)
        Reader    tokens -> rows of numbers     pack, pad, put back in order         (reader.py)
        Device    padded ids -> one output      ONNX Runtime or OpenVINO             (*_device.py)

The batch law: an engine answers a batch with as many scores as it was given texts, in their order,
and a message's scores do not depend on its neighbours (beyond rounding; bf16 rounds coarsely).
Engines are not thread-safe: one thread owns one engine.
"""

from worker.engine.contract import Device, DeviceChoice, Engine, PrecisionChoice
from worker.engine.load import load_engine, open_reader
from worker.engine.reader import Reader
from worker.engine.variant import VERSION as VARIANT

__all__ = [
    "VARIANT",
    "Device",
    "DeviceChoice",
    "Engine",
    "PrecisionChoice",
    "Reader",
    "load_engine",
    "open_reader",
]

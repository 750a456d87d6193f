"""Switches off the telemetry of libraries before any of them is imported. It imports none of them itself.

    ONNX Runtime      to Microsoft, ten seconds after its import; a device id and a database under HOME
    openvino          to Google Analytics at its import; a client id and counters under HOME
    huggingface_hub,  to Hugging Face: who downloads, with what, how fast
    hf_xet
    transformers      asks the hub to convert the weights of a model that has no safetensors

The source of the other libraries was read, and they report nothing: aiohttp, aiokafka, aiolimiter, faust,
jgo, mode, onnx, opentelemetry, optimum, redis, scikit-learn, tenacity, tokenizers, torch. librdkafka sends
its metrics only to the configured broker, and only if that asks for them.

A package that may be the first to import such a library calls this in its `__init__.py`. So it applies to
every command, to `python -m …` and to Python code that imports a part of Mimamori. It cannot undo what was
imported earlier.
"""

import os
import sys
from typing import Final

SWITCHES: Final = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_XET_TELEMETRY_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "true",
}

# openvino's telemetry has no switch except a file under HOME, which may be read-only or not ours to write to.
# If this module cannot be imported, openvino uses the stub that it ships with.
_OPENVINO: Final = "openvino_telemetry"


def keep_quiet() -> None:
    """Switch telemetry off in this process and in those it starts, whatever the environment says."""
    os.environ.update(SWITCHES)
    sys.modules[_OPENVINO] = None  # type: ignore[assignment]  # Python's own way to say: not to be had

"""Switches off what libraries report to their makers, before any of them is imported. Imports none.

    ONNX Runtime      to Microsoft, ten seconds after its import; a device id and a database under HOME
    openvino          to Google Analytics at its import; a client id and counters under HOME
    huggingface_hub,  to Hugging Face: who downloads, with what, how fast
    hf_xet
    transformers      asks the hub to convert the weights of a model that has no safetensors

The others were looked through and report nothing: aiohttp, aiokafka, faust, jgo, mode, onnx, optimum, redis,
scikit-learn, tokenizers, torch. librdkafka tells its metrics to the configured broker alone, and only to one
that asks for them.

Packages that may be the first to import such a library call this in their `__init__.py`, so it holds for
every command, for `python -m …` and for Python that imports a part of Mimamori. It cannot undo what a program
has imported before.
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

# It has no switch but a file under HOME, which might be read-only, or not ours to write to. A module that
# cannot be imported makes openvino take the stub that it brings along.
_OPENVINO: Final = "openvino_telemetry"


def keep_quiet() -> None:
    """Switch all of it off here and in what this process starts, whatever the environment says."""
    os.environ.update(SWITCHES)
    sys.modules[_OPENVINO] = None  # type: ignore[assignment]  # Python's own way to say: not to be had

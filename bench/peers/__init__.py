"""The engines that `bench/engine.py` compares, each run in a process of its own (`python -m bench.peers`).

A peer is a module with a class `Peer` that implements the protocol below. It may have a function
`prepare(spec)`, which makes the model's files that it needs, once. All peers get the same weights and the
same tokens: the prefix once, then rows of message + suffix. Tokenising is not timed.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from engine.quiet import keep_quiet

keep_quiet()  # for types only, since a peer may import nothing but its own engine

Rows = list[list[int]]


class Engine(Protocol):
    """The class `Peer(spec)` of a peer's module. `runs` describes for people what runs."""

    runs: str

    def read(self, rows: Rows) -> list[float | None]:
        """Answer each row: the log-odds of at_risk over clear, or None where the engine gives none."""


@dataclass(frozen=True)
class Entry:
    """A peer's module, what that imports, and how to install it. `idea` is one line for the report."""

    module: str
    needs: tuple[str, ...]
    install: str
    idea: str

    @property
    def missing(self) -> list[str]:
        """The modules that are not installed."""
        return [name for name in self.needs if not _installed(name)]


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is not installed
        return False


_EXPORT = "make install"

ENTRIES: dict[str, Entry] = {
    "mimamori": Entry(
        "bench.peers.ours",
        ("openvino", "onnxruntime"),
        "make install",
        "this repository's engine: prefix broadcast, label rows only",
    ),
    "mimamori-int8": Entry(
        "bench.peers.ours_int8",
        ("openvino", "onnxruntime"),
        "make install",
        "the same with `precision: int8`: feed-forward weights in int8",
    ),
    "openvino-genai": Entry(
        "bench.peers.openvino_batching",
        ("openvino_genai", "gguf"),
        "pip install openvino-genai==2026.4.1.0",
        "ContinuousBatchingPipeline, prefix caching, one new token",
    ),
    "onnxruntime-genai": Entry(
        "bench.peers.onnxruntime_rewind",
        ("onnxruntime_genai", "torch", "transformers"),
        f"{_EXPORT} && pip install onnxruntime-genai==0.14.1",
        "rewinds to the prefix, row by row",
    ),
    "optimum": Entry(
        "bench.peers.optimum_padded",
        ("optimum.onnxruntime", "torch"),
        _EXPORT,
        "ORTModelForCausalLM fp32, full prompt, padded",
    ),
    "torch": Entry(
        "bench.peers.torch_padded", ("torch", "transformers"), _EXPORT, "transformers, full prompt, padded"
    ),
    "ctranslate2": Entry(
        "bench.peers.ctranslate2_static",
        ("ctranslate2", "torch", "transformers"),
        f"{_EXPORT} && pip install ctranslate2==4.8.5",
        "int8, static prompt",
    ),
    "llama.cpp": Entry(
        "bench.peers.llama_server",
        ("xllamacpp",),
        "pip install xllamacpp==2026.10.11549",
        "its server in this process, prompt cache, parallel slots, the GGUF as it is",
    ),
}

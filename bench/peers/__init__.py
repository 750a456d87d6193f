"""The engines that `bench/engine.py` compares, each run in a process of its own (`python -m bench.peers`).

A peer is a module with a class `Peer` that keeps the protocol below, and perhaps a function
`prepare(spec)` that makes the model's files it needs, once. All of them get the same weights and the same
tokens: the prefix once, then rows of message + suffix. Tokenising is nobody's time.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from engine.quiet import keep_quiet

keep_quiet()  # a peer imports its engine by itself, and perhaps nothing else of ours

Rows = list[list[int]]


class Engine(Protocol):
    """What a peer's module offers as `Peer(spec)`. `runs` says what runs, for people."""

    runs: str

    def read(self, rows: Rows) -> list[float | None]:
        """Answer each row: the log-odds of at_risk over clear, or None where the engine keeps them."""


@dataclass(frozen=True)
class Entry:
    """Where a peer is, what it imports, and how to get that. `idea` is one line for the report."""

    module: str
    needs: tuple[str, ...]
    install: str
    idea: str

    @property
    def missing(self) -> list[str]:
        """Modules that this interpreter does not have."""
        return [name for name in self.needs if not _installed(name)]


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
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

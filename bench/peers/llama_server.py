"""llama.cpp's server in this process, through xllamacpp, which PyPI has as a ready wheel.

llama-cpp-python is a source distribution that would compile for minutes. The wheel is built for AVX2, so a
build for this CPU would be faster. Prompt cache and parallel slots are on, and it reads the Q4_1 GGUF.
"""

import xllamacpp

from bench.peers import Rows
from bench.peers.spec import Spec

_SLOTS = 8


class Peer:
    """A server with parallel slots, each of which keeps the prefix."""

    def __init__(self, spec: Spec) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = spec.gguf
        params.n_parallel = _SLOTS
        params.n_ctx = _SLOTS * (-(-(len(spec.prefix) + 128) // 256) * 256)
        params.n_batch = params.n_ubatch = 2048
        params.cont_batching = params.cache_prompt = True
        params.cache_ram_mib = 0  # no row is read twice, so caching rows costs time and gains nothing
        params.n_ctx_checkpoints = 0
        params.warmup = False
        params.verbosity = 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = spec.threads
        self._server = xllamacpp.Server(params)
        self._prefix = spec.prefix
        self._signs = dict(zip(spec.answers, (-1.0, 1.0), strict=True))
        self.runs = f"Q4_1, prompt cache, {_SLOTS} slots, {spec.threads} threads (AVX2 build)"
        self.read(spec.rows[:_SLOTS])  # from here on, each slot holds the prefix

    def read(self, rows: Rows) -> list[float | None]:
        """Score the generated token: +1 for the answer of at_risk, -1 for that of clear, None for another."""
        body = {
            "prompt": [self._prefix + row for row in rows],
            "n_predict": 1,
            "temperature": 0.0,
            "cache_prompt": True,
        }
        reply = self._server.handle_completions(body)
        if "choices" not in reply:
            raise RuntimeError(str(reply.get("error", "the server gave no choices"))[:200])
        choices = sorted(reply["choices"], key=lambda choice: choice["index"])
        return [self._signs.get(choice["text"].strip()) for choice in choices]

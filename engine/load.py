"""Opens a bundle on a device and proves, before the first message, that it runs as asked."""

import os
from typing import Final

import msgspec
import numpy as np
import structlog

from engine.bundle import TOKENIZER, Bundle
from engine.bundle.tokenizer_trial import try_tokenizer
from engine.contract import Engine
from engine.devices.choice import Choice, choose
from engine.devices.device import Device, Graph, Ids
from engine.devices.onnxruntime import OnnxRuntimeDevice
from engine.devices.openvino import OpenVinoDevice
from engine.disguise.twice import TwiceReadingEngine
from engine.errors import BundleError, SettingsError
from engine.proof import prove
from engine.reading.engines import PooledEngine, PromptedEngine
from engine.reading.reader import Reader, load_tokenizer, tokenise_prompt
from engine.vocabulary import DeviceChoice, Output, PrecisionChoice

MAX_MESSAGE_TOKENS: Final = 4096

log = structlog.get_logger()


def load_engine(
    bundle: Bundle,
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
    max_message_tokens: int = MAX_MESSAGE_TOKENS,
    device_tokens: int = 2048,
    arena_bytes: int | None = None,
) -> Engine:
    """Load the engine of a verified bundle; the prefix runs here, once.

    Args:
        bundle: What to run; its manifest says in which reading.
        device: "auto" is OpenVINO where the CPU has bf16, else ONNX Runtime's CPU provider.
        precision: "auto" is bf16 on openvino, fp32 elsewhere.
        threads: Threads of a CPU device; 0 is one for each core this process may use.
        max_message_tokens: A longer message is read up to here, and said so (`Scores.truncated`).
        device_tokens: Upper bound on rows x padded length of one run.
        arena_bytes: Cap on the GPU memory that ONNX Runtime may take; None is no cap.

    Raises:
        DeviceError: the device or precision is not what would really run, or its scores are not the
            original model's.
        BundleError: the graph or tokenizer is not what the manifest says.
        SettingsError: the bundle's windows do not fit into a run or into the model's context.
    """
    pooled = bundle.manifest.reading == "pooled"
    output: Output = "pooled" if pooled else "label_logits"
    reader = open_reader(
        bundle,
        output,
        device=device,
        precision=precision,
        threads=threads,
        device_tokens=device_tokens,
        arena_bytes=arena_bytes,
    )
    prefix, *suffixes = reader.prompt
    window = bundle.windowing.whole
    longest = window + (0 if pooled else max(map(len, suffixes)))
    lead = len(reader.lead)
    room = min(device_tokens - lead, bundle.manifest.source.context - len(prefix))
    if longest > room:
        raise SettingsError(
            f"windows of {window} tokens take {longest} with their suffix, {room} fit: "
            f"{'raise device_tokens' if room == device_tokens - lead else 'export it with a shorter prompt'}"
        )
    if max_message_tokens < 1:
        raise SettingsError("max_message_tokens must be 1 or more")
    blank = reader.prompt.blank
    engine: Engine
    if not pooled:
        engine = PromptedEngine(bundle, reader, max_message_tokens, blank)
    elif bundle.heads is not None and bundle.manifest.layer is not None:
        engine = PooledEngine(bundle, bundle.heads, reader, max_message_tokens, blank)
    else:
        raise BundleError(
            f"{bundle.path} reads pooled vectors but has no heads or layer: adapt or export it again"
        )
    prove(reader, bundle, output)
    # Memory is taken, and too little of it noticed, now rather than at the first long message.
    reader.rows([[blank] * longest])
    reader.device.settle()
    bundle.require_same()
    log.info(
        "engine_loaded",
        runs=engine.describe(),
        reading=engine.reading,
        prefix_tokens=len(prefix),
        bundle=bundle.fingerprint[:12],
    )
    return TwiceReadingEngine(engine, bundle.manifest.task.languages)


def open_reader(
    bundle: Bundle,
    output: Output,
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
    device_tokens: int = 2048,
    arena_bytes: int | None = None,
) -> Reader:
    """Open one output of a bundle's graph, the prefix bound. `load_engine` says what the arguments mean."""
    choice = choose(device, precision, bundle.manifest.precision)
    manifest = bundle.manifest
    try_tokenizer(
        bundle.path / TOKENIZER, manifest.files.get(TOKENIZER, ""), msgspec.structs.astuple(manifest.prompt)
    )
    tokenizer = load_tokenizer(bundle.path)
    prompt = tokenise_prompt(tokenizer, bundle.manifest.prompt)
    bound = bundle.manifest.bound
    prefix, graph = np.array(prompt.prefix if bound else [], np.int64), Graph.of(bundle, output)
    opened = _open(choice, graph, prefix, threads or _cores(), arena_bytes)
    return Reader(opened, tokenizer, prompt, device_tokens, bound=bound)


def _open(choice: Choice, graph: Graph, prefix: Ids, threads: int, arena_bytes: int | None) -> Device:
    if choice.device == "openvino":
        return OpenVinoDevice(graph, prefix, precision=choice.precision, threads=threads)
    return OnnxRuntimeDevice(graph, prefix, device=choice.device, threads=threads, arena_bytes=arena_bytes)


def _cores() -> int:
    """Cores this process may use (a container's CPU set, but not its quota: set `threads` for that)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Opens a bundle on a device and proves, before the first message, that it runs as requested."""

import os

import msgspec
import numpy as np
import structlog

from engine.bundle import TOKENIZER, Bundle, Heads, Manifest
from engine.bundle.tokenizer_trial import try_tokenizer
from engine.contract import Engine
from engine.device_names import DeviceChoice, Output, PrecisionChoice
from engine.devices.choice import Choice, choose
from engine.devices.device import Device, Graph, Part, Prefix
from engine.devices.onnxruntime import OnnxRuntimeDevice
from engine.devices.openvino import OpenVinoDevice
from engine.devices.stacked import StackedDevice
from engine.disguise.twice import TwiceReadingEngine
from engine.disguise.variant import VERSION
from engine.errors import BundleError, SettingsError
from engine.identity import MAX_MESSAGE_TOKENS, Cascade, ScoreIdentity, Windowing
from engine.odds import Odds
from engine.proof import prove
from engine.reading.cascade import CascadeEngine
from engine.reading.engines import PooledEngine, PromptedEngine
from engine.reading.highlights import Highlighter
from engine.reading.reader import Reader, load_tokenizer, tokenise_prompt

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
    highlights_from: float | None = None,
) -> Engine:
    """Load the engine of a verified bundle. The prompt's prefix is run here, once.

    Args:
        bundle: The bundle to run; its manifest states the reading.
        device: "auto" is OpenVINO where the CPU has bf16, else ONNX Runtime's CPU provider.
        precision: "auto" is the one that the bundle's thresholds were fitted on where the device has it, else
            bf16 on openvino and fp32 elsewhere.
        threads: Threads of a CPU device; 0 is one for each core this process may use.
        max_message_tokens: A longer message is read only up to here and marked (`Scores.truncated`).
        device_tokens: Upper bound on rows x padded length of one run.
        arena_bytes: Cap on the GPU memory that ONNX Runtime may take; None is no cap.
        highlights_from: Messages with this risk or more get highlights (`Scores.highlights`), in the pooled
            reading; None for none at all.

    Raises:
        DeviceError: another device or precision than requested would really run, or the scores differ from
            the original model's.
        BundleError: the graph or tokenizer is not what the manifest says.
        SettingsError: the bundle's windows do not fit into a run or into the model's context.
    """
    reader = open_reader(
        bundle,
        _output(bundle.manifest),
        device=device,
        precision=precision,
        threads=threads,
        device_tokens=device_tokens,
        arena_bytes=arena_bytes,
    )
    engine = engine_on(reader, bundle, max_message_tokens, highlights_from)
    log.info(
        "engine_loaded",
        runs=engine.describe(),
        reading=engine.reading,
        prefix_tokens=len(reader.prompt.prefix),
        bundle=bundle.fingerprint[:12],
        scored_by=engine.identity.name,
    )
    return engine


def engine_on(
    reader: Reader,
    bundle: Bundle,
    max_message_tokens: int = MAX_MESSAGE_TOKENS,
    highlights_from: float | None = None,
) -> Engine:
    """Make and prove the engine of a bundle whose graph `reader` has open. Raises as `load_engine` does."""
    manifest = bundle.manifest
    longest = _longest(reader, bundle)
    if max_message_tokens < 1:
        raise SettingsError("max_message_tokens must be 1 or more")
    lower = 0.0 if bundle.calibration is None else bundle.calibration.lower
    identity = identity_of(
        manifest,
        bundle.windowing,
        lower,
        reader.device.precision,
        max_message_tokens,
        bundle.odds,
        bundle.cascade,
    )
    engine: Engine
    if manifest.reading == "prompted":
        engine = PromptedEngine(identity, manifest.labels, reader, manifest.source.layers)
    elif bundle.heads is not None and manifest.layer is not None:
        device = reader.device
        highlighter = _highlighter(reader, bundle.heads, identity, highlights_from)
        if bundle.shallow is not None and isinstance(device, StackedDevice):
            prove(reader.on(device.shallow), bundle.at_shallow_depth(), "pooled")
            engine = CascadeEngine(identity, bundle.heads, bundle.shallow.heads, reader, device, highlighter)
        else:
            engine = PooledEngine(identity, bundle.heads, reader, highlighter, manifest.layer)
    else:
        raise BundleError(
            f"{bundle.path} reads pooled vectors but has no heads or layer: adapt or export it again"
        )
    prove(reader, bundle, _output(manifest))
    # Run the longest row once, so that memory is allocated, or its lack noticed, now rather than at the first
    # long message.
    reader.rows([[reader.prompt.blank] * longest])
    reader.device.settle()
    bundle.require_same()
    return TwiceReadingEngine(engine, manifest.task.languages)


def _highlighter(
    reader: Reader, heads: Heads, identity: ScoreIdentity, least: float | None
) -> Highlighter | None:
    if least is None:
        return None
    if not reader.device.keeps_tokens:
        log.warning(
            "no_highlights", why="the bundle was adapted by an earlier version: run `mimamori adapt` again"
        )
        return None
    return Highlighter(heads, reader, identity.windowing, identity.max_message_tokens, least)


def identity_of(
    manifest: Manifest,
    windowing: Windowing,
    lower: float,
    precision: str,
    max_message_tokens: int,
    odds: Odds | None = None,
    cascade: Cascade | None = None,
) -> ScoreIdentity:
    """Return the identity of an engine's scores. Only this function makes one; see `engine.identity`.

    `lower` is the calibration's lower threshold, of risks restated by `odds`; no discount takes a message
    below it.
    """
    floor = lower if windowing.discount else 0.0
    return ScoreIdentity(
        manifest.model, precision, windowing, floor, VERSION, max_message_tokens, odds, cascade
    )


def _output(manifest: Manifest) -> Output:
    return "pooled" if manifest.reading == "pooled" else "label_logits"


def _longest(reader: Reader, bundle: Bundle) -> int:
    """Return the longest row in tokens. Raises SettingsError: it does not fit into a run or the context."""
    prefix, *suffixes = reader.prompt
    window = bundle.windowing.whole
    longest = window + (0 if bundle.manifest.reading == "pooled" else max(map(len, suffixes)))
    within_run = reader.device_tokens - len(reader.lead)
    room = min(within_run, bundle.manifest.source.context - len(prefix))
    if longest > room:
        raise SettingsError(
            f"windows of {window} tokens take {longest} with their suffix, {room} fit: "
            f"{'raise device_tokens' if room == within_run else 'export it with a shorter prompt'}"
        )
    return longest


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
    """Open one output of a bundle's graph with the prefix bound. `load_engine` explains the arguments.

    Of a cascade, both graphs are opened as one device, which reads to the full depth.

    Where the graph has the states of single tokens, they are always computed. A library rounds otherwise in a
    graph without that output, and whether anybody looks for highlights must change no score.
    """
    choice = choose(device, precision, bundle.manifest.precision, bundle.fitted_precision)
    manifest = bundle.manifest
    try_tokenizer(
        bundle.path / TOKENIZER, manifest.files.get(TOKENIZER, ""), msgspec.structs.astuple(manifest.prompt)
    )
    tokenizer = load_tokenizer(bundle.path)
    prompt = tokenise_prompt(tokenizer, bundle.manifest.prompt)
    bound = bundle.manifest.bound
    prefix = Prefix(np.array(prompt.prefix if bound else [], np.int64))
    part = open_device(choice, Graph.of(bundle, output), prefix, threads, arena_bytes)
    opened: Device = part
    if manifest.shallow is not None:
        deeper = Graph.deeper(bundle)
        after = prefix._replace(states=part.prefix_states)
        opened = StackedDevice(part, open_device(choice, deeper, after, threads, arena_bytes))
    return Reader(opened, tokenizer, prompt, device_tokens, bound=bound)


def open_device(
    choice: Choice, graph: Graph, prefix: Prefix, threads: int = 0, arena_bytes: int | None = None
) -> Part:
    """Open a graph with the prefix bound. `load_engine` explains the arguments."""
    threads = threads or _cores()
    if choice.device == "openvino":
        return OpenVinoDevice(graph, prefix, precision=choice.precision, threads=threads)
    return OnnxRuntimeDevice(graph, prefix, device=choice.device, threads=threads, arena_bytes=arena_bytes)


def _cores() -> int:
    """Count the cores this process may use. A container's CPU quota does not count: set `threads` for it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

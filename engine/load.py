"""Opens bundles on a device and proves, before the first message, that they run as requested."""

from collections.abc import Sequence

import msgspec
import numpy as np
import structlog

from engine.bundle import TOKENIZER, Bundle, Heads, Manifest
from engine.bundle.tokenizer_trial import try_tokenizer
from engine.contract import Engine
from engine.device_names import DeviceChoice, Output, PrecisionChoice
from engine.devices.choice import choose
from engine.devices.device import RUN_TOKENS, Prefix
from engine.devices.opening import Wanted, open_devices
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
    device_tokens: int | None = None,
    arena_bytes: int | None = None,
    highlights_from: float | None = None,
) -> Engine:
    """Load the engine of a verified bundle. The prompt's prefix is run here, once.

    Args:
        bundle: The bundle to run; its manifest states the reading.
        device: "auto" is OpenVINO where the CPU is quickest in bf16, else ONNX Runtime's CPU provider.
        precision: "auto" is the one that the bundle's thresholds were fitted on where the device has it, else
            bf16 on openvino (fp32 on a CPU that is slower in bf16) and fp32 elsewhere.
        threads: Threads of a CPU device; 0 is one for each core this process may use.
        max_message_tokens: A longer message is read only up to here and marked (`Scores.truncated`).
        device_tokens: Upper bound on rows x padded length of one run; None is what suits the device.
        arena_bytes: Cap on the GPU memory that ONNX Runtime may take; None is no cap.
        highlights_from: Messages with this risk or more get highlights (`Scores.highlights`), in the pooled
            reading; None for none at all.

    Raises:
        DeviceError: another device or precision than requested would really run, or the scores differ from
            the original model's.
        BundleError: the graph or tokenizer is not what the manifest says.
        SettingsError: the bundle's windows do not fit into a run or into the model's context.
    """
    (engine,) = load_engines(
        [bundle],
        device=device,
        precision=precision,
        threads=threads,
        max_message_tokens=max_message_tokens,
        device_tokens=device_tokens,
        arena_bytes=arena_bytes,
        highlights_from=[highlights_from],
    )
    return engine


def load_engines(
    bundles: Sequence[Bundle],
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int = 0,
    max_message_tokens: int = MAX_MESSAGE_TOKENS,
    device_tokens: int | None = None,
    arena_bytes: int | None = None,
    highlights_from: Sequence[float | None],
) -> list[Engine]:
    """Load an engine for each bundle, in order. Those with one graph share it: see `engine.devices.opening`.

    Engines that share a graph must not read at the same time. `highlights_from` has one value for each
    bundle. `load_engine` explains the other arguments, and what is raised.
    """
    readers = _open_readers(
        [(bundle, _output(bundle.manifest)) for bundle in bundles],
        device=device,
        precision=precision,
        threads=threads,
        device_tokens=device_tokens,
        arena_bytes=arena_bytes,
    )
    engines = []
    for reader, bundle, least in zip(readers, bundles, highlights_from, strict=True):
        engine = engine_on(reader, bundle, max_message_tokens, least)
        log.info(
            "engine_loaded",
            runs=engine.describe(),
            reading=engine.reading,
            prefix_tokens=len(reader.prompt.prefix),
            bundle=bundle.fingerprint[:12],
            scored_by=engine.identity.name,
        )
        engines.append(engine)
    return engines


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
    device_tokens: int | None = None,
    arena_bytes: int | None = None,
) -> Reader:
    """Open one output of a bundle's graph with the prefix bound. `load_engine` explains the arguments.

    Where the graph has the states of single tokens, they are always computed. A library rounds otherwise in a
    graph without that output, and whether anybody looks for highlights must change no score.
    """
    (reader,) = _open_readers(
        [(bundle, output)],
        device=device,
        precision=precision,
        threads=threads,
        device_tokens=device_tokens,
        arena_bytes=arena_bytes,
    )
    return reader


def _open_readers(
    asked: Sequence[tuple[Bundle, Output]],
    *,
    device: DeviceChoice,
    precision: PrecisionChoice,
    threads: int,
    device_tokens: int | None,
    arena_bytes: int | None,
) -> list[Reader]:
    wanted, parts = [], []
    for bundle, output in asked:
        manifest = bundle.manifest
        choice = choose(device, precision, manifest.precision, bundle.fitted_precision)
        try_tokenizer(
            bundle.path / TOKENIZER,
            manifest.files.get(TOKENIZER, ""),
            msgspec.structs.astuple(manifest.prompt),
        )
        tokenizer = load_tokenizer(bundle.path)
        prompt = tokenise_prompt(tokenizer, manifest.prompt)
        prefix = Prefix(np.array(prompt.prefix if manifest.bound else [], np.int64))
        wanted.append(Wanted(bundle, output, choice, prefix))
        parts.append((tokenizer, prompt, manifest.bound))
    opened = open_devices(wanted, threads, arena_bytes)
    return [
        Reader(one, tokenizer, prompt, device_tokens or RUN_TOKENS[one.name], bound=bound)
        for one, (tokenizer, prompt, bound) in zip(opened, parts, strict=True)
    ]

"""One bundle, opened and asked as a worker would: the same decoding, device, thresholds and policy."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

import schemas
from engine.bundle import Bundle
from engine.bundle.signature import Trust
from engine.errors import SettingsError
from engine.policy import Ruling
from schemas.events import Message, Thresholds
from worker.errors import RecordError
from worker.kafka.record import Record
from worker.settings import Settings
from worker.startup import open_engine, policy_of
from worker.stream.batch import Batch, Entry
from worker.stream.decode import NO_REGISTRY, decode, within
from worker.stream.pipeline import Pipeline
from worker.stream.routing import Routing
from worker.stream.screener import Screener

log = structlog.get_logger()


class Side(msgspec.Struct, frozen=True):
    """One side of a comparison. `bundle` is the fingerprint; what is not known of a side is None.

    `adapted_on` names the examples that the bundle was adapted on.
    """

    bundle: str
    scored_by: str | None
    thresholds: Thresholds
    folder: str | None = None
    model: str | None = None
    runs: str | None = None
    adapted_on: str | None = None


class Screen:
    """An open bundle. Raises what a worker would at its start: BundleError, DeviceError, SettingsError."""

    def __init__(self, settings: Settings, folder: Path, trust: Trust) -> None:
        bundle = Bundle.load(folder, trust=trust)
        engine = open_engine(settings, bundle)
        self.task = bundle.manifest.task
        self._policy = policy_of(settings, bundle, engine.identity)
        self._screener = Screener(Routing(Pipeline(self.task, engine, self._policy, bundle.fingerprint)))
        depth = f"layer {bundle.manifest.layer}" if bundle.manifest.layer else "every layer"
        self.side = Side(
            bundle.fingerprint,
            engine.identity.name,
            self._policy.thresholds,
            str(folder),
            f"{bundle.manifest.source.name}, {engine.reading} reading, {depth}",
            engine.describe(),
            None if bundle.calibration is None else bundle.calibration.name,
        )

    @property
    def quality_sample_share(self) -> float:
        """The share of cleared messages that people would get as quality samples."""
        return self._policy.quality_sample_share

    def rule(self, entries: Sequence[Entry]) -> list[Ruling | None]:
        """What the policy says of each message; None where the model fails on it (a dead letter)."""
        copies = [msgspec.structs.replace(entry) for entry in entries]
        self._screener.screen(Batch(0, 0.0, copies))
        return [self._ruling(entry) for entry in copies]

    def _ruling(self, entry: Entry) -> Ruling | None:
        if entry.message is None or entry.reading is None:
            return None
        return self._policy.rule(entry.reading, entry.message.language, schemas.label_id(entry.record.origin))


def entry_of(
    record: Record, task: str, max_text_chars: int, read_framed: Callable[[bytes], Message] | None = None
) -> Entry:
    """A record as a worker of `task` would take it in. Raises RecordError: it would be a dead letter."""
    decoded = decode(record.value, frozenset({task}), max_text_chars, read_framed)
    message, cut = within(decoded, max_text_chars)
    return Entry(record, message=message, cut=cut)


def left_out_as(error: RecordError) -> str:
    """As what a record that `entry_of` refuses is counted."""
    if error.detail == NO_REGISTRY:
        return "framed for a schema registry, and not read: set MIMAMORI_SCHEMA_REGISTRY_URL"
    if error.reason == "unknown_task":
        return "of another task"  # which a worker of several labels with another bundle
    return f"{error.reason} (no message that a worker would label)"


def entry_of_row(message: Message, row: int, task: str, max_text_chars: int) -> Entry:
    """A file's message as a worker would take it in, if it came by Kafka. Raises RecordError, as above."""
    return entry_of(Record("", 0, row, None, schemas.encode(message)), task, max_text_chars)


def new_trust(settings: Settings) -> Trust:
    """Whom to trust with a candidate: the same signers. It cannot be the one bundle that is pinned."""
    return Trust("", settings.bundle_public_key)


def require_one_task(old: str, new: str) -> None:
    """Raise SettingsError where two bundles screen for different things."""
    if old != new:
        raise SettingsError(f"OLD screens for {old} and NEW for {new}: only bundles of one task are compared")


def let_go() -> None:
    """Free what nothing refers to any more, at once: a bundle can be most of a machine's memory."""
    gc.collect()

"""How fast a worker decodes messages: plain JSON, framed JSON and framed Avro, in turns in one run.

    python -m bench.framing [--messages 20000] [--rounds 9]

The worker's own reception turns records into entries, as on its polling thread: frame, schema, decoding, the
checks of the text; without a cache. The schemas come from a registry in memory and are known before the clock
starts, as they are after the first message. The messages have 8 to 60 words. Avro is written with three
schemas: the one of Mimamori, one of a platform with further plain fields and fields of other names, and one
that has an array and a map besides, which are skipped. The rate is messages per second of processor time of
one core: median of the rounds, lowest and highest, and the median of each round's ratio to plain JSON.
"""

import argparse
import io
import random
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import fastavro
import msgspec

import schemas
from bench.lanes.ours import NoNotes
from engine.policy import Policy
from engine.task import load_task
from mimamori.soak.canned_engine import CannedEngine
from schemas.avro import avro_schema
from schemas.events import Message, Thresholds
from schemas.kinds import KIND_OF
from worker.cache.score_cache import NoCache
from worker.kafka.record import Record
from worker.registry.client import Registered
from worker.registry.framing import framed
from worker.registry.known import KnownSchemas
from worker.settings import Settings
from worker.stream.in_hand import InHand
from worker.stream.pipeline import Pipeline
from worker.stream.reception import Reception
from worker.stream.routing import Routing
from worker.telemetry.metrics import Metrics

CHUNK: Final = 500  # records, as the intake polls them
WORDS: Final = ("see", "you", "on", "sunday", "by", "the", "river", "we", "could", "walk", "and", "talk")


def platform_schema(*more: dict[str, Any]) -> dict[str, Any]:
    """A platform's own schema, with its own names."""
    return {
        "type": "record",
        "name": "Line",
        "fields": [
            {"name": "line_id", "type": "string", "aliases": ["id"]},
            {"name": "room", "type": "string"},
            {"name": "body", "type": "string", "aliases": ["text"]},
            {"name": "author_id", "type": ["null", "string"]},
            {"name": "edited", "type": "boolean"},
            *more,
        ],
    }


OURS: Final = avro_schema(KIND_OF[Message])
FLAT: Final = platform_schema()
NESTED: Final = platform_schema(
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "client", "type": {"type": "map", "values": "string"}},
)
JSON_ID: Final = 1
AVRO_IDS: Final = {"Avro, our schema": 2, "Avro, a platform's": 3, "Avro, an array and a map skipped": 4}


class InMemory:
    """The registry of the four schemas."""

    def schema(self, schema_id: int) -> Registered | None:
        """See `worker.registry.known.Registry`."""
        if schema_id == JSON_ID:
            return Registered("JSON")
        return Registered("AVRO", (msgspec.json.encode((OURS, FLAT, NESTED)[schema_id - 2]),))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    ways = values_of(messages(chosen.messages))
    reception = a_reception()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(chosen.rounds):
        random.shuffle(order)
        for name in order:
            rates[name].append(rate(reception, ways[name]))
    plain = rates["plain JSON"]
    print("| value | bytes | messages/s of one core | of plain JSON's |\n|---|---|---|---|")
    for name, found in rates.items():
        ratio = median(each / base for each, base in zip(found, plain, strict=True))
        size = median(map(len, ways[name]))
        spread = f"{min(found):,.0f}-{max(found):,.0f}"
        print(f"| {name} | {size:.0f} | {median(found):,.0f} ({spread}) | {ratio:.2f} |")


def messages(number: int) -> list[Message]:
    """Messages of 8 to 60 words, each with an author."""
    draw = random.Random(7)
    return [
        Message(f"m{n:08}", " ".join(draw.choices(WORDS, k=draw.randint(8, 60))), author_id=f"u{n % 977}")
        for n in range(number)
    ]


def values_of(sent: Sequence[Message]) -> dict[str, list[bytes]]:
    """The messages in each form."""
    plain = [schemas.encode(message) for message in sent]
    written = {
        "Avro, our schema": (OURS, [msgspec.structs.asdict(message) for message in sent]),
        "Avro, a platform's": (FLAT, [line(message) for message in sent]),
        "Avro, an array and a map skipped": (NESTED, [line(message) for message in sent]),
    }
    return {
        "plain JSON": plain,
        "framed JSON": [framed(JSON_ID, value) for value in plain],
        **{name: avro(AVRO_IDS[name], schema, each) for name, (schema, each) in written.items()},
    }


def line(message: Message) -> dict[str, Any]:
    """The message as that platform has it."""
    return {
        "line_id": message.id,
        "room": "lobby",
        "body": message.text,
        "author_id": message.author_id,
        "edited": False,
        "tags": ["a", "b", "c"],
        "client": {"os": "web", "version": "7.1"},
    }


def avro(schema_id: int, schema: dict[str, Any], each: Sequence[dict[str, Any]]) -> list[bytes]:
    """Values framed as Avro."""
    parsed, made = fastavro.parse_schema(schema), []
    for values in each:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, values)
        made.append(framed(schema_id, stream.getvalue()))
    return made


def a_reception() -> Reception:
    """A worker's, for the task stress, with every schema known."""
    task, metrics = load_task("stress"), Metrics()
    engine = CannedEngine(levels=len(task.level_names))
    pipeline = Pipeline(task, engine, Policy(Thresholds(0.3, 0.7, "bench"), 0.0), "bench", NoCache())
    known = KnownSchemas(InMemory(), metrics)
    for schema_id in (JSON_ID, *AVRO_IDS.values()):
        while not known.ready([framed(schema_id, b"")]):
            known.wait(0.1)
    return Reception(Settings(), Routing(pipeline), InHand(NoNotes(), metrics), known)


def rate(reception: Reception, values: Sequence[bytes]) -> float:
    """Messages per second of processor time."""
    records = [Record("mimamori.messages", 0, offset, b"k", value) for offset, value in enumerate(values)]
    began = time.process_time()
    for at in range(0, len(records), CHUNK):
        chunk = records[at : at + CHUNK]
        if reception.ready(chunk) < len(chunk):
            raise RuntimeError("a schema is not known")
        if any(entry.message is None for entry in reception.entries(chunk)):
            raise RuntimeError("a message was not decoded")
    return len(records) / (time.process_time() - began)


if __name__ == "__main__":
    main()

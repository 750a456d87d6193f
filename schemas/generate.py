"""Writes the schemas from the structs, and freezes each new version: `python -m schemas.generate`.

    schemas/json/<kind>.schema.json                 what the structs say today
    schemas/avro/<kind>.avsc                        the same of messages and labels, for platforms with Avro
    schemas/history/v<n>/<kind>.schema.json         what version n said; written once, never again
    schemas/history/v<n>/<kind>.avsc                the same, since there is Avro; a registry gets these two
    schemas/history/v<n>/<kind>.examples.json       the examples of that day

A change to a frozen version is refused: raise the kind's version in `schemas/kinds.py` first. A version that
breaks the promise of its topic's `compatibility` is refused as well.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from schemas.avro import FRAMED, avro_schema
from schemas.avro_evolution import unreadable_avro
from schemas.evolution import Schema, unreadable
from schemas.kinds import KINDS, Kind
from schemas.topics import load_topics

HERE = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class FrozenSchemaError(Exception):
    """A released version would change, or a new one would break its readers."""


def json_schema(kind: Kind) -> Schema:
    """The JSON Schema (draft 2020-12) of one kind of event, as one self-contained document."""
    (root,), named = msgspec.json.schema_components([kind.event], ref_template="#/$defs/{name}")
    body = named.pop(root["$ref"].removeprefix("#/$defs/"))
    document = {"$schema": DIALECT, "$id": kind.urn, **body}
    if named:
        document["$defs"] = dict(sorted(named.items()))
    opened: Schema = _open(document)
    return opened


def breaks_of_promise(kind: Kind, older: Schema, newer: Schema) -> list[str]:
    """List where the newer JSON Schema breaks the compatibility that the kind's topic promises."""
    return _breaks(kind, int(str(older["$id"]).rpartition(":")[2]), older, newer, unreadable)


def breaks_of_avro_promise(kind: Kind, version: int, older: Any, newer: Any) -> list[str]:
    """The same of Avro schemas, of which the older one is that of `version`."""
    return _breaks(kind, version, older, newer, unreadable_avro)


def _breaks(
    kind: Kind, version: int, older: Any, newer: Any, refused: Callable[[Any, Any], list[str]]
) -> list[str]:
    """What the topic promises, backward: today's consumers read yesterday's events.

    Full: yesterday's consumers, which are other people's programs, also read today's.
    """
    (topic,) = (topic for topic in load_topics() if topic.event == kind.name)
    broken = refused(older, newer)
    if topic.compatibility == "FULL_TRANSITIVE" and version >= kind.readers_since:
        broken += [f"for older readers, {line}" for line in refused(newer, older)]
    return broken


def generate(folder: Path = HERE) -> list[Path]:
    """Bring every schema up to date and freeze new versions. Returns the files that changed.

    Raises FrozenSchemaError before anything is written: what is frozen by mistake could not be mended within
    its version.
    """
    wanted: dict[Path, bytes] = {}
    for kind in KINDS:
        wanted |= _json_files(kind, folder)
    for kind in FRAMED:
        wanted |= _avro_files(kind, folder)
    return [file for file, content in wanted.items() if _write(file, content)]


def _json_files(kind: Kind, folder: Path) -> dict[Path, bytes]:
    document = json_schema(kind)
    content = _as_text(document)
    wanted = {folder / "json" / f"{kind.name}.schema.json": content}
    for version in range(1, kind.version + 1):
        frozen = folder / "history" / f"v{version}" / f"{kind.name}.schema.json"
        if frozen.exists():
            _check_promise(kind, version, msgspec.json.decode(frozen.read_bytes()), document)
            continue
        examples = folder / "examples" / f"{kind.name}.json"
        wanted[frozen] = content
        wanted[frozen.with_name(f"{kind.name}.examples.json")] = examples.read_bytes()
    return wanted


def _avro_files(kind: Kind, folder: Path) -> dict[Path, bytes]:
    schema = avro_schema(kind)
    content = _as_text(schema)
    wanted = {folder / "avro" / f"{kind.name}.avsc": content}
    for version in range(1, kind.version + 1):
        frozen = folder / "history" / f"v{version}" / f"{kind.name}.avsc"
        if frozen.exists():
            _check_avro(kind, version, msgspec.json.decode(frozen.read_bytes()), schema)
        elif version == kind.version:  # earlier ones than the first that was written never were Avro
            wanted[frozen] = content
    return wanted


def _as_text(schema: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _check_avro(kind: Kind, version: int, frozen: Any, today: Any) -> None:
    if version == kind.version and _rules(frozen) != _rules(today):
        raise FrozenSchemaError(
            f"{kind.name} as Avro is no longer what its version {version} was: raise its version in "
            "schemas/kinds.py"
        )
    if broken := breaks_of_avro_promise(kind, version, frozen, today):
        raise FrozenSchemaError(f"{kind.name} as Avro breaks version {version}: {'; '.join(broken)}")


def _check_promise(kind: Kind, version: int, frozen: Schema, today: Schema) -> None:
    if version == kind.version and _rules(frozen) != _rules(today):
        raise FrozenSchemaError(
            f"{kind.name} is no longer what its version {version} was: raise its version in schemas/kinds.py"
        )
    if broken := breaks_of_promise(kind, frozen, today):
        raise FrozenSchemaError(f"{kind.name} breaks version {version}: {'; '.join(broken)}")


def _rules(node: Any) -> Any:
    """A schema without its descriptions, because rewording a docstring does not make a new version."""
    if isinstance(node, list):
        return [_rules(item) for item in node]
    if not isinstance(node, dict):
        return node
    prose = {name for name in ("title", "description", "doc") if isinstance(node.get(name), str)}
    return {name: _rules(value) for name, value in node.items() if name not in prose}


def _write(file: Path, content: bytes) -> bool:
    if file.exists() and file.read_bytes() == content:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return True


def _open(node: Any) -> Any:
    """State that objects accept unknown fields, and remove the indentation of docstrings."""
    if isinstance(node, list):
        return [_open(item) for item in node]
    if not isinstance(node, dict):
        return node
    opened = {name: _open(value) for name, value in node.items()}
    if isinstance(opened.get("description"), str):
        opened["description"] = inspect.cleandoc(opened["description"])
    if opened.get("type") == "object" and "properties" in opened:
        opened.setdefault("additionalProperties", True)
    return opened


def main() -> int:
    """Generate the files, and print what changed or what forbids a change."""
    try:
        changed = generate()
    except FrozenSchemaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for file in changed:
        sys.stdout.write(f"wrote {file.relative_to(HERE.parent)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
